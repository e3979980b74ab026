//! The messages and the client that `build.rs` generates from `proto/`.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in proto/")]

pub mod common {
    pub mod v1 {
        tonic::include_proto!("common.v1");
    }
}
pub mod reservation {
    pub mod v1 {
        tonic::include_proto!("reservation.v1");
    }
}

//! The Protocol Buffers messages and the gRPC service of the inventory, generated from `proto/` by
//! `build.rs`.

#![allow(missing_docs, clippy::all, reason = "generated")]

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

//! The lower limit for the cost of the worker: a function that makes the same two calls for each record and
//! does nothing else. It has no checks, retries, telemetry or error handling.

#![forbid(unsafe_code)]

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{StreamExt, TryStreamExt, stream};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use proto::reservation::v1::ReleaseHoldRequest;
use proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use serde::Deserialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Channel, Endpoint};

/// The messages and the client that `build.rs` generates.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in proto/")]
mod proto {
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
}

#[derive(Deserialize)]
struct Body {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    reservation_id: String,
    event_id: String,
    seat_ids: Vec<String>,
}

struct Services {
    http: reqwest::Client,
    base: String,
    inventory: InventoryServiceClient<Channel>,
}

impl Services {
    async fn release(&self, body: &str) -> Result<(), Error> {
        let Detail { reservation_id, event_id, seat_ids } = serde_json::from_str::<Body>(body)?.detail;
        self.http
            .patch(format!("{}/internal/reservations/{reservation_id}", self.base))
            .header("idempotency-key", format!("{reservation_id}:EXPIRED"))
            .json(&json!({ "status": "EXPIRED" }))
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        let request = ReleaseHoldRequest {
            quantity: seat_ids.len() as i32,
            idempotency_key: format!("{reservation_id}:RELEASE"),
            reservation_id,
            event_id,
            seat_ids,
            reason: "EXPIRED".to_owned(),
        };
        self.inventory.clone().release_hold(request).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let address = format!("http://{}", std::env::var("INVENTORY_GRPC_ADDR")?);
    let services = Services {
        http: reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(Duration::from_secs(3))
            .build()?,
        base: std::env::var("RESERVATION_API_BASE")?,
        inventory: InventoryServiceClient::new(Endpoint::from_shared(address)?.connect_lazy()),
    };
    let concurrency = std::env::var("WORKER_CONCURRENCY")?.parse()?;
    let run = lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let bodies = event.payload.records.iter().filter_map(|record| record.body.as_deref());
        let releases = stream::iter(bodies.map(|body| services.release(body)));
        releases.buffer_unordered(concurrency).try_collect::<()>().await?;
        Ok::<_, Error>(SqsBatchResponse::default())
    }));
    // A function that is trained for PGO writes its profile when it exits, but not when a signal kills it.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = run => ended,
        _ = terminate.recv() => Ok(()),
    }
}

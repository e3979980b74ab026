//! Both services, with clients for them.

use std::time::Duration;

use reqwest::Method;
use reservation_worker_local::proto::reservation::v1::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, CommitReservationRequest, CommitReservationResponse,
    ReleaseHoldRequest, ReleaseHoldResponse,
};
use reservation_worker_local::{Hold, Services};
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

pub(crate) struct TestServices {
    pub(crate) services: Services,
    pub(crate) http: reqwest::Client,
    pub(crate) channel: Channel,
}

impl TestServices {
    pub(crate) async fn start() -> Self {
        let services = Services::start().await.unwrap();
        let grpc = Endpoint::from_shared(format!("http://{}", services.inventory_addr())).unwrap();
        // The workspace's reqwest has no default TLS provider.
        _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        Self { services, http, channel: grpc.connect_lazy() }
    }

    /// The reservation `r1` holds the seats `A-1` and `A-2` of the event `concert`.
    pub(crate) async fn with_hold() -> Self {
        let test = Self::start().await;
        test.services.create_hold(hold("r1", &["A-1", "A-2"])).unwrap();
        test
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.services.reservation_api_base());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) fn patch(&self, id: &str, key: &str, body: Value) -> reqwest::RequestBuilder {
        let url = format!("{}/internal/reservations/{id}", self.services.reservation_api_base());
        self.http.patch(url).header("Idempotency-Key", key).json(&body)
    }

    /// Sends a status update. Returns the HTTP status, and the error code or an empty string.
    pub(crate) async fn update(&self, id: &str, key: &str, body: Value) -> (u16, String) {
        let response = self.patch(id, key, body).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap_or_default();
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn release(&self, request: ReleaseHoldRequest) -> Result<ReleaseHoldResponse, Status> {
        unary(&self.channel, "ReleaseHold", request).await
    }

    pub(crate) async fn commit(
        &self,
        request: CommitReservationRequest,
    ) -> Result<CommitReservationResponse, Status> {
        unary(&self.channel, "CommitReservation", request).await
    }

    pub(crate) async fn check(&self, seat_ids: &[&str], quantity: i32) -> CheckAvailabilityResponse {
        let (event_id, seat_ids) = ("concert".to_owned(), owned(seat_ids));
        let request =
            CheckAvailabilityRequest { event_id, seat_ids, quantity, ..CheckAvailabilityRequest::default() };
        unary(&self.channel, "CheckAvailability", request).await.unwrap()
    }
}

pub(crate) async fn unary<Q, R>(channel: &Channel, method: &str, message: Q) -> Result<R, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/reservation.v1.InventoryService/{method}")).unwrap();
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-trace-id", "t-1".parse().unwrap());
    Ok(grpc.unary(request, path, ProstCodec::<Q, R>::default()).await?.into_inner())
}

pub(crate) fn hold(id: &str, seat_ids: &[&str]) -> Hold {
    Hold {
        reservation_id: id.to_owned(),
        event_id: "concert".to_owned(),
        seat_ids: owned(seat_ids),
        ..Hold::default()
    }
}

pub(crate) fn release(id: &str, seat_ids: &[&str]) -> ReleaseHoldRequest {
    ReleaseHoldRequest {
        reservation_id: id.to_owned(),
        event_id: "concert".to_owned(),
        seat_ids: owned(seat_ids),
        quantity: seat_ids.len().try_into().unwrap(),
        reason: "EXPIRED".to_owned(),
        idempotency_key: format!("{id}:RELEASE"),
    }
}

pub(crate) fn commit(id: &str, seat_ids: &[&str]) -> CommitReservationRequest {
    CommitReservationRequest {
        reservation_id: id.to_owned(),
        event_id: "concert".to_owned(),
        seat_ids: owned(seat_ids),
        quantity: seat_ids.len().try_into().unwrap(),
        payment_intent_id: "pi-1".to_owned(),
        user_id: String::new(),
        idempotency_key: format!("{id}:COMMIT"),
    }
}

pub(crate) fn expired() -> Value {
    json!({"status": "EXPIRED"})
}

pub(crate) fn confirmed() -> Value {
    json!({"status": "CONFIRMED", "payment_intent_id": "pi-1"})
}

/// Waits up to 5 s until the condition is true.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let polling = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), polling).await.unwrap();
}

fn owned(seat_ids: &[&str]) -> Vec<String> {
    seat_ids.iter().map(|&id| id.to_owned()).collect()
}

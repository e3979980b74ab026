//! The inventory's reply, read by the gRPC client that the function uses: only what the contract says is done
//! is done, and nothing that the service wrote is in the error.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use prost::Message;
use reservation_worker::fault::{Classify, Fault};
use reservation_worker::services::inventory::proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use reservation_worker::services::inventory::proto::reservation::v1::{
    CommitReservationRequest, CommitReservationResponse, ReleaseHoldRequest, ReleaseHoldResponse,
};
use reservation_worker::services::inventory::{Error, judge};
use reservation_worker::reason::Reason;
use tonic::codegen::{Bytes, Service};

/// The first byte of the input says which method is called and how the rest is framed, the second is the
/// `grpc-status`, the rest is the message.
pub fn check(input: &[u8]) {
    let [how, grpc_status, message @ ..] = input else { return };
    let is_framed = how & 2 == 0;
    let mut body = Vec::new();
    if is_framed {
        body.push(0); // not compressed
        body.extend((message.len() as u32).to_be_bytes());
    }
    body.extend(message);
    let mut client = InventoryServiceClient::new(Canned { body: body.into(), grpc_status: *grpc_status });

    let (told, decoded, rejected) = if how & 1 == 0 {
        let told = block_on(client.release_hold(ReleaseHoldRequest::default()));
        let told = judge(told.map(tonic::Response::into_inner));
        (told, ReleaseHoldResponse::decode(message).map(is_released), Reason::ReleaseRejected)
    } else {
        let told = block_on(client.commit_reservation(CommitReservationRequest::default()));
        let told = judge(told.map(tonic::Response::into_inner));
        (told, CommitReservationResponse::decode(message).map(is_sold), Reason::CommitRejected)
    };

    let is_done = match (*grpc_status, decoded) {
        (0, Ok(is_done)) => is_done,
        (6, Ok(_)) => true,
        _ => false,
    };
    if is_framed {
        assert_eq!(told.is_ok(), is_done, "{told:?}");
    } else {
        assert!(told.is_err() || matches!(grpc_status, 0 | 6), "grpc-status {grpc_status} is done");
        assert!(told.is_err() || !message.is_empty() || *grpc_status == 6, "done without a message");
    }
    if let Err(error) = told {
        check_error(&error, rejected);
    }
}

fn is_released(reply: ReleaseHoldResponse) -> bool {
    match (reply.status, reply.error.map(|error| error.code)) {
        (0, None) | (1..=3, None | Some(0)) => true,
        // A release that FAILED leaves it to the code.
        (0..=4, Some(5 | 6)) => true,
        _ => false,
    }
}

fn is_sold(reply: CommitReservationResponse) -> bool {
    let code = reply.error.map(|error| error.code);
    matches!((reply.status, code), (0, None) | (1, None | Some(0)) | (0 | 1, Some(6)))
}

/// Its code goes with its fault, and every letter of it is ours.
fn check_error(error: &Error, rejected: Reason) {
    match error.class() {
        Fault::Rejected => assert_eq!(error.code(), rejected),
        Fault::Transient { retry_after } => {
            assert_eq!(retry_after, None);
            assert!(
                matches!(error.code(), Reason::InventoryUnavailable | Reason::InventoryDenied),
                "{error}"
            );
        }
        Fault::NotCalled(_) => panic!("it was called"),
    }
    let text = error.to_string();
    let is_ours = |char: char| char.is_ascii_alphanumeric() || " _:-,".contains(char);
    assert!(text.len() < 100 && text.chars().all(is_ours), "{text:?}");
}

/// Nothing that is polled here waits for anything.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A service that answers every call with this.
struct Canned {
    body: Bytes,
    grpc_status: u8,
}

impl Service<http::Request<tonic::body::Body>> for Canned {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        let trailers = HeaderMap::from_iter([
            (HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(self.grpc_status))),
            (HeaderName::from_static("grpc-message"), HeaderValue::from_static("SECRET {}")),
        ]);
        let body = Full::new(self.body.clone()).with_trailers(ready(Some(Ok(trailers))));
        ready(Ok(http::Response::new(tonic::body::Body::new(body))))
    }
}

//! Replies of the inventory, read by the gRPC client of the function. A reply is a success only if the
//! contract says so, and an error contains no text from the reply.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use prost::Message;
use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::reason::Reason;
use reservation_worker::services::inventory::proto::reservation::v1::inventory_service_client::InventoryServiceClient;
use reservation_worker::services::inventory::proto::reservation::v1::{
    CommitReservationRequest, CommitReservationResponse, ReleaseHoldRequest, ReleaseHoldResponse,
};
use reservation_worker::services::inventory::{Error, classify};
use tonic::codegen::{Bytes, Service};

/// Checks a reply. Of the first byte of the input, bit 0 selects the method and bit 1 omits the frame. The
/// second byte is the `grpc-status`. The rest is the message.
pub fn check(input: &[u8]) {
    let [options, grpc_status, message @ ..] = input else { return };
    let is_framed = options & 2 == 0;
    let mut body = Vec::new();
    if is_framed {
        body.push(0); // no compression
        body.extend((message.len() as u32).to_be_bytes());
    }
    body.extend(message);
    let mut client = InventoryServiceClient::new(FixedReply { body: body.into(), grpc_status: *grpc_status });

    let (result, decoded, rejected) = if options & 1 == 0 {
        let reply = block_on(client.release_hold(ReleaseHoldRequest::default()));
        let result = classify(reply.map(tonic::Response::into_inner));
        (result, ReleaseHoldResponse::decode(message).map(is_released), Reason::ReleaseRejected)
    } else {
        let reply = block_on(client.commit_reservation(CommitReservationRequest::default()));
        let result = classify(reply.map(tonic::Response::into_inner));
        (result, CommitReservationResponse::decode(message).map(is_sold), Reason::CommitRejected)
    };

    let is_done = match (*grpc_status, decoded) {
        (0, Ok(is_done)) => is_done,
        (6, Ok(_)) => true,
        _ => false,
    };
    if is_framed {
        assert_eq!(result.is_ok(), is_done, "{result:?}");
    } else {
        assert!(result.is_err() || matches!(grpc_status, 0 | 6), "grpc-status {grpc_status} is a success");
        assert!(result.is_err() || !message.is_empty() || *grpc_status == 6, "success without a message");
    }
    if let Err(error) = result {
        check_error(&error, rejected);
    }
}

fn is_released(reply: ReleaseHoldResponse) -> bool {
    match (reply.status, reply.error.map(|error| error.code)) {
        (0, None) | (1..=3, None | Some(0)) => true,
        // If the status is FAILED, the error code decides.
        (0..=4, Some(5 | 6)) => true,
        _ => false,
    }
}

fn is_sold(reply: CommitReservationResponse) -> bool {
    let code = reply.error.map(|error| error.code);
    matches!((reply.status, code), (0, None) | (1, None | Some(0)) | (0 | 1, Some(6)))
}

/// Checks that the reason code matches the error class, and that the text contains nothing from the reply.
fn check_error(error: &Error, rejected: Reason) {
    match error.class() {
        ErrorClass::Rejected => assert_eq!(error.reason_code(), rejected),
        ErrorClass::Transient { retry_after } => {
            assert_eq!((retry_after, error.reason_code()), (None, Reason::InventoryError), "{error}");
        }
        ErrorClass::Unavailable { retry_after } => {
            assert_eq!((retry_after, error.reason_code()), (None, Reason::InventoryUnavailable), "{error}");
        }
        ErrorClass::Misconfigured => assert!(
            matches!(error.reason_code(), Reason::InventoryWrongAddress | Reason::InventoryDenied),
            "{error}"
        ),
        ErrorClass::NotCalled(_) => panic!("the service was called"),
    }
    let text = error.to_string();
    let is_expected = |char: char| char.is_ascii_alphanumeric() || " _:-,".contains(char);
    assert!(text.len() < 100 && text.chars().all(is_expected), "{text:?}");
}

/// Polls a future until it is ready. The service replies at once, so nothing has to wake it.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A service that gives the same reply to every call.
struct FixedReply {
    body: Bytes,
    grpc_status: u8,
}

impl Service<http::Request<tonic::body::Body>> for FixedReply {
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

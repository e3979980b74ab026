//! The inventory service on gRPC (contract section 3).

mod check_availability;
mod commit_reservation;
mod release_hold;

use std::sync::Arc;

use axum::Router;
use serde::Serialize;
use serde_json::Value;
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status, async_trait};

use crate::calls::Operation;
use crate::faults::Effect;
use crate::idempotency::{BadKey, Replies};
use crate::net::Connection;
use crate::proto::common::v1::{Error, ErrorCode, Seat, SeatStatus};
use crate::proto::reservation::v1::inventory_service_server::{InventoryService, InventoryServiceServer};
use crate::proto::reservation::v1::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, CommitReservationRequest, CommitReservationResponse,
    ReleaseHoldRequest, ReleaseHoldResponse,
};
use crate::seats::Seats;
use crate::services::{Shared, locked};

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let path = format!("/{}/{{*method}}", <InventoryServiceServer<Rpcs> as NamedService>::NAME);
    Router::new().route_service(&path, InventoryServiceServer::new(Rpcs(shared)))
}

/// The seats, and the replies given about them.
#[derive(Default)]
pub(crate) struct Inventory {
    pub(crate) seats: Seats,
    replies: Replies,
}

/// What the three operations have in common; implemented by their requests.
trait Ask: Serialize + Send + Sync {
    const OPERATION: Operation;
    const METHOD: &str;
    type Reply;

    fn reservation_id(&self) -> &str;

    /// Does what is asked. A refusal is in the reply, or a status if the request itself is wrong.
    fn work(&self, inventory: &mut Inventory) -> Result<Self::Reply, Status>;

    /// A reply of these two parts alone.
    fn reply(status: i32, error: Option<Error>) -> Self::Reply;

    /// Name of the reply's status, and its error.
    fn parts(reply: &Self::Reply) -> (&'static str, Option<&Error>);
}

struct Rpcs(Arc<Shared>);

#[async_trait]
impl InventoryService for Rpcs {
    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldResponse>, Status> {
        self.answer(request).await
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<CommitReservationResponse>, Status> {
        self.answer(request).await
    }

    async fn check_availability(
        &self,
        request: Request<CheckAvailabilityRequest>,
    ) -> Result<Response<CheckAvailabilityResponse>, Status> {
        self.answer(request).await
    }
}

impl Rpcs {
    async fn answer<Q: Ask>(&self, request: Request<Q>) -> Result<Response<Q::Reply>, Status> {
        let Self(shared) = self;
        let (metadata, mut extensions, asked) = request.into_parts();
        let connection = extensions.remove::<Connection>().unwrap_or_default();
        let path = format!("/{}/{}", <InventoryServiceServer<Self> as NamedService>::NAME, Q::METHOD);
        let body = serde_json::to_value(&asked).unwrap_or(Value::Null);
        let id = asked.reservation_id();
        let mut call = shared.calls.arrive(Q::OPERATION, id, &path, metadata.as_ref(), body);
        let work = || asked.work(&mut locked(&shared.inventory));
        let effect = locked(&shared.faults).meet(Q::OPERATION, id);
        let reply = match effect {
            None => work(),
            Some(effect) => effect.strike(&mut call, &connection, work, instead::<Q>).await,
        };
        call.answered(&text::<Q>(&reply));
        reply.map(Response::new)
    }
}

fn instead<Q: Ask>(effect: Effect, done: Option<Result<Q::Reply, Status>>) -> Result<Q::Reply, Status> {
    match (effect, done) {
        (Effect::Grpc { code }, _) => Err(Status::new(Code::from_i32(code), "asked for by a fault")),
        (Effect::Reply { status, error_code }, _) => {
            let error = |code| Error { code, message: "asked for by a fault".to_owned(), ..Error::default() };
            Ok(Q::reply(status, error_code.map(error)))
        }
        (_, Some(done)) => done,
        (_, None) => Err(Status::internal("this fault is not the inventory's")),
    }
}

fn text<Q: Ask>(reply: &Result<Q::Reply, Status>) -> String {
    match reply {
        Err(status) => code_name(status.code()).to_owned(),
        Ok(reply) => match Q::parts(reply) {
            (status, None) => status.to_owned(),
            (status, Some(error)) => {
                let code = error.code().as_str_name().trim_start_matches("ERROR_CODE_");
                format!("{status} {code}").trim_start().to_owned()
            }
        },
    }
}

/// As the gRPC specification writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn error(code: ErrorCode, message: &str) -> Error {
    Error { code: code.into(), message: message.to_owned(), ..Error::default() }
}

fn key_error(bad: BadKey) -> Error {
    let code = match bad {
        BadKey::Missing => ErrorCode::IdempotencyRequired,
        BadKey::Conflict => ErrorCode::IdempotencyConflict,
    };
    error(code, &bad.to_string())
}

fn seats<'a>(seat_ids: impl IntoIterator<Item = &'a String>, status: SeatStatus) -> Vec<Seat> {
    let seat = |id: &String| Seat { id: id.clone(), status: status.into(), ..Seat::default() };
    seat_ids.into_iter().map(seat).collect()
}

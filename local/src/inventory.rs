//! The inventory service over gRPC (contract section 3).

mod check_availability;
mod commit_reservation;
mod operation;
mod release_hold;

use std::sync::Arc;

use axum::Router;
use serde_json::Value;
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status, async_trait};

use self::operation::InventoryRequest;
use crate::calls::Service;
use crate::capacity::wait_until_finished;
use crate::faults::Effect;
use crate::lock::locked;
use crate::proto::common::v1::Error;
use crate::proto::reservation::v1::inventory_service_server::{InventoryService, InventoryServiceServer};
use crate::proto::reservation::v1::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, CommitReservationRequest, CommitReservationResponse,
    ReleaseHoldRequest, ReleaseHoldResponse,
};
use crate::server::Connection;
use crate::state::SharedState;

pub(crate) fn routes(state: Arc<SharedState>) -> Router {
    let path = format!("/{}/{{*method}}", <InventoryServiceServer<Inventory> as NamedService>::NAME);
    Router::new().route_service(&path, InventoryServiceServer::new(Inventory(state)))
}

struct Inventory(Arc<SharedState>);

#[async_trait]
impl InventoryService for Inventory {
    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldResponse>, Status> {
        self.respond(request).await
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<CommitReservationResponse>, Status> {
        self.respond(request).await
    }

    async fn check_availability(
        &self,
        request: Request<CheckAvailabilityRequest>,
    ) -> Result<Response<CheckAvailabilityResponse>, Status> {
        self.respond(request).await
    }
}

impl Inventory {
    /// Records the request, applies a fault if there is one, and otherwise performs the operation. Replies when the
    /// service has finished the request.
    async fn respond<Q: InventoryRequest>(&self, request: Request<Q>) -> Result<Response<Q::Reply>, Status> {
        let Self(state) = self;
        let (metadata, mut extensions, request) = request.into_parts();
        let connection = extensions.remove::<Connection>().unwrap_or_default();
        let path = format!("/{}/{}", <InventoryServiceServer<Self> as NamedService>::NAME, Q::METHOD);
        let body = serde_json::to_value(&request).unwrap_or(Value::Null);
        let id = request.reservation_id();
        let mut call = state.calls.add(Q::OPERATION, id, &path, metadata.as_ref(), body);
        let work = || request.perform(&mut locked(&state.seats));
        let finished = state.request_queues.add(Service::Inventory);
        let effect = locked(&state.faults).next_effect(Q::OPERATION, id);
        let reply = match effect {
            None => work(),
            Some(effect) => effect.apply(&mut call, &connection, work, replaced::<Q>).await,
        };
        wait_until_finished(finished).await;
        call.set_reply(&short_form::<Q>(&reply));
        reply.map(Response::new)
    }
}

/// The reply of a call that a fault affects. `reply` is the reply of the operation, if it was performed.
fn replaced<Q: InventoryRequest>(
    effect: Effect,
    reply: Option<Result<Q::Reply, Status>>,
) -> Result<Q::Reply, Status> {
    match (effect, reply) {
        (Effect::Grpc { code }, _) => Err(Status::new(Code::from_i32(code), Effect::MESSAGE)),
        (Effect::Reply { status, error_code }, _) => {
            let error = |code| Error { code, message: Effect::MESSAGE.to_owned(), ..Error::default() };
            Ok(Q::reply(status, error_code.map(error)))
        }
        (_, Some(reply)) => reply,
        (_, None) => Err(Status::internal("this fault does not apply to the inventory service")),
    }
}

/// The short form of a reply for the call log.
fn short_form<Q: InventoryRequest>(reply: &Result<Q::Reply, Status>) -> String {
    match reply {
        Err(status) => code_name(status.code()).to_owned(),
        Ok(reply) => match Q::status_and_error(reply) {
            (status, None) => status.to_owned(),
            (status, Some(error)) => {
                let code = error.code().as_str_name().trim_start_matches("ERROR_CODE_");
                format!("{status} {code}").trim_start().to_owned()
            }
        },
    }
}

/// The name of a status code in the gRPC specification.
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

//! What spans say, in the words of the semantic conventions for FaaS, SQS, HTTP and gRPC. Never a body or a
//! name of a person.

use std::fmt::Display;

use lambda_runtime::Context as Invocation;
use opentelemetry::trace::{Span, Status, TraceContextExt};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_aws::detector::LambdaResourceDetector;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::ResourceDetector;
use opentelemetry_semantic_conventions::attribute as key;
use tonic::Code;
use url::Url;

use crate::outcome::Outcome;
use crate::record::Record;
use crate::telemetry::call::{self, CallOutcome, Service};

/// What the conventions have no word for.
pub mod own {
    /// [`crate::event::EventType`].
    pub const EVENT_TYPE: &str = "reservation_worker.event_type";
    /// Whose hold ended.
    pub const RESERVATION_ID: &str = "reservation_worker.reservation_id";
    /// How often the record was received.
    pub const ATTEMPT: &str = "reservation_worker.attempt";
    /// One of the contract's seven.
    pub const OUTCOME: &str = "reservation_worker.outcome";
}

/// Replaced in the conventions by `service.peer.name`, and what X-Ray's service map knows a callee by.
pub(super) const PEER_SERVICE: &str = "peer.service";
/// The event that the conventions put an error in.
pub(super) const EXCEPTION: &str = "exception";

/// The function, as far as Lambda's environment tells; `OTEL_RESOURCE_ATTRIBUTES` adds to it.
pub(super) fn resource() -> Resource {
    let lambda = LambdaResourceDetector.detect();
    let name = lambda.get(&Key::from_static_str(key::FAAS_NAME));
    Resource::builder()
        .with_service_name(name.unwrap_or_else(|| env!("CARGO_PKG_NAME").into()))
        .with_detector(Box::new(LambdaResourceDetector))
        .build()
}

pub(super) fn invocation(invocation: &Invocation, is_cold: bool) -> (String, Vec<KeyValue>) {
    let (name, mut attributes) = process(None);
    attributes.extend([
        KeyValue::new(key::FAAS_INVOCATION_ID, invocation.request_id.clone()),
        KeyValue::new(key::FAAS_COLDSTART, is_cold),
        KeyValue::new(key::AWS_LAMBDA_INVOKED_ARN, invocation.invoked_function_arn.clone()),
    ]);
    let account = invocation.invoked_function_arn.split(':').nth(4);
    attributes.extend(account.map(|account| KeyValue::new(key::CLOUD_ACCOUNT_ID, account.to_owned())));
    (name, attributes)
}

/// Says of the current span, the invocation's, which batch it works on.
pub fn batch(records: &[Record]) {
    Context::map_current(|context| {
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let queue = records.first().and_then(queue);
        if let Some(queue) = queue {
            span.update_name(format!("process {queue}"));
            span.set_attribute(KeyValue::new(key::MESSAGING_DESTINATION_NAME, queue.to_owned()));
        }
        span.set_attribute(KeyValue::new(key::MESSAGING_BATCH_MESSAGE_COUNT, records.len() as i64));
    });
}

pub(super) fn record(record: &Record, request_id: &str) -> (String, Vec<KeyValue>) {
    let (name, mut attributes) = process(queue(record));
    attributes.extend([
        KeyValue::new(key::FAAS_INVOCATION_ID, request_id.to_owned()),
        KeyValue::new(key::MESSAGING_MESSAGE_ID, record.message_id.clone()),
        KeyValue::new(own::ATTEMPT, i64::from(record.receive_count)),
    ]);
    (name, attributes)
}

fn process(queue: Option<&str>) -> (String, Vec<KeyValue>) {
    let mut attributes = vec![
        KeyValue::new(key::FAAS_TRIGGER, "pubsub"),
        KeyValue::new(key::MESSAGING_SYSTEM, "aws_sqs"),
        KeyValue::new(key::MESSAGING_OPERATION_TYPE, "process"),
        KeyValue::new(key::MESSAGING_OPERATION_NAME, "process"),
    ];
    let Some(queue) = queue else { return ("process".to_owned(), attributes) };
    attributes.push(KeyValue::new(key::MESSAGING_DESTINATION_NAME, queue.to_owned()));
    (["process ", queue].concat(), attributes)
}

fn queue(record: &Record) -> Option<&str> {
    record.queue_arn.as_deref()?.rsplit(':').next()
}

/// A try of a call to the service at `server`; `method` is the service's own word.
pub(crate) fn call(service: Service, method: &'static str, server: &Url) -> (String, Vec<KeyValue>) {
    let (name, mut attributes) = match service {
        Service::ReservationApi => (
            [method, " /internal/reservations/{id}"].concat(),
            vec![
                KeyValue::new(key::HTTP_REQUEST_METHOD, method),
                KeyValue::new(key::URL_FULL, server.to_string()),
            ],
        ),
        Service::Inventory => {
            let name = ["reservation.v1.InventoryService/", method].concat();
            let method = KeyValue::new(key::RPC_METHOD, name.clone());
            (name, vec![KeyValue::new(key::RPC_SYSTEM_NAME, "grpc"), method])
        }
    };
    attributes.extend([
        KeyValue::new(PEER_SERVICE, service.as_str()),
        KeyValue::new(key::SERVICE_PEER_NAME, service.as_str()),
    ]);
    attributes.extend(server.host_str().map(|host| KeyValue::new(key::SERVER_ADDRESS, host.to_owned())));
    let port = server.port_or_known_default();
    attributes.extend(port.map(|port| KeyValue::new(key::SERVER_PORT, i64::from(port))));
    (name, attributes)
}

/// Ends a try's span; to find that the reservation has ended otherwise is no error.
pub(crate) fn end_call(
    span: &mut impl Span,
    status: call::Status,
    outcome: CallOutcome,
    reason: Option<&dyn Display>,
) {
    if !span.is_recording() {
        return;
    }
    match status {
        call::Status::None => {}
        call::Status::Http(status) => {
            span.set_attribute(KeyValue::new(key::HTTP_RESPONSE_STATUS_CODE, i64::from(status)));
        }
        call::Status::Grpc(_) => {
            span.set_attribute(KeyValue::new(key::RPC_RESPONSE_STATUS_CODE, status.to_string()));
        }
    }
    if !matches!(outcome, CallOutcome::Success | CallOutcome::Conflict) {
        let says_so = !matches!(status, call::Status::None | call::Status::Grpc(Code::Ok));
        let error_type = if says_so { status.to_string() } else { outcome.as_str().to_owned() };
        let reason = reason.map(ToString::to_string).unwrap_or_default();
        let (error_type, exception, status) = error(error_type, reason);
        span.set_attribute(error_type);
        span.add_event(EXCEPTION, exception);
        span.set_status(status);
    }
    span.end();
}

/// What an error says: the reason stands in an exception too, for X-Ray knows no other place for it.
fn error(error_type: String, reason: String) -> (KeyValue, Vec<KeyValue>, Status) {
    let exception = vec![
        KeyValue::new(key::EXCEPTION_TYPE, error_type.clone()),
        KeyValue::new(key::EXCEPTION_MESSAGE, reason.clone()),
    ];
    (KeyValue::new(key::ERROR_TYPE, error_type), exception, Status::error(reason))
}

/// Ends the current span, the invocation's; what it was refused for is of the type `error_type`.
pub fn end_batch(refused: Option<(&str, &dyn Display)>) {
    Context::map_current(|context| end(context, refused));
}

/// Ends the span of an invocation whose payload did not even come to be read, or that panicked; of any other
/// it has ended.
pub(crate) fn end_unworked(invocation: &Context) {
    end(invocation, Some(("_OTHER", &"it ended before its work did")));
}

fn end(span: &Context, failed: Option<(&str, &dyn Display)>) {
    let span = span.span();
    if span.is_recording() {
        if let Some((error_type, reason)) = failed {
            let (error_type, exception, status) = error(error_type.to_owned(), reason.to_string());
            span.set_attribute(error_type);
            span.add_event(EXCEPTION, exception);
            span.set_status(status);
        }
        span.end();
    }
}

/// Ends a record's span; to be deferred is no error.
pub fn end_record(span: &Context, outcome: &Outcome) {
    span.span().set_attribute(KeyValue::new(own::OUTCOME, outcome.label().as_str()));
    let code = outcome.code().filter(|_| !matches!(outcome, Outcome::Deferred(_)));
    let reason = outcome.reason();
    end(span, code.map(|code| (code.as_str(), &reason as &dyn Display)));
}

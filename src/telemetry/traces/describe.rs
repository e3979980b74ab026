//! Names and attributes of spans, by the semantic conventions for FaaS, SQS, HTTP and gRPC. They never contain a body
//! or the name of a person.

use std::fmt::Display;

use lambda_runtime::Context as LambdaContext;
use opentelemetry::trace::{Span, Status, TraceContextExt};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_aws::detector::LambdaResourceDetector;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::ResourceDetector;
use opentelemetry_semantic_conventions::attribute as key;
use sqs_batch::Record;
use tonic::Code;
use url::Url;

use crate::call::{AttemptOutcome, ReplyStatus, Service};
use crate::job::Job;
use crate::outcome::{OutcomeLabel, Summary};

/// Attributes that the conventions do not define.
pub mod own {
    /// The label of the [`EventType`](crate::event::EventType).
    pub const EVENT_TYPE: &str = "reservation_worker.event_type";
    /// The reservation that the event is about.
    pub const RESERVATION_ID: &str = "reservation_worker.reservation_id";
    /// How often the record was received.
    pub const ATTEMPT: &str = "reservation_worker.attempt";
    /// The label of the outcome of the record.
    pub const OUTCOME: &str = "reservation_worker.outcome";
}

/// The name of a called service in the service map of X-Ray. In the conventions, `service.peer.name` has replaced it.
pub(crate) const PEER_SERVICE: &str = "peer.service";
/// The capacity of the vector of attributes. No span has more.
const ATTRIBUTE_CAPACITY: usize = 12;
/// The name of the span event that describes an error.
pub(crate) const EXCEPTION: &str = "exception";

/// The function, as described by Lambda's environment and by `OTEL_RESOURCE_ATTRIBUTES`.
pub(crate) fn resource() -> Resource {
    let lambda = LambdaResourceDetector.detect();
    let name = lambda.get(&Key::from_static_str(key::FAAS_NAME));
    Resource::builder()
        .with_service_name(name.unwrap_or_else(|| env!("CARGO_PKG_NAME").into()))
        .with_attribute(KeyValue::new(key::SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(LambdaResourceDetector))
        .build()
}

pub(super) fn invocation(lambda: &LambdaContext, is_cold: bool) -> (String, Vec<KeyValue>) {
    let (name, mut attributes) = process(None);
    attributes.extend([
        KeyValue::new(key::FAAS_INVOCATION_ID, lambda.request_id.clone()),
        KeyValue::new(key::FAAS_COLDSTART, is_cold),
        KeyValue::new(key::AWS_LAMBDA_INVOKED_ARN, lambda.invoked_function_arn.clone()),
    ]);
    let account = lambda.invoked_function_arn.split(':').nth(4);
    attributes.extend(account.map(|account| KeyValue::new(key::CLOUD_ACCOUNT_ID, account.to_owned())));
    (name, attributes)
}

/// Adds the attributes of the batch to the current span, which is the span of the invocation.
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

pub(super) fn record(record: &Record, job: Option<&Job>, request_id: &str) -> (String, Vec<KeyValue>) {
    let (name, mut attributes) = process(queue(record));
    attributes.extend([
        KeyValue::new(key::FAAS_INVOCATION_ID, request_id.to_owned()),
        KeyValue::new(key::MESSAGING_MESSAGE_ID, record.message_id.clone()),
        KeyValue::new(own::ATTEMPT, i64::from(record.receive_count)),
    ]);
    let event_type = job.and_then(Job::event_type);
    attributes.extend(event_type.map(|event_type| KeyValue::new(own::EVENT_TYPE, event_type.as_str())));
    let hold = job.and_then(Job::hold);
    attributes.extend(hold.map(|hold| KeyValue::new(own::RESERVATION_ID, hold.reservation_id.to_string())));
    (name, attributes)
}

fn process(queue: Option<&str>) -> (String, Vec<KeyValue>) {
    let mut attributes = Vec::with_capacity(ATTRIBUTE_CAPACITY);
    attributes.extend([
        KeyValue::new(key::FAAS_TRIGGER, "pubsub"),
        KeyValue::new(key::MESSAGING_SYSTEM, "aws_sqs"),
        KeyValue::new(key::MESSAGING_OPERATION_TYPE, "process"),
        KeyValue::new(key::MESSAGING_OPERATION_NAME, "process"),
    ]);
    let Some(queue) = queue else { return ("process".to_owned(), attributes) };
    attributes.push(KeyValue::new(key::MESSAGING_DESTINATION_NAME, queue.to_owned()));
    (["process ", queue].concat(), attributes)
}

fn queue(record: &Record) -> Option<&str> {
    record.queue_arn.as_deref()?.rsplit(':').next()
}

/// An attempt of a call to `server`. `method` is the HTTP method or the name of the gRPC method.
pub(crate) fn attempt(service: Service, method: &'static str, server: &Url) -> (String, Vec<KeyValue>) {
    let mut attributes = Vec::with_capacity(ATTRIBUTE_CAPACITY);
    attributes.extend([
        KeyValue::new(PEER_SERVICE, service.as_str()),
        KeyValue::new(key::SERVICE_PEER_NAME, service.as_str()),
    ]);
    let name = match service {
        Service::ReservationApi => {
            attributes.push(KeyValue::new(key::HTTP_REQUEST_METHOD, method));
            attributes.push(KeyValue::new(key::URL_FULL, server.to_string()));
            [method, " /internal/reservations/{id}"].concat()
        }
        Service::Inventory => {
            let name = ["reservation.v1.InventoryService/", method].concat();
            attributes.push(KeyValue::new(key::RPC_SYSTEM_NAME, "grpc"));
            attributes.push(KeyValue::new(key::RPC_METHOD, name.clone()));
            name
        }
    };
    attributes.extend(server.host_str().map(|host| KeyValue::new(key::SERVER_ADDRESS, host.to_owned())));
    let port = server.port_or_known_default();
    attributes.extend(port.map(|port| KeyValue::new(key::SERVER_PORT, i64::from(port))));
    (name, attributes)
}

/// Ends the span of an attempt. A conflict is no error.
pub(crate) fn end_attempt(
    span: &mut impl Span,
    status: ReplyStatus,
    outcome: AttemptOutcome,
    reason: Option<&dyn Display>,
) {
    if !span.is_recording() {
        return;
    }
    match status {
        ReplyStatus::None => {}
        ReplyStatus::Http(status) => {
            span.set_attribute(KeyValue::new(key::HTTP_RESPONSE_STATUS_CODE, i64::from(status)));
        }
        ReplyStatus::Grpc(_) => {
            span.set_attribute(KeyValue::new(key::RPC_RESPONSE_STATUS_CODE, status.to_string()));
        }
    }
    if !matches!(outcome, AttemptOutcome::Success | AttemptOutcome::Conflict) {
        let names_error = !matches!(status, ReplyStatus::None | ReplyStatus::Grpc(Code::Ok));
        let error_type = if names_error { status.to_string() } else { outcome.as_str().to_owned() };
        let reason = reason.map(ToString::to_string).unwrap_or_default();
        let (error_type, exception, status) = error(error_type, reason);
        span.set_attribute(error_type);
        span.add_event(EXCEPTION, exception);
        span.set_status(status);
    }
    span.end();
}

/// The attribute, the exception and the status of an error. The exception repeats the reason, because X-Ray shows the
/// reason only there.
fn error(error_type: String, reason: String) -> (KeyValue, Vec<KeyValue>, Status) {
    let exception = vec![
        KeyValue::new(key::EXCEPTION_TYPE, error_type.clone()),
        KeyValue::new(key::EXCEPTION_MESSAGE, reason.clone()),
    ];
    (KeyValue::new(key::ERROR_TYPE, error_type), exception, Status::error(reason))
}

/// Ends the current span, which is the span of the invocation. `error` is the type and the reason if the payload was
/// rejected.
pub fn end_batch(error: Option<(&str, &dyn Display)>) {
    Context::map_current(|context| end(context, error));
}

/// Ends the span of an invocation if it was not ended before: its payload was never read, or its code panicked.
pub(crate) fn end_unprocessed(invocation: &Context) {
    end(invocation, Some(("_OTHER", &"the invocation ended before its batch was processed")));
}

fn end(span: &Context, failure: Option<(&str, &dyn Display)>) {
    let span = span.span();
    if span.is_recording() {
        if let Some((error_type, reason)) = failure {
            let (error_type, exception, status) = error(error_type.to_owned(), reason.to_string());
            span.set_attribute(error_type);
            span.add_event(EXCEPTION, exception);
            span.set_status(status);
        }
        span.end();
    }
}

/// Ends the span of a record. A deferral is no error.
pub fn end_record(span: &Context, summary: Summary<'_>) {
    let Summary { label, reason, code } = summary;
    span.span().set_attribute(KeyValue::new(own::OUTCOME, label.as_str()));
    let code = code.filter(|_| label != OutcomeLabel::Deferred);
    end(span, code.map(|code| (code.as_str(), &reason as &dyn Display)));
}

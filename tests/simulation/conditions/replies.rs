//! Faulty replies of the two services, and replies that are lost.

use fastrand::Rng;
use reservation_worker_local::{Effect, Fault, Operation};

/// The operations that faults are drawn from. An operation that is called more often occurs more often.
const OPERATIONS: [Operation; 7] = [
    Operation::ReadReservation,
    Operation::UpdateStatus,
    Operation::UpdateStatus,
    Operation::ReleaseHold,
    Operation::ReleaseHold,
    Operation::CommitReservation,
    Operation::CommitReservation,
];

/// One transient fault or one lost reply, for one reservation after the failure phase.
pub fn single_fault(rng: &mut Rng, reservation_id: &str) -> Fault {
    let operation = rng.choice(OPERATIONS).unwrap();
    // HTTP 500, gRPC ABORTED and the code CONCURRENT_MODIFICATION: the breakers do not count these faults, so
    // the fault of one event cannot defer another event.
    let fault = match operation {
        _ if is_rest(operation) => Effect::http(500),
        _ if rng.bool() => Effect::grpc(10),
        _ => Effect::reply(0, Some(22)),
    };
    let effect = if rng.bool() { fault } else { Effect::done_then(fault) };
    Fault::on(operation, reservation_id, effect).times(1)
}

fn is_rest(operation: Operation) -> bool {
    matches!(operation, Operation::UpdateStatus | Operation::ReadReservation)
}

/// A fault of all calls of one operation for one reservation. Some reservations have lost their facts: the API updates
/// them and returns them without any.
pub fn lasting_fault(rng: &mut Rng, reservation_id: &str) -> Fault {
    let operation = rng.choice(OPERATIONS).unwrap();
    let fault = Fault::on(operation, reservation_id, effect(rng, operation));
    if rng.u8(..20) == 0 { Fault { operation: None, effect: json("{}"), ..fault } } else { fault }
}

fn effect(rng: &mut Rng, operation: Operation) -> Effect {
    match rng.u8(..12) {
        0 => Effect::Hang,
        1 => Effect::Reset,
        2 => Effect::latency(rng.u64(1..5_000)),
        3 => Effect::done_then(Effect::Reset),
        4 => Effect::done_then(Effect::Hang),
        5 => Effect::done_then(Effect::latency(rng.u64(1..5_000))),
        6 => Effect::done_then(faulty_reply(rng, operation)),
        // The work is done now, and the reply says that it was done earlier.
        7 if !is_rest(operation) => Effect::done_then(already_done(rng, operation)),
        _ => faulty_reply(rng, operation),
    }
}

fn already_done(rng: &mut Rng, operation: Operation) -> Effect {
    if operation == Operation::ReleaseHold && rng.bool() {
        return Effect::reply(rng.choice([2, 3]).unwrap(), None);
    }
    if rng.bool() { Effect::grpc(6) } else { Effect::reply(rng.choice([0, 1]).unwrap(), Some(6)) }
}

/// A faulty reply. One of three is final, so that a retry cannot succeed. Exceptions among these are 404, 405 and
/// `UNIMPLEMENTED`: the worker takes them for a wrong address, and retries.
fn faulty_reply(rng: &mut Rng, operation: Operation) -> Effect {
    let is_final = rng.u8(..3) == 0;
    match operation {
        Operation::UpdateStatus | Operation::ReadReservation if is_final => {
            Effect::http(rng.choice([400, 404, 405, 410, 422]).unwrap())
        }
        Operation::UpdateStatus | Operation::ReadReservation => faulty_rest_reply(rng),
        _ if rng.u8(..3) == 0 => Effect::grpc(if is_final {
            rng.choice([3, 5, 9, 11, 12, 15]).unwrap()
        } else {
            rng.choice([0, 1, 2, 4, 7, 8, 10, 13, 14, 16]).unwrap()
        }),
        Operation::ReleaseHold if is_final => {
            Effect::reply(rng.choice([0, 4]).unwrap(), rng.choice([4, 7, 10, 12, 14, 21]))
        }
        Operation::ReleaseHold if rng.u8(..4) == 0 => Effect::reply(4, None),
        Operation::ReleaseHold => Effect::reply(rng.choice([0, 4, 99]).unwrap(), Some(transient_code(rng))),
        _ if is_final => Effect::reply(rng.choice([2, 3, 4]).unwrap(), rng.choice([5, 12, 14, 15])),
        _ => Effect::reply(rng.choice([0, 1, 99]).unwrap(), Some(transient_code(rng))),
    }
}

fn faulty_rest_reply(rng: &mut Rng) -> Effect {
    match rng.u8(..15) {
        0..4 => Effect::http_code(409, rng.choice(["CONCURRENT_UPDATE", "IDEMPOTENCY_CONFLICT"]).unwrap()),
        7 => Effect::http_code(402, "PAYMENT_NOT_CONFIRMED"),
        8 => Effect::http_code(412, "PAYMENT_NOT_APPROVED"),
        9 => Effect::http(429).with_retry_after(rng.choice(["0", "2", "30", "soon"]).unwrap()),
        10 => Effect::http(rng.choice([301, 302, 307, 308]).unwrap()).with_location("/elsewhere"),
        4 => Effect::EmptyBody,
        5 => json(rng.choice(["{}", "null", "{", r#"{"reservation_id":"another"}"#]).unwrap()),
        6 => html(rng.choice([404, 405, 409, 502, 503]).unwrap()),
        11 => Effect::CamelCase,
        _ => Effect::http(rng.choice([401, 403, 408, 425, 500, 501, 502, 503, 504]).unwrap()),
    }
}

fn transient_code(rng: &mut Rng) -> i32 {
    rng.choice([1, 2, 3, 8, 9, 11, 13, 16, 17, 18, 19, 20, 22, 99]).unwrap()
}

fn json(text: &str) -> Effect {
    Effect::Body { content_type: "application/json".to_owned(), body: text.to_owned() }
}

/// A page that is not an error of the API.
pub fn html(status: u16) -> Effect {
    let (content_type, body) = ("text/html".to_owned(), "<html><title>Not Found</title>".to_owned());
    Effect::HttpBody { status, content_type, body }
}

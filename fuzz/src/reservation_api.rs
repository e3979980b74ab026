//! Replies of the reservation API, over a socket. The client classifies each as the contract says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reservation_worker::call::{Classify, ErrorClass};
use reservation_worker::config::Config;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::{Ending, Id};
use reservation_worker::services::reservation_api::{
    Error, Reservation, ReservationApi, Transition, UpdateResult,
};
use reservation_worker::telemetry::metrics::Metrics;
use rustls::RootCertStore;
use serde_json::{Map, Value};
use sqs_batch::Deadline;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const RESERVATION_ID: &str = "r-1";
const MAX_BACKOFF: Duration = Duration::from_secs(900);

/// Checks a reply. The first line of the input is the HTTP status, the rest is the body. A read of the
/// reservation gets the same body with status 200.
pub fn check(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (line, body) = (&input[..end], &input[end + 1..]);
    let Some(status) = std::str::from_utf8(line).ok().and_then(|line| line.parse::<u16>().ok()) else {
        return;
    };
    // Other tests cover the statuses whose replies have no body or no end.
    if !matches!(status, 200..=203 | 206..=303 | 305..=599) {
        return;
    }
    let (ended, read) = FIXTURE.with(|fixture| fixture.call(status, body));
    check_read(&read, body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let (code, is_api_error) = (code(&json), json["error"]["code"].is_string());
    match (status, code) {
        (200..300, _) => assert!(matches!(ended, Ok(UpdateResult::Done(_))), "{ended:?}"),
        (401 | 402 | 403 | 408 | 412 | 425 | 429, _) => {
            assert_eq!(error_class(&ended), Some("retried"), "{ended:?}")
        }
        (404 | 405, None) if !is_api_error => assert_eq!(error_class(&ended), Some("retried"), "{ended:?}"),
        (400..500, Some(ending)) => assert_eq!(ended.ok(), Some(UpdateResult::AlreadyEnded(ending))),
        // The client reads the reservation, and its status decides.
        (409, None) => match read.map(|reservation| reservation.ending) {
            Ok(Some(ending)) => assert_eq!(ended.ok(), Some(UpdateResult::AlreadyEnded(ending))),
            _ => assert_eq!(error_class(&ended), Some("retried"), "{ended:?}"),
        },
        (400..500, None) => assert_eq!(error_class(&ended), Some("rejected"), "{ended:?}"),
        _ => assert_eq!(error_class(&ended), Some("retried"), "{ended:?}"),
    }
}

/// Checks that the client accepts only a JSON object for the requested reservation, and reads its values
/// correctly.
fn check_read(read: &Result<Reservation, Error>, body: &[u8]) {
    let body = serde_json::from_slice::<Map<String, Value>>(body);
    let is_this = |id: Option<&Value>| match id {
        Some(Value::String(id)) => id.is_empty() || id == RESERVATION_ID,
        _ => true,
    };
    let is_reservation = body
        .as_ref()
        .is_ok_and(|body| ["reservation_id", "reservationId"].iter().all(|name| is_this(body.get(*name))));
    assert_eq!(read.is_ok(), is_reservation, "{read:?}");
    let (Ok(reservation), Ok(body)) = (read, body) else { return };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    assert_eq!(
        reservation.ending.map(Ending::as_str),
        text("status").filter(|status| ENDINGS.contains(status))
    );
    let is_event_id = |id: &Id| ["event_id", "eventId"].iter().any(|name| text(name) == Some(id.as_str()));
    assert!(reservation.event_id.as_ref().is_none_or(is_event_id));
    if let Some(seats) = &reservation.seats {
        let listed = body.get("seat_ids").filter(|seats| !seats.is_null()).or(body.get("seatIds"));
        let listed = listed.and_then(Value::as_array);
        assert_eq!(seats.ids().len(), listed.map_or(0, Vec::len), "the number of seats differs");
        assert!(seats.quantity() > 0);
    }
}

const ENDINGS: [&str; 3] = ["CONFIRMED", "CANCELLED", "EXPIRED"];

/// The final status that the error code in a reply names.
fn code(body: &Value) -> Option<Ending> {
    match body.get("error")?.get("code")?.as_str()? {
        "RESERVATION_ALREADY_CONFIRMED" => Some(Ending::Confirmed),
        "RESERVATION_ALREADY_CANCELLED" => Some(Ending::Cancelled),
        "RESERVATION_EXPIRED" => Some(Ending::Expired),
        _ => None,
    }
}

/// The class of an error. Checks that the reason code matches the class, and that the text contains nothing
/// from the reply.
fn error_class(result: &Result<UpdateResult, Error>) -> Option<&'static str> {
    let error = result.as_ref().err()?;
    let text = error.to_string();
    let is_expected = |char: char| char.is_ascii_alphanumeric() || " _-:,()".contains(char);
    assert!(text.len() < 200 && text.chars().all(is_expected), "{text:?}");
    let is_rejected = error.reason_code() == Reason::ReservationApiRejected;
    match error.class() {
        ErrorClass::Rejected => assert!(is_rejected, "{error:?}"),
        ErrorClass::Transient { retry_after } | ErrorClass::Unavailable { retry_after } => {
            assert!(!is_rejected && retry_after.is_none_or(|wait| wait <= MAX_BACKOFF), "{error:?}");
        }
        ErrorClass::Misconfigured => assert!(!is_rejected, "{error:?}"),
        ErrorClass::NotCalled(_) => panic!("the service was called"),
    }
    Some(if is_rejected { "rejected" } else { "retried" })
}

thread_local! {
    static FIXTURE: Fixture = Fixture::start();
}

/// A server that gives the same reply to every request, and the client of the function.
struct Fixture {
    runtime: Runtime,
    reply: Arc<Mutex<Reply>>,
    client: ReservationApi,
}

#[derive(Default)]
struct Reply {
    status: u16,
    body: Vec<u8>,
}

impl Fixture {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reply = Arc::<Mutex<Reply>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let replies = reply.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, replies.clone()));
            }
        });
        let config = Config::from_lookup(|variable| match variable {
            "INVENTORY_GRPC_ADDR" => Some("localhost:1".to_owned()),
            "RESERVATION_API_BASE" => Some(base.clone()),
            "RESERVATION_API_TIMEOUT_MS" => Some("60000".to_owned()),
            "BREAKER_FAILURES" => Some("0".to_owned()),
            _ => None,
        });
        let config = config.unwrap();
        let client =
            ReservationApi::new(&config.reservation_api, RootCertStore::empty(), Metrics::default()).unwrap();
        Self { runtime, reply, client }
    }

    /// Confirms the reservation and reads it. Each call has one attempt, because the deadline leaves no time
    /// for another.
    fn call(&self, status: u16, body: &[u8]) -> (Result<UpdateResult, Error>, Result<Reservation, Error>) {
        *self.reply.lock().unwrap() = Reply { status, body: body.to_owned() };
        let id = Id::new(RESERVATION_ID).unwrap();
        let transition = Transition {
            reservation_id: &id,
            to: Ending::Confirmed,
            payment_intent_id: Some("pay-1"),
            reason: None,
            error_code: None,
        };
        let deadline = Deadline::within(Duration::ZERO);
        self.runtime.block_on(async {
            (self.client.end(&transition, deadline).await, self.client.read(&id, deadline).await)
        })
    }
}

async fn serve(stream: TcpStream, reply: Arc<Mutex<Reply>>) {
    let mut stream = BufStream::new(stream);
    while let Some(method) = request(&mut stream).await {
        let bytes = {
            let Reply { status, body } = &*reply.lock().unwrap();
            let status = if method == "GET" { 200 } else { *status };
            let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Reads a request and returns its method.
async fn request(stream: &mut BufStream<TcpStream>) -> Option<String> {
    let (mut method, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(' ') {
            None if method.is_none() => return None,
            None => break,
            Some(("content-length:", value)) => length = value.parse().unwrap(),
            Some((word, _)) => _ = method.get_or_insert(word.to_owned()),
        }
    }
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    method
}

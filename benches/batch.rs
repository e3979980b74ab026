//! What a warm batch costs, beside a bare function that makes the same two calls (`cargo bench --bench batch`).
//!
//! Both run as release binaries under the same Runtime API against the same services, in turn, round by
//! round; the figures are the medians of the rounds, and what to quote is the ratio.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reservation_worker_local::cargo;
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::{Hold, Services};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error>;

const ROUNDS: usize = 9;
const BATCHES: usize = 200;
const RECORDS: usize = 10;

/// One round of one function.
#[derive(Clone, Copy)]
struct Figures {
    init: Duration,
    batch: Duration,
    cpu: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
    let release = cargo::build_release(Path::new(env!("CARGO_MANIFEST_DIR")), target)?;
    let services = Services::start().await?;
    let daemon = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let xray = daemon.local_addr()?.to_string();
    std::thread::spawn(move || { let mut b = [0; 65536]; while daemon.recv(&mut b).is_ok() {} });
    let collector = reservation_worker_local::trace_receivers::Collector::start().await?;
    let contenders = [("reservation-worker", "", String::new()), ("bare_function", "", String::new()), ("reservation-worker", "AWS_XRAY_DAEMON_ADDRESS", xray.clone()), ("reservation-worker", "AWS_XRAY_DAEMON_ADDRESS", xray), ("reservation-worker", "OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())].map(|(name, k, v)| (release.join(name), k, v));
    let mut rounds = [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (contender, (binary, figures)) in contenders.iter().zip(&mut rounds).enumerate() {
            let measured = measure(binary, &services, &format!("{round}-{contender}"), contender == 3).await?;
            if round > 0 {
                figures.push(measured); // the first round warms the machine up
            }
        }
    }
    print(&rounds);
    Ok(())
}

async fn measure(binary: &(std::path::PathBuf, &str, String), services: &Services, series: &str, unsampled: bool) -> Result<Figures, Error> {
    let environment = [
        ("INVENTORY_GRPC_ADDR".to_owned(), services.inventory_addr()),
        ("RESERVATION_API_BASE".to_owned(), services.reservation_api_base()),
    ];
    let environment = environment.into_iter().chain((!binary.1.is_empty()).then(|| (binary.1.to_owned(), binary.2.clone())));
    let binary = &binary.0;
    let mut function = Function::start(binary, environment).await?;
    let init = function.ready().await?;
    let mut batches = Vec::new();
    let mut cpu = Duration::ZERO;
    for number in 0..BATCHES + 10 {
        if number == 10 {
            cpu = cpu_time(function.pid())?; // connected, warm
        }
        let mut event = batch(services, &format!("{series}-{number}"))?;
        if unsampled { for r in event["Records"].as_array_mut().unwrap() { r["messageAttributes"]["traceparent"] = json!({"stringValue": format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), "dataType": "String"}); } }
        let start = Instant::now();
        let answer = function.invoke(&event, Duration::from_secs(60)).await?.response;
        if number >= 10 {
            batches.push(start.elapsed());
        }
        if answer != Ok(json!({ "batchItemFailures": [] })) {
            return Err(format!("{}: {answer:?}", binary.display()).into());
        }
    }
    let cpu = (cpu_time(function.pid())? - cpu) / BATCHES as u32;
    Ok(Figures { init, batch: median(batches), cpu })
}

/// A batch of expiries of holds that exist.
fn batch(services: &Services, series: &str) -> Result<Value, Error> {
    let mut records = Vec::new();
    for number in 0..RECORDS {
        let reservation_id = format!("r-{series}-{number}");
        let hold = Hold {
            reservation_id,
            event_id: format!("evt-{series}"),
            user_id: None,
            seat_ids: vec![format!("A-{number}"), format!("B-{number}")],
            quantity: None,
        };
        let body = json!({
            "detail-type": "reservation.expired",
            "detail": { "reservation_id": hold.reservation_id, "event_id": hold.event_id, "seat_ids": hold.seat_ids },
        });
        services.create_hold(hold)?;
        records.push(json!({
            "messageId": format!("m-{series}-{number}"),
            "receiptHandle": "AQEB",
            "body": body.to_string(),
            "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000" },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
            "awsRegion": "ap-northeast-2",
        }));
    }
    Ok(json!({ "Records": records }))
}

/// Time on a processor, of all threads of the process.
fn cpu_time(pid: u32) -> Result<Duration, Error> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(rounds: &[Vec<Figures>; 5]) {
    for (name, r) in ["off", "bare", "xray sampled", "xray records unsampled", "otlp http"].iter().zip(rounds) {
        let f = |g: fn(&Figures) -> Duration| micros(median(r.iter().map(g).collect()));
        println!("{name}: cpu {:.0} time {:.0} init {:.0}", f(|f| f.cpu), f(|f| f.batch), f(|f| f.init));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median<T: PartialOrd + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    figures[figures.len() / 2]
}

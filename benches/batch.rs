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
    let contenders = ["reservation-worker", "bare_function"].map(|name| release.join(name));
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (contender, (binary, figures)) in contenders.iter().zip(&mut rounds).enumerate() {
            let measured = measure(binary, &services, &format!("{round}-{contender}")).await?;
            if round > 0 {
                figures.push(measured); // the first round warms the machine up
            }
        }
    }
    print(&rounds);
    Ok(())
}

async fn measure(binary: &Path, services: &Services, series: &str) -> Result<Figures, Error> {
    let mut function = Function::start(binary, services.environment()).await?;
    let init = function.ready().await?;
    let mut batches = Vec::new();
    let mut cpu = Duration::ZERO;
    for number in 0..BATCHES + 10 {
        if number == 10 {
            cpu = cpu_time(function.pid())?; // connected, warm
        }
        let event = batch(services, &format!("{series}-{number}"))?;
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
fn print(rounds: &[Vec<Figures>; 2]) {
    println!("batch of {RECORDS}, {BATCHES} batches a round, medians of {ROUNDS} rounds\n");
    println!("| | reservation worker | bare function | ratio (median of the rounds) |");
    println!("|---|--:|--:|--:|");
    type Row = (&'static str, fn(&Figures) -> Duration);
    let rows: [Row; 3] = [
        ("CPU a batch", |figures| figures.cpu),
        ("time a batch, p50", |figures| figures.batch),
        ("init", |figures| figures.init),
    ];
    for (name, figure) in rows {
        let [ours, bare] = [0, 1].map(|contender| median(rounds[contender].iter().map(figure).collect()));
        let pairs = rounds[0].iter().zip(&rounds[1]);
        let ratio = median(pairs.map(|(ours, bare)| figure(ours).div_duration_f64(figure(bare))).collect());
        println!("| {name} | {:.0} µs | {:.0} µs | {ratio:.2} |", micros(ours), micros(bare));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median<T: PartialOrd + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    figures[figures.len() / 2]
}

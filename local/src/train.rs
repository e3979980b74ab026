//! The command `train`: runs the work of the deployed function through a function that was built with `-C
//! profile-generate`, so that the compiler gets a profile of which code runs often.
//!
//! Most records succeed, as in production. Each kind of failure occurs as well, because the compiler optimises code
//! that never ran for size and not for speed.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::expectations::{self, Case};
use reservation_worker_local::runtime_api::Function;
use reservation_worker_local::trace_receivers::Daemon;
use reservation_worker_local::{Effect, Fault, Operation, Service, Services};
use serde_json::{Value, json};

use crate::burst::{Burst, BurstPlan};
use crate::events;
use crate::options::Failure;

/// The time-out of an invocation, which is also the time for the shutdown. It is short because records can wait for a
/// service that fails until there is no time left.
const LIMIT: Duration = Duration::from_secs(6);
/// The numbers of records per batch.
const BATCH_SIZES: [usize; 3] = [1, 10, 100];
/// The number of events for each batch size, while both services work.
const EVENTS_PER_SIZE: usize = 3_000;
/// The number of events for each fault.
const EVENTS_PER_FAULT: usize = 30;

/// Runs `binary` with these workloads. Each process ends as Lambda ends it, and then writes its profile.
pub(crate) async fn run(binary: &Path, workloads: Workloads) -> Result<ExitCode, Failure> {
    let training = Training { binary, services: Services::start().await?, daemon: Daemon::start().await? };
    for records in BATCH_SIZES {
        training.run_burst(EVENTS_PER_SIZE, records, workloads).await?;
    }
    if workloads == Workloads::All {
        for fault in faults() {
            training.services.fault(fault);
            training.run_burst(EVENTS_PER_FAULT, 15, workloads).await?;
            training.services.clear_faults();
        }
        training.run_samples(&expectations::load(&events())?).await?;
    }
    println!("train: {} has processed all workloads", binary.display());
    Ok(ExitCode::SUCCESS)
}

/// What a function is trained with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Workloads {
    /// All types and shapes of events, with failures.
    All,
    /// Expired holds in the shape of EventBridge, which succeed: the only events of the benchmark's minimal function.
    ExpiredHolds,
}

/// Failures of each class of contract section 3.
fn faults() -> impl Iterator<Item = Fault> {
    let rest = [
        Effect::latency(20),
        Effect::Reset,
        Effect::http(503),
        Effect::http(429).with_retry_after("1"),
        Effect::http(401),
        Effect::http_code(409, "RESERVATION_EXPIRED"),
        Effect::done_then(Effect::Reset),
    ];
    let grpc = [Effect::latency(20), Effect::Reset, Effect::grpc(14), Effect::grpc(3), Effect::grpc(16)];
    let of = |operation| move |effect| Fault::any(operation, effect);
    let released = grpc.clone().into_iter().map(of(Operation::ReleaseHold));
    let committed = grpc.into_iter().map(of(Operation::CommitReservation));
    rest.into_iter()
        .map(|effect| Fault::of_service(Service::ReservationApi, effect))
        .chain(released)
        .chain(committed)
}

struct Training<'a> {
    binary: &'a Path,
    services: Services,
    daemon: Daemon,
}

impl Training<'_> {
    async fn start(&self) -> Result<Function, Failure> {
        let mut environment = self.services.environment();
        environment.insert("AWS_XRAY_DAEMON_ADDRESS".to_owned(), self.daemon.address()?);
        environment.insert("WORKER_CONCURRENCY".to_owned(), "100".to_owned());
        Ok(Function::start(self.binary, environment).await?)
    }

    /// Runs a burst of events through a new process, in batches of this number of records.
    async fn run_burst(&self, events: usize, records: usize, workloads: Workloads) -> Result<(), Failure> {
        let name = format!("{:08x}", fastrand::u32(..));
        let burst = match workloads {
            Workloads::All => {
                Burst::new(&BurstPlan { events, duplicates_percent: 10, poison: events / 50, name }).await
            }
            Workloads::ExpiredHolds => Burst::of_expired_holds(events, &name),
        };
        for hold in &burst.holds {
            self.services.create_hold(hold.clone())?;
        }
        let mut function = self.start().await?;
        for (number, bodies) in burst.bodies.chunks(records).enumerate() {
            self.invoke(&mut function, &event(number, bodies)?).await?;
        }
        self.end(function).await
    }

    async fn run_samples(&self, cases: &[Case]) -> Result<(), Failure> {
        let mut function = self.start().await?;
        for case in cases {
            case.given.apply(&self.services)?;
            self.invoke(&mut function, &case.event).await?;
        }
        self.end(function).await
    }

    /// A function that rejects a whole batch has not done the work that it is trained for.
    async fn invoke(&self, function: &mut Function, event: &Value) -> Result<(), Failure> {
        let rejected = function.invoke(event, LIMIT).await?.response.err();
        rejected.map_or(Ok(()), |error| Err(format!("{}: {error}", self.binary.display()).into()))
    }

    async fn end(&self, mut function: Function) -> Result<(), Failure> {
        function.idle().await?;
        let exit = function.terminate(LIMIT).await?;
        self.daemon.documents()?;
        self.services.take_calls();
        self.services.cloudwatch().take();
        if exit.status.success() {
            Ok(())
        } else {
            Err(format!("{}: {}", self.binary.display(), exit.status).into())
        }
    }
}

/// The event of Lambda for these bodies. The producer samples the trace of every second record.
fn event(batch: usize, bodies: &[String]) -> Result<Value, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let record = |(number, body): (usize, &String)| {
        let sampled = number % 2;
        json!({
            "messageId": format!("{batch:08x}-0000-4000-8000-{number:012x}"),
            "receiptHandle": "AQEB",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": now.as_millis().to_string(),
                "AWSTraceHeader": format!(
                    "Root=1-{:08x}-{batch:012x}{number:012x};Parent={:016x};Sampled={sampled}",
                    now.as_secs(),
                    number + 1
                ),
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
            "awsRegion": "ap-northeast-2",
        })
    };
    Ok(json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() }))
}

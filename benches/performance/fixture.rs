//! What all measurements share: the services, which reply after 5 ms and 2 ms, the receivers of all telemetry, and the
//! binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::{Effect, Fault, Hold, Operation, Services, cargo};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::program::{Program, Workload};
use crate::{Error, Rounds};

pub struct Fixture {
    services: Services,
    release: PathBuf,
    xray_daemon: String,
    listener: JoinHandle<()>,
}

impl Fixture {
    pub async fn start() -> Result<Self, Error> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
        let release = cargo::build_release(Path::new(env!("CARGO_MANIFEST_DIR")), target)?;
        let services = Services::start().await?;
        services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(5)));
        services.fault(Fault::any(Operation::ReleaseHold, Effect::latency(2)));
        let daemon = UdpSocket::bind("127.0.0.1:0").await?;
        let xray_daemon = daemon.local_addr()?.to_string();
        let listener = tokio::spawn(async move {
            let mut segment = [0; 65_536];
            while daemon.recv(&mut segment).await.is_ok() {}
        });
        Ok(Self { services, release, xray_daemon, listener })
    }

    /// The worker as it is deployed, with all telemetry on.
    pub fn worker(&self) -> Program {
        let mut environment = self.environment();
        environment.push(("AWS_XRAY_DAEMON_ADDRESS".to_owned(), self.xray_daemon.clone()));
        Program { name: "reservation worker", binary: self.release.join("reservation-worker"), environment }
    }

    /// Another version of the worker, with the same settings.
    pub fn other_worker(&self, binary: PathBuf) -> Program {
        Program { name: "other worker", binary, ..self.worker() }
    }

    /// The minimal function, whose cost is the minimum.
    pub fn minimal_function(&self) -> Program {
        let (binary, environment) = (self.release.join("minimal_function"), self.environment());
        Program { name: "minimal function", binary, environment }
    }

    /// The variables of both functions. The time-outs are long, so that a machine that stalls for a moment causes no time-out.
    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.services.environment();
        environment.insert("INVENTORY_TIMEOUT_MS".to_owned(), "10000".to_owned());
        environment.insert("RESERVATION_API_TIMEOUT_MS".to_owned(), "10000".to_owned());
        environment.into_iter().collect()
    }

    /// The worker without one part of its telemetry, for each part, and without any telemetry.
    pub fn workers_with_less_telemetry(&self) -> [Program; 4] {
        let worker_with = |name, variables: &[(&str, &str)]| {
            let mut worker = Program { name, ..self.worker() };
            for (variable, value) in variables {
                worker.environment.retain(|(name, _)| name != variable);
                worker.environment.push(((*variable).to_owned(), (*value).to_owned()));
            }
            worker
        };
        let (metrics, traces, log) =
            (("METRICS_SINK", "none"), ("AWS_XRAY_DAEMON_ADDRESS", ""), ("LOG_LEVEL", "error"));
        [
            worker_with("without metrics", &[metrics]),
            worker_with("without traces", &[traces]),
            worker_with("without the log", &[log]),
            worker_with("without telemetry", &[metrics, traces, log]),
        ]
    }

    /// The size of the deployment package in bytes.
    pub fn zip_size(&self) -> Result<u64, Error> {
        let folder = tempfile::tempdir()?;
        let (zip, bootstrap) = (folder.path().join("bootstrap.zip"), folder.path().join("bootstrap"));
        fs::copy(self.release.join("reservation-worker"), &bootstrap)?;
        let status =
            Command::new("python3").args(["-m", "zipfile", "-c"]).args([&zip, &bootstrap]).status()?;
        if !status.success() {
            return Err("python3 -m zipfile failed".into());
        }
        Ok(fs::metadata(zip)?.len())
    }

    /// Runs the workload in all programs, one after the other, for each round. A first round is not measured.
    pub async fn run_rounds(&self, programs: &[&Program], workload: &Workload) -> Result<Rounds, Error> {
        let mut rounds = vec![Vec::new(); programs.len()];
        for round in 0..=workload.rounds {
            for (program, runs) in programs.iter().zip(&mut rounds) {
                let run = program.run(workload, self.events(workload)?).await?;
                if round > 0 {
                    runs.push(run);
                }
                self.services.take_calls();
            }
        }
        Ok(rounds)
    }

    /// Creates holds. Returns batches of events about their expiry.
    fn events(&self, workload: &Workload) -> Result<Vec<Value>, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let batches = workload.warm_up_batches + workload.batches;
        (0..batches).map(|batch| self.event(now, batch, workload.records)).collect()
    }

    fn event(&self, now: Duration, batch: usize, records: usize) -> Result<Value, Error> {
        let record = |number: usize| {
            let series = now.as_nanos();
            let hold = Hold {
                reservation_id: format!("r-{series}-{batch}-{number}"),
                event_id: format!("evt-{series}-{batch}"),
                user_id: None,
                seat_ids: vec![format!("A-{number}"), format!("B-{number}")],
                quantity: None,
            };
            let body = json!({
                "detail-type": "reservation.expired",
                "detail": {
                    "reservation_id": hold.reservation_id, "event_id": hold.event_id, "seat_ids": hold.seat_ids,
                },
            });
            self.services.create_hold(hold)?;
            Ok(json!({
                "messageId": format!("{batch:08x}-0000-4000-8000-{number:012x}"),
                "receiptHandle": "AQEB",
                "body": body.to_string(),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": now.as_millis().to_string(),
                    "AWSTraceHeader": format!("Root=1-{:08x}-{batch:012x}{number:012x};Parent={:016x};Sampled=1", now.as_secs(), number + 1),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:ap-northeast-2:123456789012:reservation-events",
                "awsRegion": "ap-northeast-2",
            }))
        };
        let records = (0..records).map(record).collect::<Result<Vec<_>, Error>>()?;
        Ok(json!({ "Records": records }))
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

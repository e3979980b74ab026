//! The services at 5 ms and 2 ms, the listeners of all telemetry, and the binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::{Effect, Fault, Hold, Operation, Services, cargo};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::contender::{Contender, Work};
use crate::{Error, Rounds};

pub struct Stand {
    services: Services,
    release: PathBuf,
    xray_daemon: String,
    listener: JoinHandle<()>,
}

impl Stand {
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

    /// As it is deployed, all telemetry on.
    pub fn worker(&self) -> Contender {
        let mut environment = self.environment();
        environment.push(("AWS_XRAY_DAEMON_ADDRESS".to_owned(), self.xray_daemon.clone()));
        Contender { name: "reservation worker", binary: self.release.join("reservation-worker"), environment }
    }

    /// The limit.
    pub fn bare(&self) -> Contender {
        let (binary, environment) = (self.release.join("bare_function"), self.environment());
        Contender { name: "bare function", binary, environment }
    }

    /// Time-outs that a machine which stands still for a moment does not reach.
    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.services.environment();
        environment.insert("INVENTORY_TIMEOUT_MS".to_owned(), "10000".to_owned());
        environment.insert("RESERVATION_API_TIMEOUT_MS".to_owned(), "10000".to_owned());
        environment.into_iter().collect()
    }

    /// The worker without one part of its telemetry each, and without all of it.
    pub fn without(&self) -> [Contender; 4] {
        let with = |name, variables: &[(&str, &str)]| {
            let mut worker = Contender { name, ..self.worker() };
            for (variable, value) in variables {
                worker.environment.retain(|(name, _)| name != variable);
                worker.environment.push(((*variable).to_owned(), (*value).to_owned()));
            }
            worker
        };
        let (metrics, traces, log) =
            (("METRICS_SINK", "none"), ("AWS_XRAY_DAEMON_ADDRESS", ""), ("LOG_LEVEL", "error"));
        [
            with("without metrics", &[metrics]),
            with("without traces", &[traces]),
            with("without the log", &[log]),
            with("without any", &[metrics, traces, log]),
        ]
    }

    /// What is uploaded, in bytes.
    pub fn zip_size(&self) -> Result<u64, Error> {
        let folder = tempfile::tempdir()?;
        let (zip, bootstrap) = (folder.path().join("bootstrap.zip"), folder.path().join("bootstrap"));
        fs::copy(self.release.join("reservation-worker"), &bootstrap)?;
        let made = Command::new("python3").args(["-m", "zipfile", "-c"]).args([&zip, &bootstrap]).status()?;
        if !made.success() {
            return Err("python3 -m zipfile failed".into());
        }
        Ok(fs::metadata(zip)?.len())
    }

    /// Each contender does the work in turn, round by round; one round before warms the machine up.
    pub async fn in_turn(&self, contenders: &[&Contender], work: &Work) -> Result<Rounds, Error> {
        let mut rounds = vec![Vec::new(); contenders.len()];
        for round in 0..=work.rounds {
            for (contender, runs) in contenders.iter().zip(&mut rounds) {
                let run = contender.run(work, self.events(work)?).await?;
                if round > 0 {
                    runs.push(run);
                }
                self.services.take_calls();
            }
        }
        Ok(rounds)
    }

    /// Batches of expiries of holds that exist.
    fn events(&self, work: &Work) -> Result<Vec<Value>, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        (0..work.warm + work.batches).map(|batch| self.event(now, batch, work.records)).collect()
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

impl Drop for Stand {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

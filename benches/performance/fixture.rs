//! What a measurement needs: the programs, the services, the receivers of telemetry, and the variables of the user.

use std::env;

use reservation_worker_local::Services;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::Error;
use crate::program::{Program, Rounds};
use crate::programs::Programs;
use crate::statistics::MIN_ROUNDS;
use crate::workload::Workload;

/// The parts of the benchmark: the values of the variable `ONLY`.
const PARTS: [&str; 10] = [
    "cold-start",
    "batch-10",
    "batch-100",
    "batch-10000",
    "sampling",
    "cores",
    "outcomes",
    "sizes",
    "concurrency",
    "telemetry",
];

pub struct Fixture {
    pub programs: Programs,
    /// The part that is measured. `None`: all.
    only: Option<String>,
    /// The number of rounds, instead of that of the workload.
    rounds: Option<usize>,
    xray_daemon: String,
    listener: JoinHandle<()>,
}

impl Fixture {
    pub async fn start() -> Result<Self, Error> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let only = variable("ONLY");
        if let Some(only) = only.as_deref().filter(|only| !PARTS.contains(only)) {
            return Err(format!("ONLY={only} is none of {}", PARTS.join(", ")).into());
        }
        let rounds = variable("ROUNDS").map(|rounds| rounds.parse()).transpose()?;
        if rounds.is_some_and(|rounds| rounds < MIN_ROUNDS) {
            return Err(format!("ROUNDS must be at least {MIN_ROUNDS}").into());
        }
        let daemon = UdpSocket::bind("127.0.0.1:0").await?;
        let xray_daemon = daemon.local_addr()?.to_string();
        let listener = tokio::spawn(async move {
            let mut segment = [0; 65_536];
            while daemon.recv(&mut segment).await.is_ok() {}
        });
        Ok(Self { programs: Programs::build()?, only, rounds, xray_daemon, listener })
    }

    /// Whether this part is measured.
    pub fn measures(&self, part: &str) -> bool {
        debug_assert!(PARTS.contains(&part), "{part}");
        self.only.as_deref().is_none_or(|only| only == part)
    }

    pub fn measures_everything(&self) -> bool {
        self.only.is_none() && self.rounds.is_none()
    }

    /// Runs the workload in all programs, one after the other, for each round. In every second round the order is the
    /// reverse. Each round has new services, so that the reservations of earlier rounds do not make them slower.
    pub async fn run_rounds(&self, programs: &[Program], workload: &Workload) -> Result<Rounds, Error> {
        let mut rounds = Rounds::new();
        let mut order: Vec<_> = programs.iter().collect();
        for _ in 0..self.rounds.unwrap_or(workload.rounds) {
            let services = Services::start().await?;
            workload.kind.prepare(&services);
            for program in &order {
                let run = program.run(workload, &services, &self.xray_daemon).await;
                let run = run.map_err(|error| format!("{}, {workload:?}: {error}", program.name))?;
                rounds.entry(program.name).or_default().push(run);
            }
            order.reverse();
        }
        Ok(rounds)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

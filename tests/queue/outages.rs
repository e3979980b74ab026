//! The inventory is unavailable for some time and then recovers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reservation_worker_local::event_source::RunningMapping;
use reservation_worker_local::{Effect, Fault, Operation, Service, Status};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fixture::{Fixture, LONG, process};

const DOWN: Duration = Duration::from_secs(8);
const FAILURES: usize = 5;
const OPEN: Duration = Duration::from_secs(2);
const BATCH: usize = 10;

#[tokio::test]
async fn an_inventory_that_refuses_connections_gets_single_probes_and_no_event_goes_to_the_dlq() {
    let mut outage = Outage::begin().await;
    outage.fixture.services.stop(Service::Inventory).await;
    let down = outage.wait().await;
    // A stopped service cannot count refused connections, so the log of the function is counted.
    let log = outage.running.log_lines();
    let refused = |line: &&Value| line["service"] == "inventory" && line["status"] == "UNAVAILABLE";
    outage.assert_single_probes(log.iter().filter(refused).count(), down);
    outage.fixture.services.restart(Service::Inventory).await.unwrap();
    outage.end().await;
}

#[tokio::test]
async fn an_inventory_that_drops_connections_gets_single_probes() {
    let mut outage = Outage::begin().await;
    outage.fixture.services.stop(Service::Inventory).await;
    let listener = TcpListener::bind(outage.fixture.services.inventory_addr()).await.unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let mut dropping = JoinSet::new();
    dropping.spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let down = outage.wait().await;
    dropping.shutdown().await;
    outage.fixture.services.restart(Service::Inventory).await.unwrap();
    outage.assert_single_probes(accepted.load(Ordering::Relaxed), down);
    outage.end().await;
}

#[tokio::test]
async fn an_inventory_that_replies_unavailable_gets_single_probes() {
    let mut outage = Outage::begin().await;
    let services = &outage.fixture.services;
    services.take_calls();
    services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    let down = outage.wait().await;
    let calls = outage.fixture.services.calls();
    outage.fixture.services.clear_faults();
    let commits = calls.iter().filter(|call| call.operation == Operation::CommitReservation).count();
    outage.assert_single_probes(commits, down);
    outage.end().await;
}

/// Payments before, during and after an outage of the inventory.
struct Outage {
    fixture: Fixture,
    running: RunningMapping,
    paid: Vec<String>,
}

impl Outage {
    async fn begin() -> Self {
        let fixture = Fixture::new(false, 5, LONG).await;
        let (failures, open_ms) = (FAILURES.to_string(), OPEN.as_millis().to_string());
        // With a shorter back-off the messages would use up their receives during the outage. A longer one
        // after an unavailable service would only make the test longer.
        let mut mapping = fixture.mapping(&[
            ("BACKOFF_BASE_MS", "1000"),
            ("BACKOFF_MAX_MS", "900000"),
            ("OUTAGE_BACKOFF_MS", "1000,2000,4000"),
            ("BREAKER_FAILURES", &failures),
            ("BREAKER_OPEN_MS", &open_ms),
            ("LOG_LEVEL", "debug"),
        ]);
        mapping.idle = LONG; // an idle process must not end, because it could not close its breaker
        let running = mapping.start().await.unwrap();
        let mut outage = Self { fixture, running, paid: Vec::new() };
        outage.pay(100).await;
        outage.fixture.drained(&outage.running).await;
        outage
    }

    async fn pay(&mut self, count: usize) {
        let paid = self.paid.len();
        self.paid.extend(self.fixture.pay(paid..paid + count).await);
    }

    /// Sends payments during the outage. Returns the time that it lasted.
    async fn wait(&mut self) -> Duration {
        let started = Instant::now();
        self.pay(200).await;
        sleep(DOWN).await;
        started.elapsed()
    }

    /// The last log message about the breaker, by process.
    fn breakers(&self) -> BTreeMap<String, String> {
        let mut breakers = BTreeMap::new();
        for line in self.running.log_lines() {
            let message = line["message"].as_str().unwrap_or_default();
            if message.starts_with("breaker ") {
                assert_eq!(line["service"], "inventory");
                breakers.insert(process(&line).to_owned(), message.to_owned());
            }
        }
        breakers
    }

    /// Asserts the number of calls during the outage. Each process has a breaker of its own. It opens after
    /// `FAILURES` calls, while up to `BATCH` other calls are in flight. Then the process sends one probe per
    /// `OPEN`.
    fn assert_single_probes(&self, calls: usize, down: Duration) {
        let opened = self.breakers().len();
        let probes = down.as_millis().div_ceil(OPEN.as_millis()) as usize;
        let limit = opened * (FAILURES + BATCH + probes);
        assert!((opened..=limit).contains(&calls), "{calls} calls of {opened} processes in {down:?}");
    }

    /// After the recovery: asserts that all events succeed and that every open breaker closes.
    async fn end(mut self) {
        let opened = self.breakers();
        assert!(opened.len() > 1, "{opened:?}");
        // The records wait in their invocations until a probe closes the breaker.
        assert!(!self.running.log_lines().iter().any(|line| line["outcome"] == "deferred"));
        self.fixture.drained(&self.running).await;
        // A probe closes a breaker, so every process must handle a batch again. Slow calls keep all processes
        // busy.
        self.fixture.services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(200)));
        while self.breakers().values().any(|last| last != "breaker closed") {
            assert!(self.paid.len() < 2_000, "{:?}", self.breakers());
            self.pay(100).await;
            self.fixture.drained(&self.running).await;
        }
        self.running.stop().await;
        assert_eq!(self.fixture.queue.dead_letters().await.unwrap(), []);
        assert!(self.paid.iter().all(|id| self.fixture.assert_completed(id) == Status::Confirmed));
    }
}

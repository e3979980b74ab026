//! The inventory is down for a while, and back again.

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

use crate::stage::{LONG, Stage, approved};

const DOWN: Duration = Duration::from_secs(8);
const FAILURES: usize = 5;
const OPEN: Duration = Duration::from_secs(2);
const BATCH: usize = 10;

#[tokio::test]
async fn an_inventory_that_refuses_connections_is_probed_and_kills_no_event() {
    let mut outage = Outage::begin().await;
    outage.stage.services.stop(Service::Inventory).await;
    let down = outage.last().await;
    // What is refused, only the function itself can count.
    let log = outage.running.log_lines();
    let refused = |line: &&Value| line["service"] == "inventory" && line["status"] == "UNAVAILABLE";
    outage.assert_no_storm(log.iter().filter(refused).count(), down);
    outage.stage.services.restart(Service::Inventory).await.unwrap();
    outage.end().await;
}

#[tokio::test]
async fn an_inventory_that_drops_connections_sees_single_probes() {
    let mut outage = Outage::begin().await;
    outage.stage.services.stop(Service::Inventory).await;
    let listener = TcpListener::bind(outage.stage.services.inventory_addr()).await.unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let mut dropping = JoinSet::new();
    dropping.spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let down = outage.last().await;
    dropping.shutdown().await;
    outage.stage.services.restart(Service::Inventory).await.unwrap();
    outage.assert_no_storm(accepted.load(Ordering::Relaxed), down);
    outage.end().await;
}

#[tokio::test]
async fn an_inventory_that_says_it_is_unavailable_sees_single_probes() {
    let mut outage = Outage::begin().await;
    let services = &outage.stage.services;
    services.take_calls();
    services.fault(Fault::any(Operation::CommitReservation, Effect::grpc(14)));
    let down = outage.last().await;
    let calls = outage.stage.services.calls();
    outage.stage.services.clear_faults();
    let commits = calls.iter().filter(|call| call.operation == Operation::CommitReservation).count();
    outage.assert_no_storm(commits, down);
    outage.end().await;
}

/// Payments before, while and after the inventory is down.
struct Outage {
    stage: Stage,
    running: RunningMapping,
    paid: Vec<String>,
}

impl Outage {
    async fn begin() -> Self {
        let stage = Stage::new(false, 5, LONG).await;
        let (failures, open_ms) = (FAILURES.to_string(), OPEN.as_millis().to_string());
        // The back-off that is deployed, so that the receives last.
        let mut mapping = stage.mapping(&[
            ("BACKOFF_BASE_MS", "1000"),
            ("BACKOFF_MAX_MS", "900000"),
            ("BREAKER_FAILURES", &failures),
            ("BREAKER_OPEN_MS", &open_ms),
            ("LOG_LEVEL", "debug"),
        ]);
        mapping.idle = LONG; // a process that is ended cannot close its breaker
        let running = mapping.start().await.unwrap();
        let mut outage = Self { stage, running, paid: Vec::new() };
        outage.pay(100).await;
        outage.stage.drained(&outage.running).await;
        outage
    }

    async fn pay(&mut self, count: usize) {
        let ids: Vec<_> =
            (self.paid.len()..self.paid.len() + count).map(|number| format!("r{number}")).collect();
        ids.iter().for_each(|id| self.stage.hold(id));
        self.stage.queue.send(ids.iter().map(|id| approved(id))).await.unwrap();
        self.paid.extend(ids);
    }

    /// Lets the outage last; how long it was.
    async fn last(&mut self) -> Duration {
        let started = Instant::now();
        self.pay(200).await;
        sleep(DOWN).await;
        started.elapsed()
    }

    /// By process, what its breaker last said.
    fn breakers(&self) -> BTreeMap<String, String> {
        let mut breakers = BTreeMap::new();
        for line in self.running.log_lines() {
            let message = line["message"].as_str().unwrap_or_default();
            if message.starts_with("breaker ") {
                assert_eq!(line["service"], "inventory");
                let process = line["request_id"].as_str().unwrap().split('-').next().unwrap();
                breakers.insert(process.to_owned(), message.to_owned());
            }
        }
        breakers
    }

    /// So many failures open a breaker while a batch is in flight; then a probe now and then. Each of four
    /// processes has one.
    fn assert_no_storm(&self, calls: usize, down: Duration) {
        let opened = self.breakers().len();
        let probes = down.as_millis().div_ceil(OPEN.as_millis()) as usize;
        let most = opened * (FAILURES + BATCH + probes);
        assert!((opened..=most).contains(&calls), "{calls} calls of {opened} processes in {down:?}");
    }

    /// The inventory is back: everything is done, and every breaker that opened closes.
    async fn end(mut self) {
        let opened = self.breakers();
        assert!(opened.len() > 1, "{opened:?}");
        assert!(self.running.log_lines().iter().any(|line| line["outcome"] == "deferred"));
        self.stage.drained(&self.running).await;
        // By a probe, for which its process must be at work again: here, all are at once.
        self.stage.services.fault(Fault::any(Operation::UpdateStatus, Effect::latency(200)));
        while self.breakers().values().any(|last| last != "breaker closed") {
            assert!(self.paid.len() < 2_000, "{:?}", self.breakers());
            self.pay(100).await;
            self.stage.drained(&self.running).await;
        }
        self.running.stop().await;
        assert_eq!(self.stage.queue.dead().await.unwrap(), []);
        assert!(self.paid.iter().all(|id| self.stage.assert_settled(id) == Status::Confirmed));
    }
}

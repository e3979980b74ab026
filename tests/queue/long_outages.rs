//! Twenty minutes without a service at the default settings, compressed into one minute. The back-offs, the open time
//! of a breaker, the visibility time-out of the queue and the time for which records wait in an invocation are a
//! twentieth of their defaults. The other times, such as the time-outs of calls and the 30 s over which recalled
//! records are spread, are not compressed. Two times need an explanation:
//!
//! - SQS counts whole seconds. The worker rounds a visibility time-out up or down at random, in proportion to its
//!   fraction (contract section 6). The time-outs of 0.05 s and 1.5 s are thus right on average. The one of 30 s is
//!   exact, and it is the one that decides how long the receives of an event last.
//! - The machine and moto do not respond faster. The reserve for the response is therefore long, and the time-out of
//!   the function is longer by the reserve. The time for which records wait in an invocation is exact: 29 s / 20.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join;
use reservation_worker_local::event_source::RunningMapping;
use reservation_worker_local::{Effect, Fault, Service, Status};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::fixture::{Fixture, LONG, process};

const OUTAGE: Duration = Duration::from_secs(20 * 60 / 20);
const RESERVE: Duration = Duration::from_secs(10);
const FUNCTION_TIMEOUT: Duration = Duration::from_millis(29_000 / 20).saturating_add(RESERVE);
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(180 / 20);
const BREAKER_OPEN: Duration = Duration::from_millis(5_000 / 20);
const MAX_RETRIES: u32 = 5;
const BATCH: usize = 10;
/// The payments that are sent when the outage begins.
const BACKLOG: usize = 100;
/// How often more messages are sent during the outage, and how many each time.
const ROUNDS: usize = 12;
const PAYMENTS_PER_ROUND: usize = 5;
const POISON_PER_ROUND: usize = 2;

#[tokio::test]
async fn while_a_service_refuses_connections_or_answers_401_only_poison_goes_to_the_dlq() {
    // At the same time, because each takes more than a minute.
    join(inventory_refuses_connections(), reservation_api_answers_401()).await;
}

async fn inventory_refuses_connections() {
    let mut outage = LongOutage::begin().await;
    outage.fixture.services.stop(Service::Inventory).await;
    let down = outage.send_until_recovery().await;
    outage.fixture.services.restart(Service::Inventory).await.unwrap();
    outage.end("inventory", down).await;
}

async fn reservation_api_answers_401() {
    let mut outage = LongOutage::begin().await;
    let every_call = Fault::of_service(Service::ReservationApi, Effect::http(401));
    outage.fixture.services.fault(every_call);
    let down = outage.send_until_recovery().await;
    outage.fixture.services.clear_faults();
    outage.end("reservation-api", down).await;
}

/// Payments and poison messages during an outage.
struct LongOutage {
    fixture: Fixture,
    running: RunningMapping,
    paid: Vec<String>,
    poison: BTreeSet<String>,
}

impl LongOutage {
    async fn begin() -> Self {
        let fixture = Fixture::new(false, MAX_RETRIES, VISIBILITY_TIMEOUT).await;
        let (max_retries, open_ms) = (MAX_RETRIES.to_string(), BREAKER_OPEN.as_millis().to_string());
        let reserve_ms = RESERVE.as_millis().to_string();
        let mut mapping = fixture.mapping(&[
            ("DEADLINE_RESERVE_MS", &reserve_ms),
            ("MAX_RETRIES", &max_retries),
            ("BACKOFF_BASE_MS", "50"),
            ("BACKOFF_MAX_MS", "45000"),
            ("OUTAGE_BACKOFF_MS", "50,1500,30000"),
            ("BREAKER_OPEN_MS", &open_ms),
            ("LOG_LEVEL", "debug"),
        ]);
        mapping.function_timeout = FUNCTION_TIMEOUT;
        mapping.idle = LONG; // Lambda ends an idle process after minutes, and these are not compressed
        let running = mapping.start().await.unwrap();
        let mut outage = Self { fixture, running, paid: Vec::new(), poison: BTreeSet::new() };
        outage.pay(100).await;
        outage.fixture.drained(&outage.running).await;
        outage
    }

    async fn pay(&mut self, count: usize) {
        let paid = self.paid.len();
        self.paid.extend(self.fixture.pay(paid..paid + count).await);
    }

    /// Sends payments and poison messages until the outage has lasted long enough. Returns the time that it lasted.
    async fn send_until_recovery(&mut self) -> Duration {
        let began = Instant::now();
        self.pay(BACKLOG).await;
        for round in 0..ROUNDS {
            self.pay(PAYMENTS_PER_ROUND).await;
            // Those of the second half would not be dead letters before the recovery.
            if round < ROUNDS / 2 {
                let poison: Vec<_> = (0..POISON_PER_ROUND).map(|n| format!("poison {round} {n}")).collect();
                self.fixture.queue.send(poison.clone()).await.unwrap();
                self.poison.extend(poison);
            }
            sleep_until(began + OUTAGE * (round as u32 + 1) / ROUNDS as u32).await;
        }
        began.elapsed()
    }

    /// After the recovery: asserts what happened during the outage. Then asserts that every payment is completed within
    /// its receives, and that the dead-letter queue contains the poison messages only.
    async fn end(self, service: &str, down: Duration) {
        let Self { fixture, running, paid, poison } = self;
        assert_eq!(fixture.queue.dead_count().await.unwrap(), poison.len(), "{service}");
        let probes = probes(&running.log_lines(), service);
        assert!(probes.len() > 1, "{service} {probes:?}");
        // Up to a batch of calls is in progress when a breaker opens.
        let limit = BATCH + down.as_millis().div_ceil(BREAKER_OPEN.as_millis()) as usize;
        assert!(probes.values().all(|calls| (1..=limit).contains(calls)), "{service} {probes:?} in {down:?}");

        fixture.drained(&running).await;
        let log = running.log_lines();
        running.stop().await;
        let receives = log.iter().filter(|line| line["outcome"].is_string());
        assert!(receives.map(|line| line["attempt"].as_u64()).max() <= Some(Some(MAX_RETRIES.into())));
        assert!(paid.iter().all(|id| fixture.assert_completed(id) == Status::Confirmed));
        let dead = fixture.queue.dead_letters().await.unwrap();
        assert!(dead.iter().all(|(_, _, receives)| *receives == MAX_RETRIES), "{dead:?}");
        assert_eq!(dead.into_iter().map(|(_, body, _)| body).collect::<BTreeSet<_>>(), poison);
    }
}

/// The failed calls of each process to the service after its breaker has opened.
fn probes(log: &[Value], service: &str) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in log.iter().filter(|line| line["service"] == service) {
        match line["message"].as_str() {
            Some("breaker opened") => _ = calls.entry(process(line).to_owned()).or_insert(0),
            Some("attempt of a call ended") if line["result"] != "success" => {
                if let Some(calls) = calls.get_mut(process(line)) {
                    *calls += 1;
                }
            }
            _ => {}
        }
    }
    calls
}

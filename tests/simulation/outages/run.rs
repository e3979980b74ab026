//! An outage of one service under a load, and its result.

use std::collections::BTreeMap;

use reservation_worker_local::Service;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::clock::Clock;
use crate::conditions::OutageMode;
use crate::deployment::attempts::{self, Attempt};
use crate::deployment::queue::{DeploymentQueue, End, QueuedMessage};
use crate::deployment::{self, Choice, Deployment, Settings, mapping};
use crate::network::Link;

/// The time before the outage, in which the first processes start.
const WARM_UP: Duration = Duration::from_secs(10);
/// The time after which a queue that is not drained is an error.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3_600);
/// The time within which a backlog must be done after the recovery (contract section 1).
const THREE_MINUTES: Duration = Duration::from_secs(180);
/// The default of `BREAKER_OPEN_MS`.
const BREAKER_OPEN: Duration = Duration::from_secs(5);
/// The calls of a process that can fail before its breaker is open: `BREAKER_FAILURES`, and a batch in flight.
const FIRST_FAILURES: usize = 30;

pub const SERVICES: [Service; 2] = [Service::ReservationApi, Service::Inventory];

/// The outages that the tests of 20 minutes and of an hour simulate for a service: each way to be unavailable, and one
/// way to be misconfigured.
pub fn modes(service: Service) -> [OutageMode; 4] {
    let misconfigured = match service {
        Service::ReservationApi => OutageMode::Denied,
        Service::Inventory => OutageMode::WrongAddress,
    };
    [OutageMode::RefusesConnections, OutageMode::Hangs, OutageMode::Unavailable, misconfigured]
}

#[derive(Debug, Clone)]
pub struct Outage {
    pub service: Service,
    pub mode: OutageMode,
    pub is_fifo: bool,
    /// The length of the outage.
    pub length: Duration,
    /// The number of events that are sent at once when the outage begins.
    pub backlog: usize,
    /// The time between two events before and during the outage.
    pub interval: Option<Duration>,
    /// Events are also sent after the outage.
    pub has_traffic_after: bool,
    /// The time between two bodies that are not events, during the outage.
    pub poison_interval: Option<Duration>,
    pub max_receives: u32,
    /// The largest number of concurrent invocations.
    pub concurrency: usize,
    /// A process is not used again when it is this old.
    pub process_lifetime: Option<Duration>,
    pub choice: Choice,
    /// The time that the service takes for a call. It must be shorter than the time-out.
    pub latency: Duration,
    /// Without the breaker and the outage back-off.
    pub is_unprotected: bool,
}

/// The result of an outage.
#[derive(Debug)]
pub struct OutageReport {
    /// The events without the poison, in the order in which they were sent.
    pub events: Vec<Fate>,
    pub poison: Vec<Fate>,
    /// The sum of the durations of the invocations during the outage.
    pub billed: Duration,
    /// The largest number of calls to the failing service per process and `BREAKER_OPEN_MS`, after the first failures.
    pub most_calls: usize,
    /// The number of calls to the failing service during the outage.
    pub calls: usize,
    /// The number of processes that called the failing service.
    pub processes: usize,
    /// The times after the recovery at which half and all events were done that were in the queue at the recovery.
    pub half_done: Duration,
    pub all_done: Duration,
    /// The share of these events that were done within three minutes of the recovery; `None` if there were none.
    pub done_within_three_minutes: Option<f64>,
}

/// How a message ended.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    pub sent_before_recovery: bool,
    pub receives: u32,
    /// The time from the message's arrival to its end.
    pub waited: Duration,
    pub end: End,
}

impl OutageReport {
    pub fn dead_letters(&self) -> usize {
        self.events.iter().filter(|event| event.end == End::DeadLetter).count()
    }

    /// The mean number of receives of the events that were sent before the recovery.
    pub fn receives_per_event(&self) -> f64 {
        let events = self.events.iter().filter(|event| event.sent_before_recovery);
        let (number, receives) = events.fold((0, 0), |(n, sum), event| (n + 1, sum + event.receives));
        f64::from(receives) / f64::from(number)
    }
}

struct OutageRun {
    outage: Outage,
    deployment: Deployment,
    begins: Instant,
}

impl Outage {
    /// 20 minutes at the default settings, with 400 events at once and one per second.
    pub fn new(service: Service, mode: OutageMode) -> Self {
        Self {
            service,
            mode,
            is_fifo: false,
            length: Duration::from_secs(20 * 60),
            backlog: 400,
            interval: Some(Duration::from_secs(1)),
            has_traffic_after: true,
            poison_interval: None,
            max_receives: 5,
            concurrency: 50,
            process_lifetime: None,
            choice: Choice::MostRecentlyUsed,
            latency: Duration::ZERO,
            is_unprotected: false,
        }
    }

    /// Runs the outage in this thread.
    pub fn run(self) -> OutageReport {
        deployment::run(|clock| async move { OutageRun::new(self, &clock).await.run().await })
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings {
            is_fifo: self.is_fifo,
            max_receives: self.max_receives,
            concurrency: self.concurrency,
            process_lifetime: self.process_lifetime,
            choice: self.choice,
            ..Settings::default()
        };
        if self.is_unprotected {
            settings.variables.push(("BREAKER_FAILURES", "0".to_owned()));
            settings.variables.push(("OUTAGE_BACKOFF_MS", "1000,2000,4000,8000,16000".to_owned()));
        }
        settings
    }
}

impl OutageRun {
    async fn new(outage: Outage, clock: &Clock) -> Self {
        let deployment = Deployment::new(outage.settings(), clock).await;
        let each_way = outage.latency.as_millis() as u64 / 2;
        let run = Self { outage, deployment, begins: Instant::now() + WARM_UP };
        run.link().set_delay(each_way..=each_way);
        run
    }

    /// The link to the service that fails.
    fn link(&self) -> &Link {
        match self.outage.service {
            Service::ReservationApi => &self.deployment.links[0],
            Service::Inventory => &self.deployment.links[1],
        }
    }

    async fn run(self) -> OutageReport {
        let recovery = self.begins + self.outage.length;
        let events = async {
            tokio::join!(self.fail_service(), self.backlog(), self.traffic(recovery), self.poison(recovery));
            self.deployment.until(DeploymentQueue::is_drained).await;
        };
        tokio::select! {
            biased;
            () = mapping::poll(&self.deployment) => {}
            () = events => {}
            () = sleep(TIME_LIMIT) => panic!("the queue is not drained after {TIME_LIMIT:?}"),
        }
        self.report(recovery)
    }

    async fn fail_service(&self) {
        sleep_until(self.begins).await;
        let faults = self.outage.mode.faults(self.outage.service);
        if self.outage.mode == OutageMode::RefusesConnections {
            self.link().set_down(true);
        }
        faults.into_iter().for_each(|fault| self.deployment.services.fault(fault));
        sleep(self.outage.length).await;
        self.link().set_down(false);
        self.deployment.services.clear_faults();
    }

    async fn backlog(&self) {
        sleep_until(self.begins).await;
        (0..self.outage.backlog).for_each(|_| self.deployment.send());
    }

    /// Sends events until the recovery, or until the events from before the recovery have left the queue.
    async fn traffic(&self, recovery: Instant) {
        let Some(interval) = self.outage.interval else { return };
        let has_old = |queue: &DeploymentQueue| {
            let mut old = queue.messages.iter().take_while(|message| message.sent < recovery);
            old.any(|message| message.ended.is_none())
        };
        while Instant::now() < recovery
            || self.outage.has_traffic_after && has_old(&self.deployment.queue.lock().unwrap())
        {
            self.deployment.send();
            sleep(interval).await;
        }
    }

    async fn poison(&self, recovery: Instant) {
        let Some(interval) = self.outage.poison_interval else { return };
        sleep_until(self.begins).await;
        while Instant::now() + interval < recovery {
            sleep(interval).await;
            self.deployment.queue.lock().unwrap().send("{".to_owned(), "poison".to_owned(), true);
        }
    }

    /// The part of an invocation that is within the outage.
    fn within_outage(&self, (began, ended): &(Instant, Instant)) -> Duration {
        let (from, to) = (self.begins.max(*began), (self.begins + self.outage.length).min(*ended));
        to.saturating_duration_since(from)
    }

    fn report(&self, recovery: Instant) -> OutageReport {
        let queue = self.deployment.queue.lock().unwrap();
        let fate = |message: &QueuedMessage| {
            let (at, end) = message.ended.expect("the queue is drained");
            let waited = at - message.sent;
            Fate { sent_before_recovery: message.sent < recovery, receives: message.receives, waited, end }
        };
        let fates = |is_poison| {
            let messages = queue.messages.iter().filter(move |message| message.is_poison == is_poison);
            messages.map(fate).collect()
        };
        let backlog = queue.messages.iter().filter(|message| !message.is_poison && message.sent < recovery);
        let ends = backlog.filter_map(|message| message.ended?.0.checked_duration_since(recovery));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let mut by_process = BTreeMap::<_, Vec<_>>::new();
        let service = match self.outage.service {
            Service::ReservationApi => "reservation-api",
            Service::Inventory => "inventory",
        };
        for Attempt { process, began, .. } in
            attempts::take().into_iter().filter(|attempt| attempt.service == service)
        {
            let began = began.filter(|began| (self.begins..recovery).contains(began));
            by_process.entry(process).or_default().extend(began);
        }
        by_process.retain(|_, times| !times.is_empty());
        let most_calls = by_process.values_mut().map(|times| {
            times.sort_unstable();
            most_within(times.get(FIRST_FAILURES..).unwrap_or_default(), BREAKER_OPEN)
        });
        OutageReport {
            events: fates(false),
            poison: fates(true),
            billed: self.deployment.invocations.borrow().iter().map(|times| self.within_outage(times)).sum(),
            most_calls: most_calls.max().unwrap_or_default(),
            calls: by_process.values().map(Vec::len).sum(),
            processes: by_process.len(),
            done_within_three_minutes: (!ends.is_empty())
                .then(|| ends.iter().filter(|end| **end <= THREE_MINUTES).count() as f64 / ends.len() as f64),
            half_done: ends.get(ends.len() / 2).copied().unwrap_or_default(),
            all_done: ends.last().copied().unwrap_or_default(),
        }
    }
}

/// The largest number of these instants within any window of this length.
fn most_within(times: &[Instant], length: Duration) -> usize {
    let within = |(index, first): (usize, &Instant)| {
        times[index..].iter().take_while(|time| **time - *first < length).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or_default()
}

//! An overload of one service, and its result.

use std::num::NonZeroUsize;

use reservation_worker_local::{Capacity, Service};
use tokio::time::{Duration, Instant, sleep_until};

use crate::clock::Clock;
use crate::deployment::attempts;
use crate::deployment::queue::{DeploymentQueue, End};
use crate::deployment::{self, Deployment, Settings, mapping};

/// The time before the overload.
const BEFORE: Duration = Duration::from_secs(20);
const OVERLOAD: Duration = Duration::from_secs(60);
/// The events of each period, as a share of the capacity of the service.
const USUAL_LOAD: f64 = 0.7;
const OVERLOAD_LOAD: f64 = 2.0;
const WINDOW: Duration = Duration::from_secs(20);

/// Events arrive at 70 % of the capacity of a service, for a minute at twice the capacity, and then at 70 % again.
#[derive(Debug, Clone)]
pub struct Overload {
    pub service: Service,
    /// The number of requests that the service handles at the same time, each of them for this time.
    pub service_concurrency: usize,
    pub service_time: Duration,
    /// The largest number of concurrent invocations.
    pub concurrency: usize,
    pub has_retry_budget: bool,
    pub has_breaker: bool,
    /// The time after the overload in which events are sent.
    pub after: Duration,
    /// Stops sending after that time, and waits for the end of every event.
    pub is_drained: bool,
}

/// The result of an overload.
#[derive(Debug)]
pub struct OverloadReport {
    pub windows: Vec<Window>,
    /// How each event ended, or `None` if it was still in the queue.
    pub ends: Vec<Option<End>>,
    pub most_receives: u32,
    /// The time from the end of the overload until the queue was empty, if the run waited for that.
    pub drained_after: Option<Duration>,
}

/// What happened within 20 s.
#[derive(Debug)]
pub struct Window {
    /// When it began, in seconds from the end of the overload; negative before.
    pub begins: i64,
    /// The number of events that arrived in it, and of those that were done in it, whenever they had arrived.
    pub arrived: usize,
    pub done: usize,
    /// The number of calls of the service that began in it, each attempt counted.
    pub calls: usize,
}

impl OverloadReport {
    pub fn dead_letters(&self) -> usize {
        self.ends.iter().filter(|end| **end == Some(End::DeadLetter)).count()
    }
}

impl Window {
    /// The events that were done, as a share of those that arrived.
    pub fn goodput(&self) -> f64 {
        self.done as f64 / self.arrived as f64
    }
}

impl Overload {
    /// The requests that the service can handle in a second.
    pub fn capacity(&self) -> f64 {
        self.service_concurrency as f64 / self.service_time.as_secs_f64()
    }

    /// Runs the overload in this thread.
    pub fn run(self) -> OverloadReport {
        deployment::run(|clock| async move { OverloadRun::new(self, &clock).await.run().await })
    }
}

struct OverloadRun {
    overload: Overload,
    deployment: Deployment,
    began: Instant,
}

impl OverloadRun {
    async fn new(overload: Overload, clock: &Clock) -> Self {
        let mut settings = Settings {
            concurrency: overload.concurrency,
            has_retry_budget: overload.has_retry_budget,
            ..Settings::default()
        };
        if !overload.has_breaker {
            settings.variables.push(("BREAKER_FAILURES", "0".to_owned()));
        }
        let deployment = Deployment::new(settings, clock).await;
        let capacity = Capacity {
            concurrency: NonZeroUsize::new(overload.service_concurrency).unwrap(),
            service_time_ms: overload.service_time.as_millis() as u64,
        };
        deployment.services.limit_capacity(overload.service, Some(capacity));
        Self { overload, deployment, began: Instant::now() }
    }

    async fn run(self) -> OverloadReport {
        let traffic = async {
            self.traffic(USUAL_LOAD, BEFORE).await;
            self.traffic(OVERLOAD_LOAD, OVERLOAD).await;
            self.traffic(USUAL_LOAD, self.overload.after).await;
            if self.overload.is_drained {
                self.deployment.until(DeploymentQueue::is_drained).await;
            }
        };
        tokio::select! {
            biased;
            () = mapping::poll(&self.deployment) => {}
            () = traffic => {}
        }
        self.report()
    }

    /// Sends events at this share of the capacity.
    async fn traffic(&self, load: f64, time: Duration) {
        let (began, rate) = (Instant::now(), self.overload.capacity() * load);
        let number = (time.as_secs_f64() * rate).round() as u32;
        for sent in 0..number {
            sleep_until(began + time * sent / number).await;
            self.deployment.send();
        }
        sleep_until(began + time).await;
    }

    fn report(&self) -> OverloadReport {
        let queue = self.deployment.queue.lock().unwrap();
        let messages = &queue.messages;
        let service = match self.overload.service {
            Service::ReservationApi => "reservation-api",
            Service::Inventory => "inventory",
        };
        let attempts = attempts::take().into_iter().filter(|attempt| attempt.service == service);
        let calls: Vec<_> = attempts.filter_map(|attempt| attempt.began).collect();
        let sent: Vec<_> = messages.iter().map(|message| message.sent).collect();
        let done = messages.iter().filter_map(|message| message.ended);
        let done: Vec<_> = done.filter(|(_, end)| *end == End::Deleted).map(|(at, _)| at).collect();
        let overload_ends = self.began + BEFORE + OVERLOAD;
        let window = |begins: Duration| {
            let from = self.began + begins;
            let count =
                |times: &[Instant]| times.iter().filter(|time| (from..from + WINDOW).contains(time)).count();
            let begins = begins.as_secs() as i64 - (BEFORE + OVERLOAD).as_secs() as i64;
            Window { begins, arrived: count(&sent), done: count(&done), calls: count(&calls) }
        };
        let begins = (0..).map(|number| WINDOW * number);
        let begins = begins.take_while(|begins| *begins < BEFORE + OVERLOAD + self.overload.after);
        OverloadReport {
            windows: begins.map(window).collect(),
            ends: messages.iter().map(|message| message.ended.map(|(_, end)| end)).collect(),
            most_receives: messages.iter().map(|message| message.receives).max().unwrap(),
            drained_after: self.overload.is_drained.then(|| overload_ends.elapsed()),
        }
    }
}

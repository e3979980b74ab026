//! An overload of one service, and its result.

use std::num::NonZeroUsize;

use reservation_worker_local::{Capacity, Service};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::clock::Clock;
use crate::deployment::attempts;
use crate::deployment::queue::{End, Message, Queue};
use crate::deployment::{self, Deployment, Settings, mapping};

/// The time before the overload.
pub const BEFORE: Duration = Duration::from_secs(30);
pub const OVERLOAD: Duration = Duration::from_secs(60);
/// The events of each period, as a share of the capacity of the service.
const USUAL_LOAD: f64 = 0.7;
const OVERLOAD_LOAD: f64 = 2.0;
pub const WINDOW: Duration = Duration::from_secs(10);

/// Events arrive at 70 % of the capacity of a service, for a minute at twice the capacity, and then at 70 % again.
#[derive(Debug, Clone)]
pub struct Scenario {
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
    /// Waits for the end of every event.
    pub is_drained: bool,
}

/// The result of a scenario.
#[derive(Debug)]
pub struct Report {
    pub windows: Vec<Window>,
    pub dead_letters: usize,
    pub most_receives: u32,
}

/// What happened within 10 s.
#[derive(Debug)]
pub struct Window {
    /// When it began, from the end of the overload; negative before.
    pub begins: i64,
    /// The number of events that arrived in it, and of those that were done in it, whenever they had arrived.
    pub arrived: usize,
    pub done: usize,
    /// The number of attempts of calls to the service that began in it, and of those that succeeded.
    pub attempts: usize,
    pub successes: usize,
    /// The number of events in the queue at its end.
    pub waiting: usize,
    pub dead_letters: usize,
}

impl Window {
    /// The events that were done, as a share of those that arrived.
    pub fn goodput(&self) -> f64 {
        self.done as f64 / self.arrived as f64
    }
}

impl Scenario {
    /// The requests that the service can handle in a second.
    pub fn capacity(&self) -> f64 {
        self.service_concurrency as f64 / self.service_time.as_secs_f64()
    }

    /// Runs the scenario in this thread.
    pub fn run(self) -> Report {
        deployment::run(|clock| async move { World::new(self, &clock).await.run().await })
    }
}

struct World {
    scenario: Scenario,
    deployment: Deployment,
    began: Instant,
}

impl World {
    async fn new(scenario: Scenario, clock: &Clock) -> Self {
        let mut settings = Settings {
            concurrency: scenario.concurrency,
            has_retry_budget: scenario.has_retry_budget,
            ..Settings::default()
        };
        if !scenario.has_breaker {
            settings.variables.push(("BREAKER_FAILURES", "0".to_owned()));
        }
        let deployment = Deployment::new(settings, clock).await;
        let capacity = Capacity {
            concurrency: NonZeroUsize::new(scenario.service_concurrency).unwrap(),
            service_time_ms: scenario.service_time.as_millis() as u64,
        };
        deployment.services.limit_capacity(scenario.service, Some(capacity));
        Self { scenario, deployment, began: Instant::now() }
    }

    async fn run(self) -> Report {
        let traffic = async {
            self.traffic(USUAL_LOAD, BEFORE).await;
            self.traffic(OVERLOAD_LOAD, OVERLOAD).await;
            self.traffic(USUAL_LOAD, self.scenario.after).await;
            if self.scenario.is_drained {
                self.deployment.until(Queue::is_drained).await;
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
        let (began, rate) = (Instant::now(), self.scenario.capacity() * load);
        let number = (time.as_secs_f64() * rate).round() as u32;
        for sent in 0..number {
            sleep_until(began + time * sent / number).await;
            self.deployment.send();
        }
        sleep_until(began + time).await;
    }

    fn report(&self) -> Report {
        let queue = self.deployment.queue.lock().unwrap();
        let messages = &queue.messages;
        let ended =
            |message: &Message, expected| message.ended.filter(|(_, end)| *end == expected).map(|(at, _)| at);
        let service = match self.scenario.service {
            Service::ReservationApi => "reservation-api",
            Service::Inventory => "inventory",
        };
        let attempts: Vec<_> =
            attempts::take().into_iter().filter(|attempt| attempt.service == service).collect();
        let times = (0..).map(|number| WINDOW * number);
        let windows =
            times.take_while(|begins| *begins < BEFORE + OVERLOAD + self.scenario.after).map(|begins| {
                let (from, to) = (self.began + begins, self.began + begins + WINDOW);
                let is_within = |time: Option<Instant>| time.is_some_and(|time| (from..to).contains(&time));
                let count = |time: &dyn Fn(&Message) -> Option<Instant>| {
                    messages.iter().filter(|message| is_within(time(message))).count()
                };
                let begun = attempts.iter().filter(|attempt| is_within(attempt.began));
                let has_ended = |message: &&Message| message.ended.is_some_and(|(at, _)| at < to);
                let sent = messages.iter().filter(|message| message.sent < to);
                Window {
                    begins: begins.as_secs() as i64 - (BEFORE + OVERLOAD).as_secs() as i64,
                    arrived: count(&|message| Some(message.sent)),
                    done: count(&|message| ended(message, End::Deleted)),
                    dead_letters: count(&|message| ended(message, End::DeadLetter)),
                    attempts: begun.clone().count(),
                    successes: begun.filter(|attempt| attempt.result == "success").count(),
                    waiting: sent.clone().count() - sent.filter(has_ended).count(),
                }
            });
        Report {
            windows: windows.collect(),
            dead_letters: messages.iter().filter(|message| ended(message, End::DeadLetter).is_some()).count(),
            most_receives: messages.iter().map(|message| message.receives).max().unwrap(),
        }
    }
}

//! The services, the links, the queue and the customers, and the run that a plan describes.

use std::cell::Cell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use futures_util::future::join_all;
use reservation_worker_local::visibility::VisibilityBehaviour;
use reservation_worker_local::{Service, Services};
use tokio::time::{Duration, Instant, sleep};

use crate::bookings::Booking;
use crate::clock::{self, Clock};
use crate::conditions::{Condition, Freeze, LINKS, OutageMode, Period};
use crate::network::{AfterForgetting, Link};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::{calls, invariants, mapping, trace};

/// Longer than any plan with all its back-off.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3_600);

pub struct World {
    pub plan: Plan,
    pub services: Services,
    pub links: [Rc<Link>; LINKS],
    pub queue: Arc<Mutex<Queue>>,
    /// The number of processes that handle a batch.
    pub busy_processes: Cell<usize>,
    began: Instant,
}

impl World {
    async fn new(mut plan: Plan, clock: &Clock) -> Self {
        let services = Services::start().await.unwrap();
        let queue = Arc::new(Mutex::new(Queue {
            entries: Vec::new(),
            is_fifo: plan.is_fifo,
            max_receives: plan.max_receives,
            visibility: plan.visibility,
            duplicates: plan.duplicates,
            rng: plan.rng.fork(),
            changed: Arc::default(),
        }));
        let changed_queue = queue.clone();
        services.visibility().set_entry_check(move |entry| {
            let time = Duration::from_secs(entry.visibility_timeout.unsigned_abs());
            changed_queue.lock().unwrap().change_visibility(&entry.receipt_handle, time)
        });
        let links = Link::to_services(&services, clock, &mut plan.rng);
        links.iter().zip(plan.delays).for_each(|(link, longest)| link.set_delay(0..=longest));
        Self { plan, services, links, queue, busy_processes: Cell::new(0), began: Instant::now() }
    }

    /// Adds a line with the time to the trace.
    pub fn trace(&self, line: impl Display) {
        trace::line(format!("{:>9} {line}", self.began.elapsed().as_millis()));
    }

    pub fn is_in_failure_phase(&self) -> bool {
        self.began.elapsed() < self.plan.failure_phase
    }

    /// Applies a failure condition for its period.
    async fn apply(&self, period: &Period) {
        sleep(period.begins).await;
        self.trace(format_args!("a period of {:?} begins: {:?}", period.lasts, period.condition));
        match &period.condition {
            Condition::FaultyService(fault) => self.services.fault(fault.clone()),
            Condition::SlowLink { link, milliseconds } => self.links[*link].set_delay(0..=*milliseconds),
            Condition::LossyLink { link, probability } => self.links[*link].set_loss(*probability),
            Condition::Partition { link } => self.links[*link].partition(period.lasts),
            Condition::Reset { link } => self.links[*link].reset(),
            Condition::LimitedCapacity { link, bytes_per_second } => {
                self.links[*link].set_capacity(Some(*bytes_per_second));
            }
            Condition::Refusal { link } => self.links[*link].set_down(true),
            Condition::Outage { service, mode: OutageMode::RefusesConnections } => {
                self.link(*service).set_down(true)
            }
            Condition::Outage { service, mode } => {
                mode.faults(*service).into_iter().for_each(|fault| self.services.fault(fault));
            }
            Condition::FaultyQueue(answer) => self.services.visibility().set_behaviour(answer.clone()),
        }
        sleep(period.lasts).await;
        match &period.condition {
            // This also ends the faults of overlapping periods: a single fault cannot be cleared.
            Condition::FaultyService(_) => self.services.clear_faults(),
            Condition::Outage { service, mode: OutageMode::RefusesConnections } => {
                self.link(*service).set_down(false)
            }
            Condition::Outage { .. } => self.services.clear_faults(),
            Condition::SlowLink { link, .. } => self.links[*link].set_delay(0..=self.plan.delays[*link]),
            Condition::LossyLink { link, .. } => self.links[*link].set_loss(0.0),
            Condition::Partition { .. } | Condition::Reset { .. } => {}
            Condition::LimitedCapacity { link, .. } => self.links[*link].set_capacity(None),
            Condition::Refusal { link } => self.links[*link].set_down(false),
            Condition::FaultyQueue(_) => {
                self.services.visibility().set_behaviour(VisibilityBehaviour::Normal)
            }
        }
    }

    fn link(&self, service: Service) -> &Link {
        match service {
            Service::ReservationApi => &self.links[0],
            Service::Inventory => &self.links[1],
        }
    }

    /// Freezes all processes as soon as no invocation is in progress, as Lambda does. Their monotonic clocks stand
    /// still, and so does that of the world. The wall clock and the queue go on.
    async fn freeze(&self, Freeze { begins, lasts, after_forgetting }: &Freeze) {
        sleep(*begins).await;
        let is_idle = || self.busy_processes.get() == 0;
        loop {
            self.until(is_idle).await;
            // The links receive everything that the processes have sent.
            sleep(Duration::from_millis(1)).await;
            if is_idle() {
                break;
            }
        }
        self.trace(format_args!(
            "the processes are frozen for {lasts:?}, connections are forgotten {after_forgetting:?}"
        ));
        clock::freeze(*lasts);
        let [reservation_api, inventory, queue] = &self.links;
        [reservation_api, inventory].iter().for_each(|link| link.forget(*after_forgetting));
        // A client of the queue notices dropped packets by `TCP_USER_TIMEOUT`, which a proxy on loopback cannot cause.
        queue.forget(AfterForgetting::Resets);
        self.queue.lock().unwrap().pass(*lasts);
    }

    /// Holds the seats and sends the messages about the hold. Tries again while other reservations own the
    /// seats, up to 20 times.
    async fn book(&self, booking: &Booking) {
        sleep(booking.begins).await;
        let mut attempts = 0;
        while let Err(refused) = self.services.create_hold(booking.hold.clone()) {
            attempts += 1;
            if attempts == 20 {
                return self.trace(refused);
            }
            sleep(Duration::from_secs(2)).await;
        }
        self.trace(format_args!("{} holds {:?}", booking.hold.reservation_id, booking.hold.seat_ids));
        booking.fault.iter().for_each(|fault| self.services.fault(fault.clone()));
        join_all(booking.messages.iter().map(async |(after, message)| {
            sleep(*after).await;
            let number = self.queue.lock().unwrap().send(message.clone());
            self.trace(format_args!("m{number} is sent: {message}"));
        }))
        .await;
    }

    /// Waits until the queue is empty and no process handles a batch.
    async fn drained(&self) {
        self.until(|| self.busy_processes.get() == 0 && self.queue.lock().unwrap().is_drained()).await;
    }

    /// Waits for a state of the queue or the processes.
    async fn until(&self, is_reached: impl Fn() -> bool) {
        let changed = self.queue.lock().unwrap().changed.clone();
        while !is_reached() {
            changed.notified().await;
        }
    }
}

/// Runs a plan to its end.
///
/// # Panics
///
/// If an invariant is broken.
pub async fn run(plan: Plan, clock: Clock) {
    let mut world = World::new(plan, &clock).await;
    let processes: Vec<Rng> = (0..world.plan.processes).map(|_| world.plan.rng.fork()).collect();
    let world = &world;
    let polling = join_all(processes.into_iter().map(|rng| mapping::poll(world, rng)));
    let plan = &world.plan;
    world.trace(format_args!("the failure kind is {:?}", plan.failure_kind));
    let events = async {
        let periods = join_all(plan.periods.iter().map(|period| world.apply(period)));
        let end_of_faults = async {
            sleep(plan.failure_phase).await;
            world.services.clear_faults();
        };
        let freezes = join_all(plan.freezes.iter().map(|freeze| world.freeze(freeze)));
        let bookings = join_all(plan.bookings.iter().map(|booking| world.book(booking)));
        tokio::join!(biased; periods, end_of_faults, freezes, bookings);
        world.drained().await;
    };
    tokio::select! {
        biased;
        _ = polling => {}
        () = events => {}
        () = sleep(TIME_LIMIT) => panic!("the queue is not drained after {TIME_LIMIT:?}"),
    }
    for call in world.services.calls() {
        trace::line(format!("{:?} {} got {}", call.operation, call.reservation_id, call.reply));
    }
    invariants::check_end(world)
        .and_then(|()| calls::check(world))
        .unwrap_or_else(|broken| panic!("{broken}"));
}

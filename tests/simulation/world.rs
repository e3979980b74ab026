//! Services, queue and customers, and what happens to them by plan.

use std::cell::Cell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use futures_util::future::join_all;
use reservation_worker_local::Services;
use reservation_worker_local::visibility::VisibilityBehaviour;
use tokio::time::{Duration, Instant, sleep};

use crate::clock::Clock;
use crate::network::Link;
use crate::plan::{Booking, Plan};
use crate::queue::Queue;
use crate::weather::{LINKS, Spell, Weather};
use crate::{calls, invariants, mapping, trace};

/// Longer than any plan and all back-offs after it.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

pub struct World {
    pub plan: Plan,
    pub services: Services,
    pub links: [Rc<Link>; LINKS],
    pub queue: Arc<Mutex<Queue>>,
    /// Instances that work on a batch.
    pub at_work: Cell<usize>,
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
        let asked = queue.clone();
        services.visibility().set_entry_check(move |entry| {
            let time = Duration::from_secs(entry.visibility_timeout.unsigned_abs());
            asked.lock().unwrap().change_visibility(&entry.receipt_handle, time)
        });
        let addresses = [
            services.reservation_api_base(),
            services.inventory_addr(),
            services.visibility().endpoint().to_owned(),
        ];
        let links = addresses.map(|address| {
            let address = address.trim_start_matches("http://").parse().unwrap();
            Link::open(address, clock.clone(), plan.rng.fork())
        });
        links.iter().zip(plan.delays).for_each(|(link, most)| link.delay(0..=most));
        Self { plan, services, links, queue, at_work: Cell::new(0), began: Instant::now() }
    }

    /// Writes down what happened, and when.
    pub fn tell(&self, what: impl Display) {
        trace::line(format!("{:>9} {what}", self.began.elapsed().as_millis()));
    }

    pub fn is_stormy(&self) -> bool {
        self.began.elapsed() < self.plan.storm
    }

    async fn weather(&self, spell: &Spell) {
        sleep(spell.begins).await;
        self.tell(format_args!("{:?} of bad weather: {:?}", spell.lasts, spell.what));
        match &spell.what {
            Weather::Fault(fault) => self.services.fault(fault.clone()),
            Weather::Slow { link, milliseconds } => self.links[*link].delay(0..=*milliseconds),
            Weather::Lossy { link, chance } => self.links[*link].lose(*chance),
            Weather::Cut { link } => self.links[*link].cut(spell.lasts),
            Weather::Reset { link } => self.links[*link].reset(),
            Weather::Down { link } => self.links[*link].down(true),
            Weather::Queue(answer) => self.services.visibility().set_behaviour(answer.clone()),
        }
        sleep(spell.lasts).await;
        match &spell.what {
            // With the others': a fault is one spell's, and its end may be another's.
            Weather::Fault(_) => self.services.clear_faults(),
            Weather::Slow { link, .. } => self.links[*link].delay(0..=self.plan.delays[*link]),
            Weather::Lossy { link, .. } => self.links[*link].lose(0.0),
            Weather::Cut { .. } | Weather::Reset { .. } => {}
            Weather::Down { link } => self.links[*link].down(false),
            Weather::Queue(_) => self.services.visibility().set_behaviour(VisibilityBehaviour::Normal),
        }
    }

    /// Tries to hold the seats for as long as others might give them back, and then tells what became of it.
    async fn book(&self, booking: &Booking) {
        sleep(booking.begins).await;
        let mut tries = 0;
        while let Err(refused) = self.services.create_hold(booking.hold.clone()) {
            tries += 1;
            if tries == 20 {
                return self.tell(refused);
            }
            sleep(Duration::from_secs(2)).await;
        }
        self.tell(format_args!("{} holds {:?}", booking.hold.reservation_id, booking.hold.seat_ids));
        booking.fault.iter().for_each(|fault| self.services.fault(fault.clone()));
        join_all(booking.messages.iter().map(async |(after, message)| {
            sleep(*after).await;
            let number = self.queue.lock().unwrap().send(message.clone());
            self.tell(format_args!("m{number} is sent: {:?} {}", message.kind, message.reservation_id));
        }))
        .await;
    }

    /// Nothing is in the queue, and nobody works any more.
    async fn quiet(&self) {
        let changed = self.queue.lock().unwrap().changed.clone();
        while self.at_work.get() > 0 || !self.queue.lock().unwrap().is_drained() {
            changed.notified().await;
        }
    }
}

/// Lives a plan to its end. Panics where an invariant is broken.
pub async fn live(plan: Plan, clock: Clock) {
    let mut world = World::new(plan, &clock).await;
    let instances: Vec<Rng> = (0..world.plan.instances).map(|_| world.plan.rng.fork()).collect();
    let world = &world;
    let work = join_all(instances.into_iter().map(|rng| mapping::poll(world, rng)));
    let plan = &world.plan;
    let events = async {
        let spells = join_all(plan.spells.iter().map(|spell| world.weather(spell)));
        tokio::join!(biased; spells, join_all(plan.bookings.iter().map(|booking| world.book(booking))));
        world.quiet().await;
    };
    tokio::select! {
        biased;
        _ = work => {}
        () = events => {}
        () = sleep(LONGEST) => panic!("the queue is never drained"),
    }
    for call in world.services.calls() {
        trace::line(format!("{:?} {} got {}", call.operation, call.reservation_id, call.reply));
    }
    invariants::at_the_end(world)
        .and_then(|()| calls::at_the_end(world))
        .unwrap_or_else(|broken| panic!("{broken}"));
}

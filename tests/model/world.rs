//! Queue, workers, network and services, and all that can happen next.

use std::fmt;

use reservation_worker::event::{Event, Hold};
use reservation_worker::services::inventory;
use reservation_worker::outcome::Outcome;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::{Ending, Id};
use reservation_worker::services::reservation_api::Transition;
use reservation_worker::workflow::{SeatStep, Verdict, decide, failed, steps};

use crate::services::{Booking, Seat, StatusReply};

/// Deliveries of a message that another worker has, or that is deleted.
const DUPLICATES: u8 = 1;
const WORKERS: usize = 2;
const RESERVATIONS: usize = 2;

/// Which of the two steps is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    Status,
    Seats,
    /// The seats where they are released, the status where they are sold.
    Release,
}

/// What is sent, and how much may go wrong.
#[derive(Debug)]
pub struct Scenario {
    pub first: First,
    /// Each is about reservation 0 or 1.
    pub events: Vec<Event>,
    /// Crashes, and requests that arrive late or never.
    pub faults: u8,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} first, {} faults", self.first, self.faults)?;
        self.events.iter().enumerate().try_for_each(|(message, event)| {
            let (event_type, hold) = (event.event_type().as_str(), event.hold());
            write!(f, ", message {message} = {event_type} of {}", hold.reservation_id)
        })
    }
}

/// Each kind of event for each reservation.
pub fn event_kinds() -> Vec<Event> {
    let of = |reservation: usize| {
        let hold =
            Hold { reservation_id: Id::new(&reservation.to_string()).unwrap(), event_id: None, seats: None };
        [
            Event::ReservationExpired(hold.clone()),
            Event::PaymentApproved { hold: hold.clone(), payment_intent_id: "pi".to_owned(), user_id: None },
            Event::PaymentFailed { hold, error_code: None },
        ]
    };
    (0..RESERVATIONS).flat_map(of).collect()
}

/// Everything, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// `None` as long as the seat is not held for it.
    bookings: [Option<Booking>; RESERVATIONS],
    messages: Vec<Message>,
    /// In order, for it makes no difference which worker has what.
    workers: Vec<Worker>,
    /// Requests that nobody waits for any more; in order.
    late: Vec<Request>,
    faults: u8,
    duplicates: u8,
    /// The inventory was asked for what it refuses.
    was_refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Message {
    receives: u8,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Queue,
    Deleted,
    DeadLetters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Worker {
    message: usize,
    next: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    UpdateStatus,
    /// After a conflict that did not say with what.
    ReadStatus,
    ChangeSeats,
    Answer {
        acknowledged: bool,
    },
}

impl Step {
    fn answer(outcome: &Outcome) -> Self {
        Self::Answer { acknowledged: outcome.is_acknowledged() }
    }
}

/// No reply in time, or one that decides nothing.
fn gave_up() -> Outcome {
    let (code, reason) = (Reason::ReservationApiUnavailable, String::new());
    Outcome::Retried { code, reason, retry_after: None }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    UpdateStatus { message: usize },
    ChangeSeats { message: usize },
}

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The seat is free, and somebody reserves it.
    Reserve { reservation: usize },
    /// A worker gets a message.
    Deliver { message: usize },
    /// A worker does its next step, and all goes well.
    Work { worker: usize },
    /// The reservation API answers with a conflict that does not say with what.
    AnswerVaguely { worker: usize },
    /// The worker's request does not arrive in time; it tries again, or gives up.
    Delay { worker: usize, tries_again: bool },
    /// A request arrives that nobody waits for any more.
    ArriveLate { request: usize },
    /// A request never arrives.
    Lose { request: usize },
    /// The worker is gone, and knows nothing of it.
    Crash { worker: usize },
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            bookings: [Some(Booking::HELD), None],
            messages: vec![Message { receives: 0, place: Place::Queue }; scenario.events.len()],
            workers: Vec::new(),
            late: Vec::new(),
            faults: scenario.faults,
            duplicates: DUPLICATES,
            was_refused: false,
        }
    }

    /// Nothing is left to do, but perhaps for somebody to reserve the seat.
    pub fn has_ended(&self, scenario: &Scenario) -> bool {
        let waits =
            |message: usize| self.messages[message].place == Place::Queue && self.is_sent(scenario, message);
        self.workers.is_empty() && self.late.is_empty() && !(0..self.messages.len()).any(waits)
    }

    /// Nobody tells of a reservation that was never made.
    fn is_sent(&self, scenario: &Scenario, message: usize) -> bool {
        self.bookings[scenario.reservation(message)].is_some()
    }

    pub fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        let seat_is_free = !self.bookings.iter().flatten().any(|booking| booking.owns_the_seat());
        let unbooked = (0..RESERVATIONS).filter(|reservation| self.bookings[*reservation].is_none());
        actions.extend(unbooked.filter(|_| seat_is_free).map(|reservation| Action::Reserve { reservation }));
        if self.workers.len() < WORKERS {
            let free = (0..self.messages.len()).filter(|message| self.can_be_delivered(scenario, *message));
            actions.extend(free.map(|message| Action::Deliver { message }));
        }
        for (worker, Worker { next, .. }) in self.workers.iter().enumerate() {
            actions.push(Action::Work { worker });
            if *next == Step::UpdateStatus {
                actions.push(Action::AnswerVaguely { worker });
            }
            if self.faults > 0 {
                actions.push(Action::Crash { worker });
                if matches!(next, Step::UpdateStatus | Step::ChangeSeats) {
                    actions.extend([true, false].map(|tries_again| Action::Delay { worker, tries_again }));
                }
            }
        }
        for request in 0..self.late.len() {
            actions.extend([Action::ArriveLate { request }, Action::Lose { request }]);
        }
        actions
    }

    fn can_be_delivered(&self, scenario: &Scenario, message: usize) -> bool {
        let Message { receives, place } = self.messages[message];
        let is_in_hand = self.workers.iter().any(|worker| worker.message == message);
        let is_duplicate = is_in_hand || place == Place::Deleted;
        self.is_sent(scenario, message)
            && place != Place::DeadLetters
            && receives < scenario.max_receives()
            && (!is_duplicate || self.duplicates > 0)
    }

    pub fn after(&self, scenario: &Scenario, action: Action) -> Self {
        let mut world = self.clone();
        world.act(scenario, action);
        world.workers.sort_unstable();
        world.late.sort_unstable();
        world
    }

    fn act(&mut self, scenario: &Scenario, action: Action) {
        match action {
            Action::Reserve { reservation } => self.bookings[reservation] = Some(Booking::HELD),
            Action::Deliver { message } => {
                let is_in_hand = self.workers.iter().any(|worker| worker.message == message);
                if is_in_hand || self.messages[message].place == Place::Deleted {
                    self.duplicates -= 1;
                }
                self.messages[message].receives += 1;
                self.workers.push(Worker { message, next: scenario.first(message) });
            }
            Action::Work { worker } => match self.step(scenario, self.workers[worker]) {
                Some(next) => self.workers[worker].next = next,
                None => drop(self.workers.remove(worker)),
            },
            Action::AnswerVaguely { worker } => {
                let message = self.workers[worker].message;
                self.workers[worker].next = match self.update_status(scenario, message) {
                    StatusReply::Done => scenario.after_status(message),
                    StatusReply::AlreadyEnded(_) => Step::ReadStatus,
                };
            }
            Action::Delay { worker, tries_again } => {
                self.faults -= 1;
                let Worker { message, next } = self.workers[worker];
                self.late.push(match next {
                    Step::UpdateStatus => Request::UpdateStatus { message },
                    _ => Request::ChangeSeats { message },
                });
                if !tries_again {
                    self.workers[worker].next = Step::answer(&gave_up());
                }
            }
            Action::ArriveLate { request } => match self.late.remove(request) {
                Request::UpdateStatus { message } => drop(self.update_status(scenario, message)),
                // What it answers, nobody hears.
                Request::ChangeSeats { message } => drop(self.change_seats(scenario, message)),
            },
            Action::Lose { request } => drop(self.late.remove(request)),
            Action::Crash { worker } => {
                self.faults -= 1;
                let Worker { message, .. } = self.workers.remove(worker);
                self.give_back(scenario, message);
            }
        }
    }

    /// What a worker does when nothing goes wrong; nothing comes after its answer.
    fn step(&mut self, scenario: &Scenario, Worker { message, next }: Worker) -> Option<Step> {
        Some(match next {
            Step::UpdateStatus => match self.update_status(scenario, message) {
                StatusReply::Done => scenario.after_status(message),
                StatusReply::AlreadyEnded(found) => scenario.decided(message, found),
            },
            Step::ReadStatus => match self.booking(scenario, message).status {
                Some(found) => scenario.decided(message, found),
                None => Step::answer(&gave_up()),
            },
            Step::ChangeSeats => match self.change_seats(scenario, message) {
                Ok(()) => scenario.after_seats(message),
                Err(error) => Step::answer(&failed(error)),
            },
            Step::Answer { acknowledged: true } => {
                self.messages[message].place = Place::Deleted;
                return None;
            }
            Step::Answer { acknowledged: false } => {
                self.give_back(scenario, message);
                return None;
            }
        })
    }

    fn give_back(&mut self, scenario: &Scenario, message: usize) {
        let Message { receives, place } = &mut self.messages[message];
        if *place == Place::Queue && *receives == scenario.max_receives() {
            *place = Place::DeadLetters;
        }
    }

    fn booking(&mut self, scenario: &Scenario, message: usize) -> &mut Booking {
        self.bookings[scenario.reservation(message)].as_mut().expect("it was sent")
    }

    fn update_status(&mut self, scenario: &Scenario, message: usize) -> StatusReply {
        let (transition, _) = scenario.steps(message);
        self.booking(scenario, message).end(transition.to)
    }

    fn change_seats(&mut self, scenario: &Scenario, message: usize) -> Result<(), inventory::Error> {
        let (_, seat_step) = scenario.steps(message);
        let reply = match seat_step {
            SeatStep::Release(_) => self.booking(scenario, message).release(),
            SeatStep::Commit { .. } => self.booking(scenario, message).commit(),
        };
        self.was_refused |= reply.is_err();
        reply
    }

    /// An invariant of the contract that one step breaks.
    pub fn broken_by(&self, next: &Self) -> Option<&'static str> {
        let sold = |world: &Self, reservation: usize| {
            world.bookings[reservation].is_some_and(|booking| booking.seat == Seat::Sold)
        };
        (0..RESERVATIONS)
            .any(|reservation| sold(self, reservation) && !sold(next, reservation))
            .then_some("a sold seat stays sold")
    }

    /// An invariant of the contract that does not hold.
    pub fn broken(&self, scenario: &Scenario) -> Option<&'static str> {
        let bookings = || self.bookings.iter().flatten();
        // An inventory that minds sells nothing twice, whoever asks; the worker is not to lean on it.
        if self.was_refused && scenario.first == First::Status {
            return Some("no seat is asked for that cannot be given");
        }
        if bookings().filter(|booking| booking.owns_the_seat()).count() > 1 {
            return Some("a seat is held or sold once");
        }
        for booking in bookings() {
            // What is sold or released stays so: nothing could mend this later.
            match (booking.status, booking.seat) {
                (Some(Ending::Confirmed), Seat::Released) => {
                    return Some("a confirmed reservation has its seat sold");
                }
                (Some(Ending::Expired | Ending::Cancelled), Seat::Sold) => {
                    return Some("a reservation that was not paid has its seat released");
                }
                _ => {}
            }
        }
        if !self.has_ended(scenario) {
            return None;
        }
        if bookings().any(|booking| booking.status.is_some() != (booking.seat != Seat::Held)) {
            return Some("status and seat agree in the end");
        }
        let lost = |message: usize| {
            let found = self.bookings[scenario.reservation(message)].map(|booking| booking.status);
            match (self.messages[message].place, found) {
                (Place::Deleted, Some(None)) => true,
                (Place::Deleted, Some(Some(found))) => scenario.needs_a_person(message, found),
                (Place::DeadLetters, Some(Some(found))) => !scenario.needs_a_person(message, found),
                (Place::DeadLetters, _) => true,
                _ => false,
            }
        };
        (0..self.messages.len())
            .any(lost)
            .then_some("an event is done, superseded, or rejected into the dead-letter queue")
    }
}

impl Scenario {
    /// Faults and duplicates alone never bring a message to the dead-letter queue.
    fn max_receives(&self) -> u8 {
        self.faults + DUPLICATES + 1
    }

    fn is_status_first(&self, message: usize) -> bool {
        match self.first {
            First::Status => true,
            First::Seats => false,
            First::Release => matches!(self.steps(message), (_, SeatStep::Commit { .. })),
        }
    }

    fn first(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::UpdateStatus } else { Step::ChangeSeats }
    }

    fn after_status(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::ChangeSeats } else { Step::answer(&Outcome::Success) }
    }

    fn after_seats(&self, message: usize) -> Step {
        if self.is_status_first(message) { Step::answer(&Outcome::Success) } else { Step::UpdateStatus }
    }

    fn steps(&self, message: usize) -> (Transition<'_>, SeatStep<'_>) {
        steps(&self.events[message]).expect("an event with steps")
    }

    fn reservation(&self, message: usize) -> usize {
        self.events[message].hold().reservation_id.as_str().parse().expect("an index")
    }

    fn decided(&self, message: usize, found: Ending) -> Step {
        let (transition, _) = self.steps(message);
        match decide(transition.to, found) {
            Verdict::Continue => self.after_status(message),
            Verdict::Superseded => Step::answer(&Outcome::Superseded(String::new())),
            Verdict::Reject(code, reason) => {
                Step::answer(&Outcome::Failed { code, reason: reason.to_owned() })
            }
        }
    }

    /// The contract's table of status replies (section 3), written down a second time: paid but ended, or
    /// failed but confirmed.
    fn needs_a_person(&self, message: usize, found: Ending) -> bool {
        let (transition, _) = self.steps(message);
        match transition.to {
            Ending::Expired => false,
            Ending::Confirmed => found != Ending::Confirmed,
            Ending::Cancelled => found == Ending::Confirmed,
        }
    }
}

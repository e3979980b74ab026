//! The invariants of the contract (section 1).

use reservation_worker::reservation::Ending;

use super::{Place, Step, World};
use crate::scenario::{FirstStep, Probing, RESERVATIONS, Scenario};
use crate::services::Seat;

impl World {
    /// The invariant that is broken by the change from this state to the next one.
    pub fn broken_by_change_to(&self, next: &Self) -> Option<&'static str> {
        let sold = |world: &Self, reservation: usize| {
            world.bookings[reservation].is_some_and(|booking| booking.seat == Seat::Sold)
        };
        (0..RESERVATIONS)
            .any(|reservation| sold(self, reservation) && !sold(next, reservation))
            .then_some("a sold seat stays sold")
    }

    /// The invariant that does not hold in this state.
    pub fn broken(&self, scenario: &Scenario) -> Option<&'static str> {
        let bookings = || self.bookings.iter().flatten();
        // A correct inventory rejects requests that would sell a seat twice. The worker must not depend on
        // that.
        if self.was_rejected && scenario.first == FirstStep::Status {
            return Some("the worker sends no request that the inventory rejects");
        }
        // Invariant 6, without times: the module `outage` explains it. With an incorrect breaker, a record can be
        // returned in this way for ever, which the liveness check finds.
        let is_delayed_without_outage = self.workers.iter().any(|worker| {
            matches!(worker.next, Step::Respond { because_of_outage: true, .. }) && !worker.met_outage
        });
        if is_delayed_without_outage && scenario.probing == Probing::OneAfterTheOther {
            return Some("only a record that has met the outage is returned because of it");
        }
        if bookings().filter(|booking| booking.owns_the_seat()).count() > 1 {
            return Some("a seat is held by or sold to one reservation only");
        }
        for booking in bookings() {
            // A sold or released seat stays in that state, so these contradictions are permanent.
            match (booking.status, booking.seat) {
                (Some(Ending::Confirmed), Seat::Released) => {
                    return Some("the seat of a confirmed reservation is sold");
                }
                (Some(Ending::Expired | Ending::Cancelled), Seat::Sold) => {
                    return Some("the seat of an expired or cancelled reservation is released");
                }
                _ => {}
            }
        }
        if !self.has_ended(scenario) {
            return None;
        }
        if bookings().any(|booking| booking.status.is_some() != (booking.seat != Seat::Held)) {
            return Some("at the end the status and the seat agree");
        }
        let has_wrong_end = |message: usize| {
            let status = self.bookings[scenario.reservation(message)].map(|booking| booking.status);
            match (self.messages[message].place, status) {
                (Place::Deleted, Some(None)) => true,
                (Place::Deleted, Some(Some(status))) => scenario.must_be_rejected(message, status),
                (Place::DeadLetters, Some(Some(status))) => !scenario.must_be_rejected(message, status),
                (Place::DeadLetters, _) => true,
                _ => false,
            }
        };
        (0..self.messages.len())
            .any(has_wrong_end)
            .then_some("an event succeeds, is superseded, or is rejected as a dead letter")
    }
}

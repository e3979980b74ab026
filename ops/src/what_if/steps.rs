//! The two steps of the worker (contract section 3), of which the first may have been done already.

use reservation_worker::event::Event;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::{Ending, Id, Seats};
use reservation_worker::services::reservation_api::Reservation;
use reservation_worker::workflow::{SeatStep, steps};

use super::reply;
use crate::letter::Letter;
use crate::prediction::Verdict;
use crate::services::ReadOnlyServices;

/// The HTTP status of a reservation that does not exist.
const NOT_FOUND: u16 = 404;

/// The verdict on a letter by itself, without the other letters about its reservation.
pub(super) async fn verdict(letter: &Letter, services: &ReadOnlyServices) -> Verdict {
    let event = match &letter.job.parsed {
        Ok(parsed) => &parsed.event,
        Err(error) => return Verdict::fails(Reason::InvalidPayload, error.to_string()),
    };
    let (Some(hold), Some((transition, seat_step))) = (event.hold(), steps(event)) else {
        return Verdict::succeeds("the event needs no work");
    };
    let reservation = match services.reservation(&hold.reservation_id).await {
        Ok(reservation) => reservation,
        Err(error) => return reply::of_reservation_api(&error, transition.to),
    };
    let of_steps = of_steps(letter, event, transition.to, seat_step, &reservation, services).await;
    Verdict { reservation_was_read: true, on_hold: reservation.is_on_hold, ..of_steps }
}

/// The verdict after the reservation was read.
async fn of_steps(
    letter: &Letter,
    event: &Event,
    requested: Ending,
    seat_step: SeatStep<'_>,
    reservation: &Reservation,
    services: &ReadOnlyServices,
) -> Verdict {
    if let Some(verdict) = reservation.ending.and_then(|found| Verdict::of_ending(requested, found)) {
        return verdict;
    }
    if letter.known_reason() == Some(Reason::Panicked) {
        return Verdict::cannot_tell("the worker panicked; only a new attempt shows whether it does again");
    }
    if reservation.ending.is_none() && !reservation.is_on_hold {
        return Verdict::cannot_tell("the reservation has no status, or one that this version does not know");
    }
    if reservation.ending.is_none() && was_refused(letter) {
        return Verdict::cannot_tell(
            "the reservation has not ended, and the reservation API may have refused to change it; only a new attempt \
             shows whether it accepts now",
        );
    }
    seats(letter, event, seat_step, reservation, services).await
}

/// Whether the reservation API has refused, or may have refused, to end a reservation that is still on hold. The usual
/// reason is a payment that it does not know yet.
fn was_refused(letter: &Letter) -> bool {
    match letter.known_reason() {
        // After a 404, the API does not refuse any more: the reservation did not exist, and it exists now.
        Some(Reason::ReservationApiRejected) => !letter.is_rejected_with(NOT_FOUND),
        Some(reason) => matches!(reason, Reason::PaymentNotSeen | Reason::ReservationConflict),
        None => letter.is_unexplained(),
    }
}

/// The verdict by the state of the seats. The status has been set, or would be set.
async fn seats(
    letter: &Letter,
    event: &Event,
    step: SeatStep<'_>,
    reservation: &Reservation,
    services: &ReadOnlyServices,
) -> Verdict {
    let Some((event_id, seats)) = facts(event, reservation) else {
        return Verdict::fails(
            Reason::FactsMissing,
            "neither the event nor the reservation names the ticketed event and the seats",
        );
    };
    let availability = match services.availability(event_id, seats.ids(), seats.quantity()).await {
        Ok(availability) => availability,
        Err(status) => return reply::of_inventory(&status),
    };
    let (all, recorded) = (seats.ids().len(), letter.known_reason());
    match (step, availability.free) {
        (SeatStep::Commit { .. }, Some(free @ 1..)) => Verdict::fails(
            Reason::CommitRejected,
            format!("{free} of {all} seats are not held any more, so they cannot be sold"),
        ),
        (SeatStep::Release(_), Some(free)) if free == all && recorded != Some(Reason::ReleaseRejected) => {
            Verdict::succeeds("the seats are free already")
        }
        _ if matches!(recorded, Some(Reason::CommitRejected | Reason::ReleaseRejected)) => {
            Verdict::cannot_tell(
                "the inventory refused to change the seats before; only a new attempt shows whether it accepts now",
            )
        }
        _ if reservation.ending.is_some() && letter.is_unexplained() => Verdict::cannot_tell(
            "the status is set and the seats are possibly unchanged; the reason is unknown",
        ),
        _ => Verdict::succeeds(match reservation.ending {
            Some(ending) => format!("the reservation is {ending}, and the seats can be changed"),
            None => "the reservation is on hold, and nothing that was read prevents the change".to_owned(),
        }),
    }
}

/// The ticketed event and the seats, as the worker finds them: in the event, otherwise in the reservation.
fn facts<'a>(event: &'a Event, reservation: &'a Reservation) -> Option<(&'a Id, &'a Seats)> {
    let hold = event.hold()?;
    let event_id = hold.event_id.as_ref().or(reservation.event_id.as_ref());
    let seats = hold.seats.as_ref().or(reservation.seats.as_ref());
    event_id.zip(seats)
}

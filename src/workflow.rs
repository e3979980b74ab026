//! The two steps that an event requires: the status first, the seats second (contract section 3).
//!
//! The change of the status decides a race between an expiry and a payment. The event that comes second does not
//! change the seats. Nothing is rolled back: when an event is delivered again, the services report its completed
//! steps as done.

use sqs_batch::Deadline;

use crate::event::{Event, EventType, Hold};
use crate::outcome::Outcome;
use crate::reason::Reason;
use crate::reservation::Ending;
use crate::services::inventory::{HeldSeats, Inventory, ReleaseReason};
use crate::services::reservation_api::{Reply, Reservation, ReservationApi, Transition, UpdateResult};

/// Makes the two services consistent.
#[derive(Debug)]
pub struct Workflow {
    /// The service that owns the status.
    pub reservation_api: ReservationApi,
    /// The service that owns the seats.
    pub inventory: Inventory,
}

/// What is done with the seats after the status was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatStep<'a> {
    /// They are released.
    Release(ReleaseReason),
    /// They are sold.
    Commit {
        /// The payment that they are sold for.
        payment_intent_id: &'a str,
        /// The customer, if the event names one.
        user_id: Option<&'a str>,
    },
}

/// The two steps that an event requires, in this order; `None` if it needs no work.
pub fn steps(event: &Event) -> Option<(Transition<'_>, SeatStep<'_>)> {
    let transition = Transition {
        reservation_id: &event.hold()?.reservation_id,
        to: Ending::Expired,
        payment_intent_id: None,
        reason: None,
        error_code: None,
    };
    Some(match event {
        Event::NoWork { .. } => return None,
        Event::ReservationExpired(_) => (transition, SeatStep::Release(ReleaseReason::Expired)),
        Event::PaymentApproved { payment_intent_id, user_id, .. } => (
            Transition { to: Ending::Confirmed, payment_intent_id: Some(payment_intent_id), ..transition },
            SeatStep::Commit { payment_intent_id, user_id: user_id.as_deref() },
        ),
        Event::PaymentFailed { error_code, .. } => (
            Transition {
                to: Ending::Cancelled,
                reason: Some("payment_failed"),
                error_code: error_code.as_deref(),
                ..transition
            },
            SeatStep::Release(ReleaseReason::FailedPayment),
        ),
    })
}

/// What is done with an event whose reservation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It ended as requested, now or earlier. The seats are next.
    Continue,
    /// Another event ended the reservation first. The delivery of that event changes the seats.
    Superseded,
    /// A person must look at the event, for this reason.
    Reject(Reason, &'static str),
}

/// The contract's table of replies to a status update. `requested` is the ending that the event requests, and `found`
/// is the one that the reservation has.
pub fn decide(requested: Ending, found: Ending) -> Decision {
    match (requested, found) {
        (Ending::Expired, Ending::Expired)
        | (Ending::Confirmed, Ending::Confirmed)
        | (Ending::Cancelled, Ending::Cancelled) => Decision::Continue,
        (Ending::Expired, Ending::Confirmed | Ending::Cancelled) | (Ending::Cancelled, Ending::Expired) => {
            Decision::Superseded
        }
        (Ending::Confirmed, Ending::Cancelled) => {
            Decision::Reject(Reason::PaidButCancelled, "paid but cancelled: refund due")
        }
        (Ending::Confirmed, Ending::Expired) => {
            Decision::Reject(Reason::PaidButExpired, "paid but expired: refund due")
        }
        (Ending::Cancelled, Ending::Confirmed) => {
            Decision::Reject(Reason::FailedPaymentOfConfirmed, "failed payment of a confirmed reservation")
        }
    }
}

impl Workflow {
    /// Does the steps that the event requires, as far as the deadline and the services allow.
    pub async fn run(&self, event: &Event, deadline: Deadline) -> Outcome {
        self.try_run(event, deadline).await.unwrap_or_else(|outcome| outcome)
    }

    async fn try_run(&self, event: &Event, deadline: Deadline) -> Result<Outcome, Outcome> {
        let (Some(hold), Some((transition, seat_step))) = (event.hold(), steps(event)) else {
            return Ok(Outcome::Ignored(match event.event_type() {
                EventType::PaymentStatusUpdated => "a payment status that needs no work",
                EventType::WorkerHeartbeat => "a heartbeat, which needs no work",
                _ => "an event type that needs no work",
            }));
        };
        let reply = match self.reservation_api.end(&transition, deadline).await.map_err(Outcome::of_error)? {
            UpdateResult::Done(reply) => Some(reply),
            UpdateResult::AlreadyEnded(found) => match decide(transition.to, found) {
                Decision::Continue => None,
                Decision::Superseded => {
                    return Ok(Outcome::Superseded(format!("the reservation is {found}")));
                }
                Decision::Reject(code, reason) => {
                    return Ok(Outcome::Failed { code, reason: reason.to_owned() });
                }
            },
        };
        self.change_seats(hold, reply, &seat_step, deadline).await?;
        Ok(Outcome::Success)
    }

    async fn change_seats(
        &self,
        hold: &Hold,
        reply: Option<Reply>,
        step: &SeatStep<'_>,
        deadline: Deadline,
    ) -> Result<(), Outcome> {
        let found = self.find_missing_facts(hold, reply, step, deadline).await?;
        let event_id = hold.event_id.as_ref().or(found.event_id.as_ref());
        let seats = hold.seats.as_ref().or(found.seats.as_ref());
        let (Some(event_id), Some(seats)) = (event_id, seats) else {
            return Err(Outcome::Failed {
                code: Reason::FactsMissing,
                reason: "the ticketed event or the seats are missing: neither the event nor the reservation contains them"
                    .to_owned(),
            });
        };
        let held = HeldSeats { reservation_id: &hold.reservation_id, event_id, seats };
        match *step {
            SeatStep::Release(reason) => self.inventory.release_hold(&held, reason, deadline).await,
            SeatStep::Commit { payment_intent_id, user_id } => {
                let user_id = user_id.or(found.user_id.as_deref());
                self.inventory.commit_reservation(&held, payment_intent_id, user_id, deadline).await
            }
        }
        .map_err(Outcome::of_error)
    }

    /// Finds the facts that the inventory needs and the event lacks: in the reply to the status update, otherwise by
    /// reading the reservation.
    ///
    /// When an event is delivered again, the reply may contain no reservation, but the request to the inventory must
    /// be the same as before. Therefore a fact of the event is never replaced, and if the reply lacks one of the
    /// missing facts, the reservation is read.
    ///
    /// The user id is optional. It is looked up only if the event id or the seats are missing, too.
    async fn find_missing_facts(
        &self,
        hold: &Hold,
        reply: Option<Reply>,
        step: &SeatStep<'_>,
        deadline: Deadline,
    ) -> Result<Reservation, Outcome> {
        let (needs_event_id, needs_seats) = (hold.event_id.is_none(), hold.seats.is_none());
        if !needs_event_id && !needs_seats {
            return Ok(Reservation::default());
        }
        let needs_user = matches!(step, SeatStep::Commit { user_id: None, .. });
        let found = reply.and_then(|reply| reply.reservation(&hold.reservation_id)).unwrap_or_default();
        if (needs_event_id && found.event_id.is_none())
            || (needs_seats && found.seats.is_none())
            || (needs_user && found.user_id.is_none())
        {
            let read = self.reservation_api.read(&hold.reservation_id, deadline).await;
            return Ok(found.or(read.map_err(Outcome::of_error)?));
        }
        Ok(found)
    }
}

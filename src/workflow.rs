//! What an event asks for: status first, seats second (contract section 3).
//!
//! The status decides a race between an expiry and a payment; the loser leaves the seats alone. Nothing is
//! rolled back: the next delivery of an event finds the steps that were done, done.

use crate::event::{Event, Hold};
use crate::fault::{Classify, Fault};
use crate::inventory::{Held, Inventory, ReleaseReason};
use crate::outcome::{Deferral, Outcome};
use crate::reason::Reason;
use crate::reservation::Ending;
use crate::reservation_api::{Answer, Reply, Reservation, ReservationApi, Transition};
use crate::retry::Deadline;

/// Brings the two services into agreement.
#[derive(Debug)]
pub struct Workflow {
    /// Owner of the status.
    pub reservation_api: ReservationApi,
    /// Owner of the seats.
    pub inventory: Inventory,
}

/// What happens to the seats once the status is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatStep<'a> {
    /// They are given back.
    Release(ReleaseReason),
    /// They are sold.
    Commit {
        /// The payment that buys them.
        payment_intent_id: &'a str,
        /// The customer, if the event names one.
        user_id: Option<&'a str>,
    },
}

/// The two steps that an event asks for, in this order; `None` if it asks for nothing.
pub fn steps(event: &Event) -> Option<(Transition<'_>, SeatStep<'_>)> {
    let transition = Transition {
        reservation_id: &event.hold().reservation_id,
        to: Ending::Expired,
        payment_intent_id: None,
        reason: None,
        error_code: None,
    };
    Some(match event {
        Event::PaymentUnderway(_) => return None,
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

/// What the way in which a reservation has ended means for an event that wanted it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As wanted, now or earlier: the seats are next.
    Continue,
    /// Another event won, and its own delivery sees to the seats.
    Superseded,
    /// A person must look, for this reason.
    Reject(Reason, &'static str),
}

/// The contract's table of replies to a status update.
pub fn decide(wanted: Ending, found: Ending) -> Verdict {
    match (wanted, found) {
        (Ending::Expired, Ending::Expired)
        | (Ending::Confirmed, Ending::Confirmed)
        | (Ending::Cancelled, Ending::Cancelled) => Verdict::Continue,
        (Ending::Expired, Ending::Confirmed | Ending::Cancelled) | (Ending::Cancelled, Ending::Expired) => {
            Verdict::Superseded
        }
        (Ending::Confirmed, Ending::Cancelled) => {
            Verdict::Reject(Reason::PaidButCancelled, "paid but cancelled: refund due")
        }
        (Ending::Confirmed, Ending::Expired) => {
            Verdict::Reject(Reason::PaidButExpired, "paid but expired: refund due")
        }
        (Ending::Cancelled, Ending::Confirmed) => {
            Verdict::Reject(Reason::FailedPaymentOfConfirmed, "failed payment of a confirmed reservation")
        }
    }
}

impl Workflow {
    /// Does what the event asks for, as far as the deadline and the services allow.
    pub async fn run(&self, event: &Event, deadline: Deadline) -> Outcome {
        self.settle(event, deadline).await.unwrap_or_else(|outcome| outcome)
    }

    async fn settle(&self, event: &Event, deadline: Deadline) -> Result<Outcome, Outcome> {
        let Some((transition, seat_step)) = steps(event) else {
            return Ok(Outcome::Ignored("a payment status that needs no work"));
        };
        let reply = match self.reservation_api.end(&transition, deadline).await.map_err(failed)? {
            Answer::Done(reply) => Some(reply),
            Answer::AlreadyEnded(found) => match decide(transition.to, found) {
                Verdict::Continue => None,
                Verdict::Superseded => return Ok(Outcome::Superseded(format!("the reservation is {found}"))),
                Verdict::Reject(code, reason) => {
                    return Ok(Outcome::Failed { code, reason: reason.to_owned() });
                }
            },
        };
        self.settle_seats(event.hold(), reply, &seat_step, deadline).await?;
        Ok(Outcome::Success)
    }

    async fn settle_seats(
        &self,
        hold: &Hold,
        reply: Option<Reply>,
        step: &SeatStep<'_>,
        deadline: Deadline,
    ) -> Result<(), Outcome> {
        let found = self.find(hold, reply, step, deadline).await?;
        let event_id = hold.event_id.as_ref().or(found.event_id.as_ref());
        let seats = hold.seats.as_ref().or(found.seats.as_ref());
        let (Some(event_id), Some(seats)) = (event_id, seats) else {
            return Err(Outcome::Failed {
                code: Reason::FactsMissing,
                reason: "neither the event nor the reservation names event and seats".to_owned(),
            });
        };
        let held = Held { reservation_id: &hold.reservation_id, event_id, seats };
        match *step {
            SeatStep::Release(reason) => self.inventory.release_hold(&held, reason, deadline).await,
            SeatStep::Commit { payment_intent_id, user_id } => {
                let user_id = user_id.or(found.user_id.as_deref());
                self.inventory.commit_reservation(&held, payment_intent_id, user_id, deadline).await
            }
        }
        .map_err(failed)
    }

    /// What the inventory must be told and the event does not know: from the reservation in the reply to the
    /// status update, else from the reservation itself.
    ///
    /// A redelivery finds no reservation in that reply, and must ask the inventory for the same. So what the
    /// event knows is never taken from elsewhere, and what it lacks never from half a reservation.
    async fn find(
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
            return Ok(found.or(read.map_err(failed)?));
        }
        Ok(found)
    }
}

/// How a record ends whose step failed.
pub fn failed(error: impl Classify + ToString) -> Outcome {
    let (code, reason) = (error.code(), error.to_string());
    match error.fault() {
        Fault::Transient { retry_after } => Outcome::Retried { code, reason, retry_after },
        Fault::Rejected => Outcome::Failed { code, reason },
        Fault::NotCalled(open) => Outcome::Deferred(Deferral::BreakerOpen(open)),
    }
}

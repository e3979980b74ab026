//! What the worker would do with a letter now, as far as reading the services shows.

use clap::ValueEnum;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::Ending;
use reservation_worker::workflow::{Decision, decide};
use serde::{Deserialize, Serialize};

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prediction {
    /// The worker would acknowledge it: the work would be done, is done, or is not needed
    WouldSucceed,
    /// Another event has ended the reservation, so nothing is left to do
    WouldBeSuperseded,
    /// The customer paid for a reservation that has ended
    RefundDue,
    /// It would be dead again
    WouldFail,
    /// What can be read from the services does not show the result
    CannotTell,
}

/// A prediction and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) prediction: Prediction,
    pub(crate) why: String,
    /// The reason code with which the letter would be dead again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason_code: Option<String>,
    /// Whether the reservation was read before the prediction was made.
    #[serde(default, rename = "has_read")]
    pub(crate) reservation_was_read: bool,
    /// Whether the reservation is on hold, so that another event may end it first.
    #[serde(skip)]
    pub(crate) on_hold: bool,
}

impl Verdict {
    pub(crate) fn new(prediction: Prediction, why: impl Into<String>) -> Self {
        Self { prediction, why: why.into(), reason_code: None, reservation_was_read: false, on_hold: false }
    }

    pub(crate) fn succeeds(why: impl Into<String>) -> Self {
        Self::new(Prediction::WouldSucceed, why)
    }

    pub(crate) fn cannot_tell(why: impl Into<String>) -> Self {
        Self::new(Prediction::CannotTell, why)
    }

    pub(crate) fn fails(reason: Reason, why: impl Into<String>) -> Self {
        let prediction = match reason {
            Reason::PaidButExpired | Reason::PaidButCancelled => Prediction::RefundDue,
            _ => Prediction::WouldFail,
        };
        Self { reason_code: Some(reason.as_str().to_owned()), ..Self::new(prediction, why) }
    }

    /// The verdict on an event that requests an ending of a reservation that has ended already; `None` if the worker
    /// would go on to the seats.
    pub(crate) fn of_ending(requested: Ending, found: Ending) -> Option<Self> {
        match decide(requested, found) {
            Decision::Continue => None,
            Decision::Superseded => {
                Some(Self::new(Prediction::WouldBeSuperseded, format!("the reservation is {found}")))
            }
            Decision::Reject(reason, why) => Some(Self::fails(reason, why)),
        }
    }

    /// Whether the prediction excludes that a refund is due. A prediction that was made without
    /// reading the reservation is based on the event alone.
    pub(crate) fn excludes_refund(&self) -> bool {
        match self.prediction {
            Prediction::WouldSucceed => true,
            Prediction::WouldBeSuperseded | Prediction::WouldFail => self.reservation_was_read,
            Prediction::RefundDue | Prediction::CannotTell => false,
        }
    }
}

impl Prediction {
    /// The name in tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::WouldSucceed => "would succeed",
            Self::WouldBeSuperseded => "would be superseded",
            Self::RefundDue => "refund due",
            Self::WouldFail => "would fail",
            Self::CannotTell => "cannot tell",
        }
    }
}

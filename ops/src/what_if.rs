//! What the worker would do with a letter now, predicted with its own parser and decision tables. Nothing is changed.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use reservation_worker::config::Config;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::Ending;
use reservation_worker::workflow::{Decision, decide};
use serde::{Deserialize, Serialize};

use crate::aws;
use crate::letter::Letter;
use crate::progress::bar;
use crate::services::ReadOnlyServices;
use crate::session::Session;

mod race;
mod reply;
mod steps;

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
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
    /// Reading the services does not show it
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
    /// How the reservation, which is on hold, would end.
    #[serde(skip)]
    pub(crate) would_end: Option<Ending>,
}

impl Verdict {
    fn new(prediction: Prediction, why: impl Into<String>) -> Self {
        Self { prediction, why: why.into(), reason_code: None, would_end: None }
    }

    fn succeeds(why: impl Into<String>) -> Self {
        Self::new(Prediction::WouldSucceed, why)
    }

    fn cannot_tell(why: impl Into<String>) -> Self {
        Self::new(Prediction::CannotTell, why)
    }

    fn fails(reason: Reason, why: impl Into<String>) -> Self {
        let prediction = match reason {
            Reason::PaidButExpired | Reason::PaidButCancelled => Prediction::RefundDue,
            _ => Prediction::WouldFail,
        };
        Self { reason_code: Some(reason.as_str().to_owned()), ..Self::new(prediction, why) }
    }

    /// The verdict on an event that requests an ending, if the reservation has ended; `None` if its seats are next.
    fn of_ending(requested: Ending, found: Ending) -> Option<Self> {
        match decide(requested, found) {
            Decision::Continue => None,
            Decision::Superseded => {
                Some(Self::new(Prediction::WouldBeSuperseded, format!("the reservation is {found}")))
            }
            Decision::Reject(reason, why) => Some(Self::fails(reason, why)),
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

/// The services, with the variables and the secret of the worker.
pub(crate) async fn connect(session: &Session) -> Result<ReadOnlyServices> {
    let aws_config = session.config.clone();
    let fetch = move |name| aws::secret(aws_config.clone(), name);
    let config = Config::from_sources(|variable| std::env::var(variable).ok(), fetch).await?;
    ReadOnlyServices::new(&config)
}

/// Adds a verdict to each letter, which are in the order in which they were sent.
pub(crate) async fn predict(
    services: &ReadOnlyServices,
    letters: &mut [Letter],
    session: &Session,
    concurrency: usize,
) -> Result<()> {
    let bar = bar("reading the reservations", letters.len());
    stream::iter(letters.iter_mut())
        .for_each_concurrent(concurrency, async |letter| {
            if session.stop.check().is_ok() {
                letter.what_if = Some(steps::verdict(letter, services).await);
                bar.inc(1);
            }
        })
        .await;
    bar.finish_and_clear();
    session.stop.check()?;
    let is_fifo = letters.iter().any(|letter| letter.sequence > 0);
    let mut by_reservation = BTreeMap::<String, Vec<&mut Letter>>::new();
    for letter in letters {
        if let Some(id) = letter.reservation_id().map(str::to_owned) {
            by_reservation.entry(id).or_default().push(letter);
        }
    }
    by_reservation.values_mut().for_each(|letters| race::decide_between(letters, is_fifo));
    Ok(())
}

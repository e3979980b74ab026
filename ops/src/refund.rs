//! Letters for which a refund is due. If such a letter was redriven, it would be dead again, and nobody would have
//! refunded the payment. So the user must permit this by naming its reason (`--allow-reason`).

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use reservation_worker::event::EventType;
use reservation_worker::reason::Reason;

use crate::prediction::{Prediction, Verdict};
use crate::reason_code;

/// The reason code that the user must name before the letter is sent; `None` if no refund can be due. A refund may also
/// be due for an approved payment whose reason is unknown, unless a prediction excludes it.
pub(crate) fn reason<'a>(
    event_type: &str,
    reason_code: &'a str,
    predicted: Option<&'a Verdict>,
) -> Option<&'a str> {
    if let Some(Verdict { prediction: Prediction::RefundDue, reason_code, .. }) = predicted {
        return reason_code.as_deref();
    }
    let may_be_due = match reason_code::reason(reason_code) {
        Some(_) => is_due(reason_code),
        None => {
            let is_clear = predicted.is_some_and(Verdict::excludes_refund);
            event_type == EventType::PaymentApproved.as_str() && !is_clear
        }
    };
    may_be_due.then_some(reason_code)
}

/// Whether the reason says that a refund is due.
pub(crate) fn is_due(reason_code: &str) -> bool {
    matches!(reason_code::reason(reason_code), Some(Reason::PaidButExpired | Reason::PaidButCancelled))
}

/// Checks that the user has allowed all of these reasons.
///
/// # Errors
///
/// A reason is not in `allowed`.
pub(crate) fn check<'a>(reasons: impl Iterator<Item = &'a str>, allowed: &[String]) -> Result<()> {
    let refused: BTreeSet<_> = reasons.filter(|reason| !allowed.iter().any(|code| code == reason)).collect();
    if let Some(reason) = refused.first() {
        bail!(
            "a refund may be due for letters with the reason {reason}; --allow-reason {reason} sends them nevertheless"
        );
    }
    Ok(())
}

//! The reason codes of the worker, as text.

use reservation_worker::reason::Reason;
use strum::VariantArray;

/// The reason code or event type that is shown for a letter without one.
pub(crate) const UNKNOWN: &str = "unknown";

/// The reason with this code.
pub(crate) fn reason(code: &str) -> Option<Reason> {
    Reason::VARIANTS.iter().copied().find(|reason| reason.as_str() == code)
}

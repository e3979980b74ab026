//! Types that events and both services share: identifiers, the ending of a reservation, its seats.

use std::fmt;

/// Identifier of a reservation or of a ticketed event (a concert): 1 to 128 of `A-Z a-z 0-9 . _ : -`,
/// the first alphanumeric (contract section 2). Safe in a URL path, a header and a log line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(String);

impl Id {
    /// Checks the alphabet and the length.
    ///
    /// # Errors
    ///
    /// The reason, which does not contain the text itself.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() {
            Err("is empty")
        } else if text.len() > 128 {
            Err("is longer than 128 characters")
        } else if !text.bytes().all(allowed) {
            Err("has a character other than A-Z a-z 0-9 . _ : -")
        } else if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            Err("does not start with a letter or a digit")
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a hold ended. A reservation leaves `HOLD` once and never returns to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It was paid. Its seats are to be sold.
    Confirmed,
    /// Its payment failed, or it was cancelled. Its seats are to be released.
    Cancelled,
    /// It was not paid in time. Its seats are to be released.
    Expired,
}

impl Ending {
    /// The status as the reservation API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "CONFIRMED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The seats of a hold: a list of seat ids, or only the number of seats (a quantity-based hold).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seats {
    ids: Vec<String>,
    quantity: i32,
}

impl Seats {
    /// The seats `ids`, or `quantity` seats if `ids` is empty; `None` if there is neither. If the quantity disagrees
    /// with the number of ids, the number of ids is used.
    pub fn new(ids: Vec<String>, quantity: Option<i32>) -> Option<Self> {
        let quantity = if ids.is_empty() { quantity? } else { i32::try_from(ids.len()).ok()? };
        (quantity > 0).then_some(Self { ids, quantity })
    }

    /// The seat ids; empty for a quantity-based hold.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The number of seats, at least 1.
    pub fn quantity(&self) -> i32 {
        self.quantity
    }
}

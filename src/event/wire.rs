//! The JSON of an event exactly as the producers send it, before the rules of the facts are applied (contract section
//! 2).
//!
//! A value is decoded only when a rule needs it, so that a malformed value of an unused field is no error.

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::ParseError;

/// The JSON text of a value; `None` if it is absent or `null`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The outer object of every shape.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "detail-type")]
    pub(super) detail_type: Raw<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) event_type: Raw<'a>,
    #[serde(borrow)]
    pub(super) time: Raw<'a>,
    /// The name of `time` in the flat shape.
    #[serde(borrow)]
    pub(super) ts: Raw<'a>,
    #[serde(borrow)]
    trace_id: Raw<'a>,
    #[serde(borrow, rename = "traceId")]
    trace_id_in_camel_case: Raw<'a>,
    #[serde(borrow)]
    pub(super) detail: Raw<'a>,
    #[serde(borrow)]
    pub(super) payload: Raw<'a>,
}

impl<'a> Envelope<'a> {
    /// The two spellings of the trace id.
    pub(super) fn trace_id(&self) -> Spellings<'a> {
        let field = |name, raw: Raw<'a>| raw.map(|raw| Field { prefix: "", name, raw });
        [field("trace_id", self.trace_id), field("traceId", self.trace_id_in_camel_case)]
    }
}

/// A field that is present.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// The path of its object in the body, empty or with a dot at its end.
    pub(super) prefix: &'static str,
    pub(super) name: &'static str,
    pub(super) raw: &'a RawValue,
}

/// The values of a fact under its name in `snake_case` and under its name in `camelCase`.
pub(super) type Spellings<'a> = [Option<Field<'a>>; 2];

/// Declares [`Fields`]: each fact with its name, and with its other name in `camelCase` if that differs.
macro_rules! facts {
    ($($(#[$doc:meta])* $fact:ident $(| $camel:ident)?,)*) => {
        /// The facts of an object.
        #[expect(non_snake_case, reason = "a field has the name that it has in JSON")]
        #[derive(Deserialize)]
        pub(super) struct Fields<'a> {
            /// The path of the object in the body, empty or with a dot at its end.
            #[serde(skip)]
            pub(super) prefix: &'static str,
            $(#[serde(borrow)] $fact: Raw<'a>, $(#[serde(borrow)] $camel: Raw<'a>,)?)*
        }

        impl<'a> Fields<'a> {
            $($(#[$doc])* pub(super) fn $fact(&self) -> Spellings<'a> {
                facts!(@spellings self $fact $($camel)?)
            })*

            /// Checks that no fact has two spellings that disagree.
            fn check(&self) -> Result<(), ParseError> {
                $(must_agree(self.$fact())?;)*
                Ok(())
            }
        }
    };
    (@spellings $self:ident $fact:ident) => {
        [$self.field(stringify!($fact), $self.$fact), None]
    };
    (@spellings $self:ident $fact:ident $camel:ident) => {
        [$self.field(stringify!($fact), $self.$fact), $self.field(stringify!($camel), $self.$camel)]
    };
}

facts! {
    reservation_id | reservationId,
    event_id | eventId,
    seat_ids | seatIds,
    qty,
    quantity,
    payment_intent_id | paymentIntentId,
    payment_id | paymentId,
    user_id | userId,
    error_code | errorCode,
    error_message | errorMessage,
    expires_at | expiresAt,
    trace_id | traceId,
    /// The type that the payment simulator sends inside `detail`.
    event_type,
    /// The status of the payment simulator.
    status,
}

impl<'a> Fields<'a> {
    /// Reads the facts of the object `json`, whose path in the body is `prefix`.
    pub(super) fn read(prefix: &'static str, json: &'a str) -> Result<Self, ParseError> {
        let fields = Self { prefix, ..object(prefix, json)? };
        fields.check()?;
        Ok(fields)
    }

    fn field(&self, name: &'static str, raw: Raw<'a>) -> Option<Field<'a>> {
        raw.map(|raw| Field { prefix: self.prefix, name, raw })
    }
}

impl Field<'_> {
    pub(super) fn error(&self, reason: &'static str) -> ParseError {
        ParseError::new(format!("{}{}", self.prefix, self.name), reason)
    }
}

/// Checks that the two spellings of a fact do not disagree. An empty text or list counts as absent, as it does
/// elsewhere.
pub(super) fn must_agree(spellings: Spellings<'_>) -> Result<(), ParseError> {
    let [Some(snake), Some(camel)] = spellings else { return Ok(()) };
    let value = |field: Field<'_>| serde_json::from_str::<Value>(field.raw.get()).ok();
    let is_empty = |value: &Value| *value == Value::Array(Vec::new()) || *value == "";
    let agree = match (value(snake), value(camel)) {
        (Some(snake), Some(camel)) => snake == camel || is_empty(&snake) || is_empty(&camel),
        (_, _) => snake.raw.get() == camel.raw.get(),
    };
    if agree { Ok(()) } else { Err(snake.error("has another value than its spelling in camelCase")) }
}

/// Reads a JSON object. `prefix` is the path of `json` in the body, empty or with a dot at its end.
pub(super) fn object<'a, T: Deserialize<'a>>(prefix: &str, json: &'a str) -> Result<T, ParseError> {
    if !json.trim_ascii_start().starts_with('{') {
        let path = prefix.strip_suffix('.').unwrap_or("body");
        return Err(ParseError::new(path, "is not a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| {
        match (error.classify(), duplicate_field(&error.to_string())) {
            (Category::Data, Some(field)) => ParseError::new(format!("{prefix}{field}"), "occurs twice"),
            _ => {
                let reason = format!("is not valid JSON at line {} column {}", error.line(), error.column());
                ParseError::new("body", reason)
            }
        }
    })
}

/// The field that occurs twice, if `message` is the error of serde for that.
fn duplicate_field(message: &str) -> Option<&str> {
    message.strip_prefix("duplicate field `")?.split('`').next()
}

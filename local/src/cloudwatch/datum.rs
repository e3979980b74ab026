//! One metric in a `PutMetricData` call, and the limits that CloudWatch sets for it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const MAX_VALUES: usize = 150;
const MAX_DIMENSIONS: usize = 30;
const DAY: Duration = Duration::from_secs(86_400);

/// The values of one metric with one set of dimensions (`MetricDatum` in CloudWatch).
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// The name of the metric.
    pub name: String,
    /// The dimensions: name to value.
    pub dimensions: BTreeMap<String, String>,
    /// The unit of the values: `Seconds` or `Count`.
    pub unit: String,
    /// The time of the measurement.
    pub timestamp: SystemTime,
    /// The storage resolution in seconds.
    pub storage_resolution: Option<u64>,
    /// Whether the request contained the member `Value` and not the arrays `Values` and `Counts`.
    pub is_single: bool,
    /// Each value with the number of its occurrences.
    pub values: Vec<(f64, f64)>,
}

impl Datum {
    /// The name of the first part that CloudWatch would not accept, or `unit` if the function does not use the unit.
    pub(super) fn invalid_part(&self) -> Option<&'static str> {
        let now = SystemTime::now();
        let is_text =
            |text: &String| (1..=1_024).contains(&text.len()) && text.is_ascii() && !text.starts_with(':');
        let is_number = |number: f64| number.is_finite() && number.abs() <= 2_f64.powi(360);
        if self.name.is_empty() || self.name.len() > 255 {
            Some("name")
        } else if self.dimensions.len() > MAX_DIMENSIONS
            || !self
                .dimensions
                .iter()
                .all(|(name, value)| name.len() <= 255 && is_text(name) && is_text(value))
        {
            Some("dimensions")
        } else if self.timestamp < now - 14 * DAY || self.timestamp > now + DAY / 12 {
            Some("timestamp")
        } else if self.values.is_empty() || self.values.len() > MAX_VALUES {
            Some("number of values")
        } else if !self
            .values
            .iter()
            .all(|(value, count)| is_number(*value) && is_number(*count) && *count > 0.0)
        {
            Some("values")
        } else if !["Seconds", "Count"].contains(&self.unit.as_str()) {
            Some("unit")
        } else {
            None
        }
    }
}

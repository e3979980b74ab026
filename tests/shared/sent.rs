//! The metrics that CloudWatch has received.

use std::collections::BTreeMap;

use reservation_worker_local::cloudwatch::{Datum, PutMetricDataCall};

/// The data of calls that CloudWatch accepted.
pub struct Sent(pub Vec<Datum>);

impl Sent {
    pub fn of(puts: Vec<PutMetricDataCall>) -> Self {
        assert!(puts.iter().all(|put| put.namespace == "TrafficTacos/ReservationWorker"));
        Self(puts.into_iter().flat_map(|put| put.data).collect())
    }

    /// The data of a metric under exactly these dimensions.
    pub fn data(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<&Datum> {
        let dimensions: BTreeMap<_, _> =
            dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let data = self.0.iter().filter(|datum| datum.name == name && datum.dimensions == dimensions);
        data.collect()
    }

    /// The values in rising order, over all minutes, and how often each value occurred.
    pub fn values(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let data = self.data(name, dimensions).into_iter();
        let mut values: Vec<_> = data.flat_map(|datum| datum.values.iter().copied()).collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        values
    }

    /// The number of values.
    pub fn count(&self, name: &str, dimensions: &[(&str, &str)]) -> f64 {
        self.values(name, dimensions).iter().map(|(_, count)| count).sum()
    }

    /// The sum of the values.
    pub fn sum(&self, name: &str, dimensions: &[(&str, &str)]) -> f64 {
        self.values(name, dimensions).iter().map(|(value, count)| value * count).sum()
    }
}

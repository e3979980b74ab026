//! Embedded metric format: log lines that CloudWatch Logs turns into metrics, within its specification's
//! limits.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::period::{Data, Period, Series};

/// An array has so many values at most.
const VALUES: usize = 100;

/// A line for each set of dimensions and their values; more where there are more values than fit into one.
pub(super) fn lines(period: &Period, namespace: &str, head: &Map<String, Value>) -> Vec<String> {
    let mut by_dimensions = BTreeMap::<_, Vec<_>>::new();
    for series in period.series() {
        by_dimensions.entry(series.dimensions.clone()).or_default().push(series);
    }
    let timestamp = period.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut lines = Vec::new();
    for (dimensions, all) in by_dimensions {
        let values: Vec<_> = all.iter().map(values).collect();
        let parts = values.iter().map(|values| values.len().div_ceil(VALUES)).max().unwrap_or_default();
        for part in 0..parts {
            let mut line = head.clone();
            let mut metrics = Vec::new();
            for (series, values) in all.iter().zip(&values) {
                let Some(values) = values.chunks(VALUES).nth(part) else { continue };
                let unit = if series.metric.is_in_seconds() { "Seconds" } else { "Count" };
                metrics.push(json!({ "Name": series.metric.name(), "Unit": unit }));
                line.insert(series.metric.name().to_owned(), json!(values));
            }
            let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
            let directive = json!({ "Namespace": namespace, "Dimensions": [names], "Metrics": metrics });
            line.insert(
                "_aws".to_owned(),
                json!({ "Timestamp": timestamp, "CloudWatchMetrics": [directive] }),
            );
            line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
            lines.push(format!("{}\n", Value::Object(line)));
        }
    }
    lines
}

/// Each as often as it occurred: the format knows no counts.
fn values(series: &Series) -> Vec<f64> {
    match &series.data {
        Data::Count(count) => vec![*count],
        Data::Values(values) => {
            values.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count as usize)).collect()
        }
    }
}

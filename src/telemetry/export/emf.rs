//! Embedded metric format (EMF): log lines that CloudWatch Logs turns into metrics, within the limits of its
//! specification.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use crate::telemetry::metrics::{Period, Series, SeriesData};

/// An EMF array has at most this many values.
const VALUES_PER_LINE: usize = 100;

/// One line for each combination of dimension values, or several lines if one cannot contain all values.
pub(super) fn lines(period: &Period, namespace: &str, head: &Map<String, Value>) -> Vec<String> {
    let mut by_dimensions = BTreeMap::<_, Vec<_>>::new();
    for series in period.series() {
        by_dimensions.entry(series.dimensions.clone()).or_default().push(series);
    }
    let timestamp = period.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut lines = Vec::new();
    for (dimensions, all) in by_dimensions {
        let values: Vec<_> = all.iter().map(values).collect();
        let parts =
            values.iter().map(|values| values.len().div_ceil(VALUES_PER_LINE)).max().unwrap_or_default();
        for part in 0..parts {
            let mut line = head.clone();
            let mut metrics = Vec::new();
            for (series, values) in all.iter().zip(&values) {
                let Some(values) = values.chunks(VALUES_PER_LINE).nth(part) else { continue };
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
            line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(&**value))));
            lines.push(format!("{}\n", Value::Object(line)));
        }
    }
    lines
}

/// Each value as often as it occurred, because the lines contain no counts.
fn values(series: &Series) -> Vec<f64> {
    match &series.data {
        SeriesData::Count(count) => vec![*count],
        SeriesData::Values(values) => {
            values.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count as usize)).collect()
        }
    }
}

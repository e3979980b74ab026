//! Sends metrics with `PutMetricData`, within its limits.

use std::time::SystemTime;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{Builder, retry::RetryConfig};
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use tokio::sync::OnceCell;

use crate::aws;
use crate::telemetry::metrics::{Period, Series, SeriesData};

/// CloudWatch takes at most this many distinct values per datum.
const VALUES_PER_DATUM: usize = 150;
/// CloudWatch takes 1,000 data and 1 MB per call. A datum of 150 values and their counts has up to 3.2 kB.
const DATA_PER_CALL: usize = 300;

/// The CloudWatch client, which is made when it is first needed, and the namespace of the metrics.
#[derive(Debug)]
pub struct CloudWatch {
    namespace: String,
    client: OnceCell<Client>,
}

impl CloudWatch {
    /// Uses the client in `client` if there is one; otherwise makes the client that the environment describes.
    pub fn new(namespace: String, client: OnceCell<Client>) -> Self {
        Self { namespace, client }
    }

    /// Sends what has not been sent of a period, in several calls if it is too large for one. After a failure, the next
    /// `put` continues with the call that failed.
    ///
    /// # Errors
    ///
    /// The reason why a call failed. Data that CloudWatch will never accept is dropped, and the loss is logged.
    pub(super) async fn put(&self, period: &mut Period) -> Result<(), String> {
        let connect = async || Client::new(&aws::config(None).await);
        let client = self.client.get_or_init(connect).await;
        let data: Vec<_> = period.series().iter().flat_map(|series| data(series, period.began)).collect();
        for data in data[period.sent.min(data.len())..].chunks(DATA_PER_CALL) {
            let call =
                client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data.to_vec()));
            // Data of a failed call is stored and sent with later data, so the SDK must not retry.
            let no_retry = Builder::new().retry_config(aws::reuse_connections(RetryConfig::disabled()));
            if let Err(error) = call.customize().config_override(no_retry).send().await {
                let reason = aws::reason(&error);
                if !error.as_service_error().is_some_and(is_final) {
                    return Err(reason);
                }
                tracing::error!(reason, "CloudWatch rejected metrics: they are lost");
            }
            period.sent += data.len();
        }
        Ok(())
    }
}

/// Whether CloudWatch will never accept the data. Depending on the protocol, the codes end in `Exception` or do not.
fn is_final(error: &PutMetricDataError) -> bool {
    let codes = ["InvalidParameter", "MissingParameter", "MissingRequiredParameter", "Validation"];
    error.code().is_some_and(|code| codes.iter().any(|start| code.starts_with(start)))
}

fn data(series: &Series, began: SystemTime) -> Vec<MetricDatum> {
    let unit = if series.metric.is_in_seconds() { StandardUnit::Seconds } else { StandardUnit::Count };
    let dimensions = series.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(*name).value(&**value).build());
    let datum = MetricDatum::builder()
        .metric_name(series.metric.name())
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(DateTime::from(began))
        .unit(unit)
        .storage_resolution(60);
    match &series.data {
        SeriesData::Count(count) => vec![datum.value(*count).build()],
        SeriesData::Values(values) => {
            let parts = values.chunks(VALUES_PER_DATUM).map(|part| {
                let (values, counts) = part.iter().map(|(value, count)| (*value, f64::from(*count))).unzip();
                datum.clone().set_values(Some(values)).set_counts(Some(counts)).build()
            });
            parts.collect()
        }
    }
}

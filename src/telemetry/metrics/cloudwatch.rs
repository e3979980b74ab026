//! `PutMetricData`, within its limits.

use std::time::SystemTime;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{Builder, retry::RetryConfig};
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use tokio::sync::OnceCell;

use super::period::{Data, Period, Series};
use crate::aws;

/// CloudWatch takes so many distinct values a datum.
const VALUES: usize = 150;
/// CloudWatch takes 1,000 data and 1 MB a call; a datum of 150 values and their counts has up to 3.2 kB.
const DATA: usize = 300;

/// The CloudWatch client, made when it is first needed, and its namespace.
#[derive(Debug)]
pub struct CloudWatch {
    namespace: String,
    client: OnceCell<Client>,
}

impl CloudWatch {
    /// Uses the client that is given, if one is; else one as the environment describes it.
    pub fn new(namespace: String, client: OnceCell<Client>) -> Self {
        Self { namespace, client }
    }

    /// Sends what is left of a period, in several calls if it is too large for one; those that were answered
    /// are not made again.
    ///
    /// # Errors
    ///
    /// Why a call was not taken. What never will be is told and given up.
    pub(super) async fn put(&self, period: &mut Period) -> Result<(), String> {
        let connect = async || Client::new(&aws::config(None).await);
        let client = self.client.get_or_init(connect).await;
        let data: Vec<_> = period.series().iter().flat_map(|series| data(series, period.began)).collect();
        for data in data[period.sent.min(data.len())..].chunks(DATA) {
            let call =
                client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data.to_vec()));
            // What is not taken is kept, and sent with what comes after it.
            let once = Builder::new().retry_config(aws::same_connections(RetryConfig::disabled()));
            if let Err(error) = call.customize().config_override(once).send().await {
                let reason = aws::reason(&error);
                if !error.as_service_error().is_some_and(is_final) {
                    return Err(reason);
                }
                tracing::error!(reason, "metrics refused: they are lost");
            }
            period.sent += data.len();
        }
        Ok(())
    }
}

/// Whether it is the metrics' own fault, by the code, which is written with and without `Exception`, as the protocol goes.
fn is_final(error: &PutMetricDataError) -> bool {
    let codes = ["InvalidParameter", "MissingParameter", "MissingRequiredParameter", "Validation"];
    error.code().is_some_and(|code| codes.iter().any(|start| code.starts_with(start)))
}

fn data(series: &Series, began: SystemTime) -> Vec<MetricDatum> {
    let unit = if series.metric.is_in_seconds() { StandardUnit::Seconds } else { StandardUnit::Count };
    let dimensions = series.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
    let datum = MetricDatum::builder()
        .metric_name(series.metric.name())
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(DateTime::from(began))
        .unit(unit)
        .storage_resolution(60);
    match &series.data {
        Data::Count(count) => vec![datum.value(*count).build()],
        Data::Values(values) => {
            let parts = values.chunks(VALUES).map(|part| {
                let (values, counts) = part.iter().map(|(value, count)| (*value, f64::from(*count))).unzip();
                datum.clone().set_values(Some(values)).set_counts(Some(counts)).build()
            });
            parts.collect()
        }
    }
}

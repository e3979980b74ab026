//! The queue that the calls name, and the region of the client.

use serde_json::{Value, json};
use sqs_batch::Backoff;

use crate::batch::{Reason, process, returned};
use crate::sqs::Sqs;

const SET_URL: &str = "http://localhost:9324/000000000000/q";

/// Two returned records of the queue with this ARN.
fn from_queue(arn: &Value) -> Value {
    let mut records = returned(2);
    for record in records.as_array_mut().unwrap() {
        record["eventSourceARN"] = arn.clone();
    }
    records
}

#[tokio::test(start_paused = true)]
async fn the_queue_url_and_the_region_are_derived_from_the_arn_in_every_partition() {
    let cases = [
        ("aws", "eu-west-1", "amazonaws.com"),
        ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
        ("aws-eusc", "eusc-de-east-1", "amazonaws.eu"),
        ("aws-iso", "us-iso-east-1", "c2s.ic.gov"),
        ("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov"),
        ("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk"),
        ("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov"),
        ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
    ];
    for (partition, region, suffix) in cases {
        for name in ["orders", "orders.fifo"] {
            let sqs = Sqs::default();
            let arn = json!(format!("arn:{partition}:sqs:{region}:123456789012:{name}"));

            process(sqs.visibility(Backoff::default()), from_queue(&arn)).await;

            let calls = sqs.calls();
            assert_eq!(calls.len(), 1);
            assert_eq!(calls[0].queue_url, format!("https://sqs.{region}.{suffix}/123456789012/{name}"));
            assert_eq!(sqs.clients(), [Some(region.to_owned())]);
            // The SDK derives the host from the region independently.
            assert_eq!(calls[0].host, format!("sqs.{region}.{suffix}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_url_that_is_set_takes_precedence_and_the_region_still_comes_from_the_arn() {
    let sqs = Sqs::default();
    let visibility = sqs.visibility(Backoff::default()).with_queue_url(Some(SET_URL.to_owned()));
    process(visibility, from_queue(&json!("arn:aws:sqs:eu-north-1:123456789012:orders"))).await;
    assert_eq!(sqs.calls()[0].queue_url, SET_URL);
    assert_eq!(sqs.clients(), [Some("eu-north-1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_url_that_is_set_requires_no_arn() {
    for arn in [Value::Null, json!("not an ARN")] {
        let sqs = Sqs::default();
        let visibility = sqs.visibility(Backoff::default()).with_queue_url(Some(SET_URL.to_owned()));

        let batch = process(visibility, from_queue(&arn)).await;

        assert_eq!(batch.failures, []);
        assert_eq!(sqs.calls()[0].queue_url, SET_URL);
        assert_eq!(sqs.clients(), [None], "the region of the environment");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_queue_is_reported_and_no_client_is_made() {
    let cases = [
        Value::Null,
        json!(""),
        json!("not an ARN"),
        json!("urn:aws:sqs:eu-west-1:123456789012:orders"),
        json!("arn:aws:sns:eu-west-1:123456789012:orders"),
        json!("arn:aws:sqs:eu-west-1:123456789012"),
        json!("arn:aws:sqs:eu-west-1:123456789012:orders:more"),
    ];
    for arn in cases {
        let sqs = Sqs::default();
        let visibility = sqs.visibility(Backoff::default()).with_queue_url(None);

        let batch = process(visibility, from_queue(&arn)).await;

        assert_eq!(batch.returned, ["m0", "m1"], "{arn}");
        assert_eq!(batch.failures, [(2, Reason::UnknownQueue)], "{arn}");
        assert_eq!(sqs.clients(), [], "{arn}");
    }
}

#[test]
fn the_debug_output_shows_the_settings() {
    let visibility = Sqs::default().visibility(Backoff::default()).with_queue_url(Some(SET_URL.to_owned()));
    let debug = format!("{visibility:?}");
    for part in ["Visibility", "base: 1s", "max: 900s", SET_URL] {
        assert!(debug.contains(part), "{part}: {debug}");
    }
}

//! Tests of the records in an event, compared with the samples in the AWS documentation ("Using Lambda with
//! Amazon SQS").

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use reservation_worker_local::event_source::{Queue, RunningMapping};
use serde_json::{Value, json};

use crate::{LONG, invocations, mapping, moto, queue, until};

const BODY: &str = "Test message.";
const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The only record that the function receives.
async fn record(queue: &Queue) -> Value {
    let running: RunningMapping = mapping(queue, &[]).start().await.unwrap();
    until(&running, |stats| stats.done == 1).await;
    invocations(&running)[0]["records"][0].clone()
}

/// Replaces the values that differ between runs with null, after checks that they have the right format: a
/// text that is not empty, or a time in milliseconds.
fn normalize(record: &mut Value) {
    let handle = record["receiptHandle"].take();
    assert!(handle.as_str().is_some_and(|handle| !handle.is_empty()), "{handle}");
    for name in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        let time = record["attributes"][name].take();
        let is_time = |text: &str| text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit());
        assert!(time.as_str().is_some_and(is_time), "{name}: {time}");
    }
    let sender = record["attributes"]["SenderId"].take();
    assert!(sender.as_str().is_some_and(|sender| !sender.is_empty()), "{sender}");
}

/// The expected record, with null for the values that differ between runs.
fn sample(queue: &Queue, message_id: Option<String>) -> Value {
    json!({
        "messageId": message_id,
        "receiptHandle": null,
        "body": BODY,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": null,
            "SenderId": null,
            "ApproximateFirstReceiveTimestamp": null,
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "awsRegion": "ap-northeast-2",
    })
}

#[tokio::test]
async fn a_record_has_all_attributes_that_aws_sends() {
    let sqs = moto().await;
    let queue = queue(&sqs, "my-queue").await;
    let text = MessageAttributeValue::builder().data_type("String").string_value("myValue").build().unwrap();
    let number = MessageAttributeValue::builder().data_type("Number").string_value("7").build().unwrap();
    let blob = Blob::new([0, 255, 16]);
    let binary = MessageAttributeValue::builder().data_type("Binary").binary_value(blob).build().unwrap();
    let trace = MessageSystemAttributeValue::builder().data_type("String").string_value(TRACE).build();
    let sent = sqs.client().send_message().queue_url(&queue.url).message_body(BODY);
    let sent = sent.message_attributes("myAttribute", text).message_attributes("count", number);
    let sent = sent.message_attributes("bytes", binary);
    let header = MessageSystemAttributeNameForSends::AwsTraceHeader;
    let sent = sent.message_system_attributes(header, trace.unwrap()).send().await.unwrap();

    let mut record = record(&queue).await;

    normalize(&mut record);
    let mut sample = sample(&queue, sent.message_id);
    sample["attributes"]["AWSTraceHeader"] = json!(TRACE);
    sample["md5OfMessageAttributes"] = json!(sent.md5_of_message_attributes);
    sample["messageAttributes"] = json!({
        "myAttribute": {
            "stringValue": "myValue", "stringListValues": [], "binaryListValues": [], "dataType": "String",
        },
        "count": {
            "stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number",
        },
        "bytes": {
            "binaryValue": "AP8Q", "stringListValues": [], "binaryListValues": [], "dataType": "Binary",
        },
    });
    assert_eq!(record, sample);
}

#[tokio::test]
async fn a_record_of_a_fifo_queue_also_has_group_deduplication_id_and_sequence_number() {
    let sqs = moto().await;
    let queue = sqs.create("fifo", true, 100, LONG).await.unwrap();
    let sent = sqs.client().send_message().queue_url(&queue.url).message_body(BODY);
    let sent = sent.message_group_id("1").message_deduplication_id("once").send().await.unwrap();

    let mut record = record(&queue).await;

    normalize(&mut record);
    let mut sample = sample(&queue, sent.message_id);
    sample["attributes"]["SequenceNumber"] = json!(sent.sequence_number);
    sample["attributes"]["MessageGroupId"] = json!("1");
    sample["attributes"]["MessageDeduplicationId"] = json!("once");
    assert!(sent.sequence_number.is_some());
    assert_eq!(record, sample);
}

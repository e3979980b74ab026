//! What is read from a record of the event.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use sqs_batch::Record;

fn read(record: Value) -> Record {
    Record::new(0, serde_json::from_value(record).unwrap()).unwrap()
}

/// A record with these system attributes.
fn with_attributes(attributes: Value) -> Record {
    read(json!({ "messageId": "m1", "attributes": attributes }))
}

#[test]
fn all_fields_of_a_record_are_read() {
    let record = read(json!({
        "messageId": "m1",
        "receiptHandle": "handle",
        "body": "text",
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1500",
            "MessageGroupId": "group",
            "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
        },
        "messageAttributes": {
            "text": { "stringValue": "value", "dataType": "String" },
            "bytes": { "binaryValue": "AAEC", "dataType": "Binary" },
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo",
    }));

    assert_eq!(record.message_id, "m1");
    assert_eq!(record.receipt_handle.as_deref(), Some("handle"));
    assert_eq!(record.queue_arn.as_deref(), Some("arn:aws:sqs:eu-west-1:123456789012:orders.fifo"));
    assert_eq!(record.body.as_deref(), Some("text"));
    assert_eq!(record.receive_count, 3);
    assert_eq!(record.sent, Some(UNIX_EPOCH + Duration::from_millis(1_500)));
    assert_eq!(record.fifo_group.as_deref(), Some("group"));
    assert_eq!(record.xray_trace_header.as_deref(), Some("Root=1-5759e988-bd862e3fe1be46a994272793"));
    assert_eq!(record.message_attributes.len(), 2);
}

#[test]
fn a_text_attribute_is_found_by_its_name() {
    let record = read(json!({
        "messageId": "m1",
        "messageAttributes": {
            "text": { "stringValue": "value", "dataType": "String" },
            "bytes": { "binaryValue": "AAEC", "dataType": "Binary" },
        },
    }));
    let found = ["text", "bytes", "other"].map(|name| record.text_attribute(name));
    assert_eq!(found, [Some("value"), None, None]);
}

#[test]
fn a_missing_or_unreadable_receive_count_is_1() {
    let counts =
        [json!({}), json!({ "ApproximateReceiveCount": "" }), json!({ "ApproximateReceiveCount": "-1" })];
    for attributes in counts {
        assert_eq!(with_attributes(attributes.clone()).receive_count, 1, "{attributes}");
    }
}

#[test]
fn a_sent_time_that_cannot_be_read_is_absent() {
    for sent in ["", "yesterday", "-1", "18446744073709551616"] {
        assert_eq!(with_attributes(json!({ "SentTimestamp": sent })).sent, None, "{sent}");
    }
}

#[test]
fn the_last_receive_is_the_one_after_which_the_queue_moves_the_message() {
    let record = with_attributes(json!({ "ApproximateReceiveCount": "3" }));
    let last = [2, 3, 4].map(|max_receives| record.is_last_receive(max_receives));
    assert_eq!(last, [true, true, false]);
}

#[test]
fn only_a_fifo_queue_has_groups() {
    let record = |arn: &str, attributes: Value| {
        read(json!({ "messageId": "m1", "eventSourceARN": arn, "attributes": attributes }))
    };
    let group = json!({ "MessageGroupId": "group" });
    let (fifo, standard) = ("arn:aws:sqs:eu-west-1:1:orders.fifo", "arn:aws:sqs:eu-west-1:1:orders");
    assert_eq!(record(fifo, group.clone()).fifo_group.as_deref(), Some("group"));
    assert_eq!(record(fifo, json!({})).fifo_group.as_deref(), Some(""));
    assert_eq!(record(standard, group.clone()).fifo_group, None);
    assert_eq!(with_attributes(group).fifo_group, None);
}

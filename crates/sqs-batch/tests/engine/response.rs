//! What the response lists, and which payloads are rejected.

use serde_json::{Value, json};
use sqs_batch::{BatchProcessor, NotSqs};

use crate::script::{Script, Seen, event, process, settings, standard};

#[tokio::test(start_paused = true)]
async fn each_returned_message_is_listed_once_in_the_order_of_the_batch() {
    let script = Script::default();
    let records =
        standard([("m3", "- fail"), ("m1", "- 50"), ("m2", "- reject"), ("m3", "- fail"), ("m0", "- fail")]);
    let seen = Seen::default();
    let processor = BatchProcessor::new(&script, settings()).with_observer(&seen);

    let response = processor.handle(event(&json!({ "Records": records }), 60)).await.unwrap();

    let returned: Vec<_> = response.batch_item_failures.iter().map(|item| &item.item_identifier).collect();
    assert_eq!(returned, ["m3", "m2", "m0"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_has_an_empty_response() {
    let script = Script::default();
    let batch = process(&script, settings(), 60, json!([])).await;
    assert_eq!(batch.returned, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_not_an_sqs_event_is_rejected_before_any_work() {
    let one = |record: Value| json!({ "Records": [standard([("m1", "- ok")])[0], record] });
    let cases = [
        (json!({ "Records": 1 }), "the payload is not an SQS event, at line 1 column"),
        (json!("hello"), "the payload is not an SQS event, at line 1 column"),
        (one(json!({ "messageId": "" })), "Records[1].messageId: is missing or empty"),
        (one(json!({ "body": "- ok" })), "Records[1].messageId: is missing or empty"),
        (
            one(json!({ "messageId": "m2", "eventSource": "aws:sns" })),
            "Records[1].eventSource: is not aws:sqs",
        ),
    ];
    for (payload, message) in cases {
        let script = Script::default();
        let processor = BatchProcessor::new(&script, settings());
        let error = processor.handle(event(&payload, 60)).await.unwrap_err();
        assert!(error.to_string().starts_with(message), "{payload}: {error}");
        assert!(script.started.borrow().is_empty(), "{payload}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_a_rejected_payload() {
    let (script, seen) = (Script::default(), Seen::default());
    let processor = BatchProcessor::new(&script, settings()).with_observer(&seen);
    processor.handle(event(&json!({ "Records": 1 }), 60)).await.unwrap_err();
    assert_eq!(*seen.rejected.borrow(), [NotSqs::Event { line: 1, column: 12 }]);
}

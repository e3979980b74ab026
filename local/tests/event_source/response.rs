//! Tests of what a response means for the messages of its batch.

use reservation_worker_local::event_source::batch_result;
use serde_json::{Value, json};

use crate::{mapping, moto, queue, until};

const BATCH: [&str; 3] = ["a", "b", "c"];

fn failures(identifiers: &Value) -> Value {
    let items = identifiers.as_array().into_iter().flatten();
    json!({ "batchItemFailures": items.map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() })
}

#[test]
fn an_empty_null_or_missing_list_deletes_all_messages() {
    for response in [
        json!(null),
        json!({}),
        json!({ "other": 1 }),
        json!({ "batchItemFailures": [] }),
        json!({ "batchItemFailures": null }),
    ] {
        let result = batch_result(&Ok(response.clone()), &BATCH);
        assert_eq!((result.deleted, result.failure), (BATCH.map(str::to_owned).to_vec(), None), "{response}");
        assert_eq!(result.returned, [""; 0], "{response}");
    }
}

#[test]
fn listed_messages_are_returned_and_the_others_are_deleted() {
    let result = batch_result(&Ok(failures(&json!(["c", "a", "c"]))), &BATCH);
    assert_eq!((result.returned, result.deleted), (vec!["a".into(), "c".into()], vec!["b".into()]));
    assert_eq!(result.failure, None);
}

#[test]
fn an_error_a_wrong_shape_or_an_invalid_identifier_deletes_no_message() {
    let responses = [
        Err(json!({ "errorMessage": "boom" })),
        Ok(json!("text")),
        Ok(json!([])),
        Ok(json!(17)),
        Ok(json!({ "batchItemFailures": "a" })),
        Ok(json!({ "batchItemFailures": {} })),
        Ok(json!({ "batchItemFailures": ["a"] })),
        Ok(json!({ "batchItemFailures": [{}] })),
        Ok(failures(&json!([""]))),
        Ok(failures(&json!([null]))),
        Ok(failures(&json!([17]))),
        Ok(failures(&json!(["a", "unknown"]))),
    ];
    for response in responses {
        let result = batch_result(&response, &BATCH);
        assert_eq!(result.deleted, [""; 0], "{response:?}");
        assert_eq!(result.returned, BATCH, "{response:?}");
        assert!(result.failure.is_some(), "{response:?}");
    }
}

#[tokio::test]
async fn the_response_of_a_running_function_is_applied_to_the_queue() {
    let sqs = moto().await;
    let item = |identifier| format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{identifier}}}]}}"#);
    let one = item(r#""{first}""#);
    let with_unknown = r#"{"batchItemFailures":[{"itemIdentifier":"{first}"},{"itemIdentifier":"unknown"}]}"#;
    let cases = [
        ("RESPONSE", "".to_owned(), 0),
        ("RESPONSE", "null".to_owned(), 0),
        ("RESPONSE", "{}".to_owned(), 0),
        ("RESPONSE", r#"{"batchItemFailures":null}"#.to_owned(), 0),
        ("RESPONSE", r#"{"batchItemFailures":[]}"#.to_owned(), 0),
        ("RESPONSE", one, 1),
        ("RESPONSE", with_unknown.to_owned(), 3),
        ("RESPONSE", item(r#""""#), 3),
        ("RESPONSE", item("null"), 3),
        ("RESPONSE", r#"{"batchItemFailures":[{}]}"#.to_owned(), 3),
        ("RESPONSE", r#"{"batchItemFailures":["#.to_owned(), 3),
        ("RESPONSE", "done".to_owned(), 3),
        ("ERROR", r#"{"errorMessage":"boom"}"#.to_owned(), 3),
    ];
    for (number, (kind, response, returned)) in cases.into_iter().enumerate() {
        let queue = queue(&sqs, &format!("q{number}")).await;
        queue.send(["a", "b", "c"]).await.unwrap();
        let running = mapping(&queue, &[("RESPONSE", &response), (kind, &response)]).start().await.unwrap();

        let stats = until(&running, |stats| stats.invocations == 1 && stats.in_flight == 0).await;

        assert_eq!(queue.depth().await.unwrap(), (0, returned), "{kind} {response}");
        assert_eq!((stats.done, stats.returned), (3 - returned as u64, returned as u64), "{kind} {response}");
    }
}

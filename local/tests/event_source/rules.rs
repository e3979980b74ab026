//! What a function's response means for the messages of its batch.

use reservation_worker_local::event_source::delivered;
use serde_json::{Value, json};

use crate::{mapping, moto, queue, until};

const BATCH: [&str; 3] = ["a", "b", "c"];

fn failures(identifiers: &Value) -> Value {
    let items = identifiers.as_array().into_iter().flatten();
    json!({ "batchItemFailures": items.map(|id| json!({ "itemIdentifier": id })).collect::<Vec<_>>() })
}

#[test]
fn an_empty_a_null_and_a_missing_list_delete_everything() {
    for response in [
        json!(null),
        json!({}),
        json!({ "other": 1 }),
        json!({ "batchItemFailures": [] }),
        json!({ "batchItemFailures": null }),
    ] {
        let verdict = delivered(&Ok(response.clone()), &BATCH);
        assert_eq!(
            (verdict.deleted, verdict.failure),
            (BATCH.map(str::to_owned).to_vec(), None),
            "{response}"
        );
        assert_eq!(verdict.returned, [""; 0], "{response}");
    }
}

#[test]
fn what_is_listed_comes_again_and_the_rest_is_deleted() {
    let verdict = delivered(&Ok(failures(&json!(["c", "a", "c"]))), &BATCH);
    assert_eq!((verdict.returned, verdict.deleted), (vec!["a".into(), "c".into()], vec!["b".into()]));
    assert_eq!(verdict.failure, None);
}

#[test]
fn an_error_a_wrong_shape_and_a_bad_identifier_delete_nothing() {
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
        let verdict = delivered(&response, &BATCH);
        assert_eq!(verdict.deleted, [""; 0], "{response:?}");
        assert_eq!(verdict.returned, BATCH, "{response:?}");
        assert!(verdict.failure.is_some(), "{response:?}");
    }
}

#[tokio::test]
async fn what_a_running_function_answers_is_done_to_the_queue() {
    let sqs = moto().await;
    let item = |identifier| format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{identifier}}}]}}"#);
    let one = item(r#""{first}""#);
    let with_unknown = r#"{"batchItemFailures":[{"itemIdentifier":"{first}"},{"itemIdentifier":"unknown"}]}"#;
    let cases = [
        ("ANSWER", "".to_owned(), 0),
        ("ANSWER", "null".to_owned(), 0),
        ("ANSWER", "{}".to_owned(), 0),
        ("ANSWER", r#"{"batchItemFailures":null}"#.to_owned(), 0),
        ("ANSWER", r#"{"batchItemFailures":[]}"#.to_owned(), 0),
        ("ANSWER", one, 1),
        ("ANSWER", with_unknown.to_owned(), 3),
        ("ANSWER", item(r#""""#), 3),
        ("ANSWER", item("null"), 3),
        ("ANSWER", r#"{"batchItemFailures":[{}]}"#.to_owned(), 3),
        ("ANSWER", r#"{"batchItemFailures":["#.to_owned(), 3),
        ("ANSWER", "done".to_owned(), 3),
        ("ERROR", r#"{"errorMessage":"boom"}"#.to_owned(), 3),
    ];
    for (number, (kind, answer, returned)) in cases.into_iter().enumerate() {
        let queue = queue(&sqs, &format!("q{number}")).await;
        queue.send(["a", "b", "c"]).await.unwrap();
        let running = mapping(&queue, &[("ANSWER", &answer), (kind, &answer)]).start().await.unwrap();

        let stats = until(&running, |stats| stats.invocations == 1 && stats.in_flight == 0).await;

        assert_eq!(queue.depth().await.unwrap(), (0, returned), "{kind} {answer}");
        assert_eq!((stats.done, stats.returned), (3 - returned as u64, returned as u64), "{kind} {answer}");
    }
}

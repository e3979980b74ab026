//! What a function's response means for the messages of its batch.

use reservation_worker_local::event_source::delivered;
use serde_json::{Value, json};

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

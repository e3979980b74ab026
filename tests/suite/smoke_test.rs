//! The worker gives the answer that the smoke test of a deployment expects. The smoke test is a function in
//! `template.yaml`.

use reservation_worker_local::{Effect, Fault, Operation};
use serde_json::{Value, json};
use yaml_rust2::YamlLoader;

use super::metrics::{labels, sent};
use crate::test_app::{BatchRun, TestApp};

/// The event that the smoke test sends. `tests/template/test_smoke_test.py` compares it with the code of the function.
fn event() -> Value {
    serde_json::from_str(include_str!("../template/smoke_test.json")).unwrap()
}

/// Whether the smoke test accepts this answer: it compares the response, and searches the log for a text.
fn is_accepted(run: &BatchRun) -> bool {
    let template = YamlLoader::load_from_str(include_str!("../../template.yaml")).unwrap().remove(0);
    let code = template["Resources"]["SmokeTest"]["Properties"]["InlineCode"].as_str().unwrap();
    let (_, rest) = code.split_once("REJECTED = '").unwrap();
    let (searched, _) = rest.split_once('\'').unwrap();
    let expected = json!({ "batchItemFailures": [{ "itemIdentifier": "rejected" }] });
    run.response == expected && run.text.contains(searched)
}

#[tokio::test]
async fn the_smoke_test_accepts_the_worker_and_has_no_effect_on_a_queue_or_an_alarm() {
    for arn in ["", ".fifo"] {
        let app = TestApp::with(&[("MAX_RETRIES", "1"), ("LOG_LEVEL", "error")]).await;
        let mut event = event();
        for record in event["Records"].as_array_mut().unwrap() {
            record["eventSourceARN"] = json!(format!("{}{arn}", record["eventSourceARN"].as_str().unwrap()));
        }
        let run = app.run(event).await;
        assert!(is_accepted(&run), "{}", run.text);
        assert!(app.services.visibility().take().is_empty(), "no message exists");
        let sent = sent(&app).await;
        assert_eq!(sent.sum("worker_dead_letters_total", &[]), 0.0, "no message becomes a dead letter");
        assert_eq!(sent.sum("worker_heartbeat", &[]), 0.0);
        let reasons = sent.sums("worker_returned_total", &["reason"]);
        assert_eq!(reasons, [(labels(["reservation_api_rejected"]), 1.0)].into());
    }
}

#[tokio::test]
async fn the_smoke_test_refuses_a_worker_that_cannot_use_the_reservation_api() {
    for effect in [Effect::http(401), Effect::http(404), Effect::http(500), Effect::http(503), Effect::Reset]
    {
        let app = TestApp::new().await;
        app.services.fault(Fault::any(Operation::UpdateStatus, effect.clone()));
        assert!(!is_accepted(&app.run(event()).await), "{effect:?}");
    }
}

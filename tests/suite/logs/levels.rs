//! `LOG_LEVEL` decides which lines are written.

use serde_json::{Value, json};

use super::{app, field_names, one_record_per_outcome, run_one_record_per_outcome};
use crate::test_app::{TestApp, expired, record};

#[tokio::test]
async fn lines_below_the_log_level_are_hidden_and_other_lines_keep_all_fields() {
    let at_default_level = run_one_record_per_outcome(&app(&[]).await).await;
    for (variable, level, shown) in [
        ("LOG_LEVEL", "info", vec!["INFO", "WARN", "ERROR"]),
        ("LOG_LEVEL", "warn", vec!["WARN", "ERROR"]),
        ("LOG_LEVEL", "error", vec!["ERROR"]),
        ("AWS_LAMBDA_LOG_LEVEL", "WARN", vec!["WARN", "ERROR"]),
        ("AWS_LAMBDA_LOG_LEVEL", "FATAL", vec!["ERROR"]),
    ] {
        let run = run_one_record_per_outcome(&app(&[(variable, level)]).await).await;

        let hidden = |line: &&Value| !shown.contains(&line["level"].as_str().unwrap());
        assert_eq!(run.log.iter().filter(hidden).count(), 0, "{level}: {}", run.text);
        let expected: Vec<_> =
            one_record_per_outcome().into_iter().filter(|(_, _, level, _)| shown.contains(level)).collect();
        assert_eq!(run.log.len(), expected.len(), "{level}: {}", run.text);
        for (id, ..) in expected {
            assert_eq!(field_names(run.line(id)), field_names(at_default_level.line(id)), "{level}");
            assert_eq!(run.line(id)["request_id"], "request-1");
        }
        assert_eq!(run.returned(), at_default_level.returned(), "the log level does not change the response");
    }
}

#[tokio::test]
async fn a_warning_about_a_valid_record_identifies_the_record() {
    let app = TestApp::with(&[("LOG_LEVEL", "warn")]).await;
    app.hold("r1");
    let mut body = expired("r1");
    body["detail"]["qty"] = json!(7);
    let run = app.run(json!({ "Records": [record("m1", body)] })).await;

    assert_eq!(run.log.len(), 1, "{}", run.text);
    let line = &run.log[0];
    let found = [&line["level"], &line["message_id"], &line["request_id"], &line["reservation_id"]];
    assert_eq!(found, ["WARN", "m1", "request-1", "r1"]);
}

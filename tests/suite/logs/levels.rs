//! `LOG_LEVEL`: which lines are written.

use serde_json::{Value, json};

use super::{app, names, one_of_each, run_one_of_each};
use crate::test_app::{TestApp, expired, record};

#[tokio::test]
async fn the_log_level_hides_lines_below_it_and_no_field_of_the_others() {
    let whole = run_one_of_each(&app(&[]).await).await;
    for (variable, level, shown) in [
        ("LOG_LEVEL", "info", vec!["INFO", "WARN", "ERROR"]),
        ("LOG_LEVEL", "warn", vec!["WARN", "ERROR"]),
        ("LOG_LEVEL", "error", vec!["ERROR"]),
        ("AWS_LAMBDA_LOG_LEVEL", "WARN", vec!["WARN", "ERROR"]),
        ("AWS_LAMBDA_LOG_LEVEL", "FATAL", vec!["ERROR"]),
    ] {
        let ran = run_one_of_each(&app(&[(variable, level)]).await).await;

        let hidden = |line: &&Value| !shown.contains(&line["level"].as_str().unwrap());
        assert_eq!(ran.log.iter().filter(hidden).count(), 0, "{level}: {}", ran.text);
        let expected: Vec<_> =
            one_of_each().into_iter().filter(|(_, _, level, _)| shown.contains(level)).collect();
        assert_eq!(ran.log.len(), expected.len(), "{level}: {}", ran.text);
        for (id, ..) in expected {
            assert_eq!(names(ran.line(id)), names(whole.line(id)), "{level}");
            assert_eq!(ran.line(id)["request_id"], "request-1");
        }
        assert_eq!(ran.returned(), whole.returned(), "the log decides nothing");
    }
}

#[tokio::test]
async fn a_warning_about_a_good_record_says_whose_it_is() {
    let app = TestApp::with(&[("LOG_LEVEL", "warn")]).await;
    app.hold("r1");
    let mut body = expired("r1");
    body["detail"]["qty"] = json!(7);
    let ran = app.run(json!({ "Records": [record("m1", body)] })).await;

    assert_eq!(ran.log.len(), 1, "{}", ran.text);
    let line = &ran.log[0];
    let found = [&line["level"], &line["message_id"], &line["request_id"], &line["reservation_id"]];
    assert_eq!(found, ["WARN", "m1", "request-1", "r1"]);
}

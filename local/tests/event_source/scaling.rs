//! Tests of how processes are started and ended.

use std::fs::File;
use std::time::Duration;

use reservation_worker_local::event_source::{Mapping, Stats};
use serde_json::json;

use crate::{mapping, moto, queue, until};

/// Idle processes end at the next check.
const IMMEDIATELY: Duration = Duration::ZERO;

#[tokio::test]
async fn the_number_of_processes_grows_to_the_limit_and_idle_processes_end() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let mapping = mapping(&queue, &[("GATE", gate.to_str().unwrap())]);
    let running = Mapping { maximum_concurrency: 3, idle: IMMEDIATELY, ..mapping }.start().await.unwrap();
    assert_eq!(running.stats(), Stats::default());

    queue.send(["one"]).await.unwrap();
    until(&running, |stats| stats.processes == 1 && stats.in_flight == 1).await;
    queue.send((0..100).map(|number| number.to_string())).await.unwrap();
    let full = until(&running, |stats| stats.processes == 3 && stats.in_flight == 21).await;
    assert_eq!(full.invocations, 3);
    assert_eq!(queue.depth().await.unwrap(), (80, 21));

    File::create(&gate).unwrap();
    until(&running, |stats| stats.done == 101 && stats.processes == 0).await;

    queue.send(["again"]).await.unwrap();
    let end = until(&running, |stats| stats.done == 102 && stats.processes == 0).await;
    assert_eq!((end.returned, end.timeouts, end.crashes), (0, 0, 0));
}

#[tokio::test]
async fn a_process_gets_sigterm_and_is_killed_if_it_does_not_end() {
    let sqs = moto().await;
    for (variables, killed) in [(&[][..], 0), (&[("IGNORE_SIGTERM", "1")][..], 1)] {
        let queue = queue(&sqs, &format!("q{killed}")).await;
        queue.send(["one"]).await.unwrap();
        let running = Mapping { idle: IMMEDIATELY, ..mapping(&queue, variables) }.start().await.unwrap();

        until(&running, |stats| stats.done == 1 && stats.processes == 0).await;

        let log = running.log_lines();
        assert_eq!(log.iter().filter(|line| **line == json!({ "signal": "SIGTERM" })).count(), 1, "{log:?}");
        let kills = log.iter().filter(|line| line["target"] == "event_source").count();
        assert_eq!(kills, killed, "{log:?}");
    }
}

#[tokio::test]
async fn stop_completes_the_messages_in_flight_and_returns_the_lines_up_to_the_end() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send(["one"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let running = mapping(&queue, &[("GATE", gate.to_str().unwrap())]).start().await.unwrap();
    until(&running, |stats| stats.in_flight == 1).await;

    let (lines, ()) = tokio::join!(running.stop(), async { drop(File::create(&gate).unwrap()) });

    assert_eq!(queue.depth().await.unwrap(), (0, 0));
    let lines: Vec<_> = lines.into_iter().map(|line| line.json).collect();
    assert_eq!(lines[0]["count"], 1, "{lines:?}");
    assert_eq!(lines[1..], [json!({ "signal": "SIGTERM" })]);
}

#[tokio::test]
async fn a_random_process_that_is_suspended_is_frozen_until_it_continues() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send(["one"]).await.unwrap();
    let running = mapping(&queue, &[("GATE", "/no/such/gate")]).start().await.unwrap();

    until(&running, |_| running.freeze_one()).await;
    let process = running.processes()[0];
    assert!(process.frozen, "{process:?}");

    assert!(running.thaw(process.pid));
    assert!(!running.processes()[0].frozen);
}

#[tokio::test]
async fn a_function_that_reaches_its_time_out_is_killed_and_no_message_is_deleted() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    queue.send(["one", "two"]).await.unwrap();
    let hanging = mapping(&queue, &[("GATE", "/no/such/gate")]);
    let function_timeout = Duration::from_secs(1);
    let running = Mapping { function_timeout, ..hanging }.start().await.unwrap();

    let stats = until(&running, |stats| stats.timeouts == 1 && stats.in_flight == 0).await;

    assert_eq!((stats.processes, stats.done, stats.returned), (0, 0, 2));
    assert_eq!(queue.depth().await.unwrap(), (0, 2));
}

#[tokio::test]
async fn each_message_of_an_invocation_without_a_response_is_logged() {
    let sqs = moto().await;
    let queue = queue(&sqs, "q").await;
    let bodies = [r#"{"detail":{"reservation_id":"rsv_1"}}"#, "nonsense"];
    let ids = queue.send(bodies).await.unwrap();
    let running = mapping(&queue, &[("GATE", "/no/such/gate")]).start().await.unwrap();
    until(&running, |_| running.processes().iter().any(|process| process.invocation.is_some())).await;
    let pid = running.processes()[0].pid;

    assert!(running.kill(pid));
    until(&running, |stats| stats.crashes == 1 && stats.in_flight == 0).await;

    let log = running.log_lines();
    let lines: Vec<_> = log.iter().filter(|line| line["target"] == "event_source").collect();
    for line in &lines {
        assert_eq!(line["message"], "the function process ended: signal: 9 (SIGKILL)");
        assert_eq!((&line["process"], &line["attempt"]), (&json!(pid), &json!(1)));
        assert!(line["duration_ms"].is_f64(), "{line}");
    }
    let about: Vec<_> = lines.iter().map(|line| (&line["message_id"], &line["reservation_id"])).collect();
    assert_eq!(about, [(&json!(ids[0]), &json!("rsv_1")), (&json!(ids[1]), &json!(null))]);
}

//! Letters that become visible again while `apply` works, or that another reader has hidden.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::fixture::{Fixture, Ran, expired};
use crate::proxy::{Act, Proxy};

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Runs `apply` and suspends it in the middle of its fifth call with this name, which moto gets. `meanwhile` runs when
/// the letters are visible again.
async fn suspended(fixture: &Fixture, operation: &'static str, meanwhile: impl AsyncFnOnce()) -> Ran {
    let (reached, mut wait) = mpsc::unbounded_channel();
    let mut calls = 0;
    let proxy = Proxy::start(fixture.sqs.endpoint(), move |name, _: &Value| {
        if name == operation {
            calls += 1;
            if calls == 5 {
                reached.send(()).unwrap();
            }
        }
        Act::Forward
    });
    let proxy = proxy.await;
    let arguments = ["apply", "plan.json", "--rate", "10", "--visibility-timeout", "4s"];
    let mut command = proxy.before(fixture.command(&arguments));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait.recv().await.unwrap();
    signal(&child, "-STOP");
    while fixture.dead_depth().await.1 > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    meanwhile().await;
    signal(&child, "-CONT");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    Ran::new(output)
}

#[tokio::test]
async fn letters_that_somebody_else_resolves_while_the_laptop_is_suspended_are_not_sent() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(20)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let resolve = async || {
        assert_eq!(fixture.messages(&fixture.dead_letter_queue()).await.len(), 15);
    };
    let applied = suspended(&fixture, "DeleteMessageBatch", resolve).await;
    assert_eq!(applied.code, Some(1), "{}", applied.stderr);
    assert!(applied.stderr.contains("15 not in the queue any more"), "{}", applied.stderr);
    assert_eq!(fixture.events().await.len(), 5);
}

#[tokio::test]
async fn a_letter_that_becomes_visible_after_it_was_sent_is_received_again_and_deleted() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(20)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    suspended(&fixture, "SendMessage", async || {}).await.succeeded();
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (20, (0, 0)));
}

#[tokio::test]
async fn letters_that_become_visible_before_their_action_are_neither_lost_nor_sent_twice() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(30)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    // No visibility time-out can be extended, as after 12 hours.
    let decide = |name: &str, _: &Value| match name {
        "ChangeMessageVisibilityBatch" => Act::Refuse("InvalidParameterValue"),
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let arguments = ["apply", "plan.json", "--rate", "10", "--visibility-timeout", "5s"];
    Fixture::output(proxy.before(fixture.command(&arguments))).await.succeeded();
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (30, (0, 0)));
}

#[tokio::test]
async fn apply_waits_for_a_letter_that_another_reader_has_hidden_even_if_sqs_counts_it_late() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(2)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let receive = fixture.sqs.client().receive_message().queue_url(&fixture.queue.dlq_url);
    receive.visibility_timeout(5).send().await.unwrap();
    let decide = |name: &str, _: &Value| match name {
        "GetQueueAttributes" => Act::Edit(|reply| {
            let attributes = reply["Attributes"].as_object_mut().into_iter().flatten();
            for (_, count) in attributes.filter(|(name, _)| name.starts_with("Approximate")) {
                *count = "0".into();
            }
        }),
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let arguments = ["apply", "plan.json", "--visibility-timeout", "5s"];
    Fixture::output(proxy.before(fixture.command(&arguments))).await.succeeded();
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (2, (0, 0)));
}

#[tokio::test]
async fn a_letter_that_somebody_else_redrove_before_its_deletion_is_not_reported_as_deleted() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(2)).await;
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
    let refuse = |name: &str, _: &Value| match name {
        "DeleteMessageBatch" => Act::Refuse("AccessDenied"),
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), refuse).await;
    let apply = ["apply", "plan.json", "--backup", "backup.jsonl", "--visibility-timeout", "2s"];
    let failed = Fixture::output(proxy.before(fixture.command(&apply))).await;
    assert!(failed.code == Some(1) && failed.stderr.contains("2 failed"), "{}", failed.stderr);
    assert_eq!(fixture.messages(&fixture.dead_letter_queue()).await.len(), 2, "somebody else takes them");
    let applied = fixture.run(&apply).await;
    assert!(applied.code == Some(1) && applied.stderr.contains("0 deleted"), "{}", applied.stderr);
    let audit = fixture.audit("plan.json.audit.jsonl");
    let last = &audit[audit.len() - 2..];
    let is_unknown =
        |line: &Value| line["step"] == "gone" && line["detail"].to_string().contains("not known");
    assert!(last.iter().all(is_unknown), "{last:?}");
    fixture.run(&["plan", "--action", "delete"]).await.succeeded();
}

#[tokio::test]
async fn a_letter_that_is_gone_results_in_exit_status_1_and_is_finished_for_its_plan() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(1)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    fixture.sqs.client().purge_queue().queue_url(&fixture.queue.dlq_url).send().await.unwrap();
    let applied = fixture.run(&["apply", "plan.json", "--visibility-timeout", "2s"]).await;
    assert_eq!(applied.code, Some(1), "{}", applied.stderr);
    assert_eq!(fixture.audit("plan.json.audit.jsonl")[0]["step"], "gone");
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
}

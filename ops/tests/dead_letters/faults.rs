//! Calls that fail, files that are full, and a crash at each call.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::fixture::{Fixture, expired};
use crate::proxy::{Act, Proxy};

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

async fn planned(action: &str, count: usize) -> Fixture {
    let fixture = Fixture::new(false).await;
    fixture.dead(&bodies(count)).await;
    fixture.run(&["plan", "--action", action]).await.succeeded();
    fixture
}

const APPLY: [&str; 8] =
    ["apply", "plan.json", "--rate", "1000", "--visibility-timeout", "2s", "--backup", "backup.jsonl"];

/// Kills `apply` at its call with this number, which moto gets or not, and runs it again. Returns whether it made so many
/// calls.
async fn crash_at(number: usize, moto_gets_it: bool, action: &str) -> bool {
    let fixture = planned(action, 3).await;
    let (reached, mut wait) = mpsc::unbounded_channel();
    let mut calls = 0;
    let decide = move |_: &str, _: &Value| {
        calls += 1;
        if calls < number {
            return Act::Forward;
        }
        let _ = reached.send(());
        if calls == number && moto_gets_it { Act::LoseReply } else { Act::Swallow }
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let mut command = proxy.before(fixture.command(&APPLY));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ended = loop {
        if wait.try_recv().is_ok() {
            break false;
        }
        if child.try_wait().unwrap().is_some() {
            break true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    if moto_gets_it {
        // Until moto has it: it replies to calls one after the other.
        fixture.dead_depth().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.run(&APPLY).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0), "call {number}");
    let mut found: BTreeSet<_> = fixture.events().await.into_iter().collect();
    if action == "delete" {
        let backup = std::fs::read_to_string(fixture.path("backup.jsonl")).unwrap();
        let letters = backup.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        found = letters.map(|letter| letter["body"].as_str().unwrap().to_owned()).collect();
    }
    assert_eq!(found, bodies(3).into_iter().collect(), "call {number}");
    let audit = fixture.audit("plan.json.audit.jsonl");
    assert_eq!(audit.iter().filter(|line| line["step"] == "done").count(), 3, "call {number}: {audit:?}");
    !ended
}

#[tokio::test]
async fn a_crash_at_any_call_loses_nothing() {
    for action in ["redrive", "delete"] {
        for moto_gets_it in [false, true] {
            let mut number = 1;
            while crash_at(number, moto_gets_it, action).await {
                number += 1;
            }
            assert!(number > 8, "{number}");
        }
    }
}

#[tokio::test]
async fn a_letter_that_was_sent_and_not_deleted_is_only_deleted_by_the_next_run() {
    let fixture = planned("redrive", 10).await;
    // Two entries fail, and the reply does not mention a third one.
    let decide = |name: &str, _: &Value| match name {
        "DeleteMessageBatch" => Act::Edit(|reply| {
            let mut successful = reply["Successful"].as_array().unwrap().clone();
            let failed: Vec<_> = successful.drain(..2).map(failure).collect();
            successful.remove(0);
            (reply["Successful"], reply["Failed"]) = (successful.into(), failed.into());
        }),
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let arguments = ["apply", "plan.json", "--rate", "1000", "--visibility-timeout", "2s"];
    let applied = Fixture::output(proxy.before(fixture.command(&arguments))).await;
    assert_eq!(applied.code, Some(1), "{}", applied.stderr);
    assert!(applied.stderr.contains("7 letters redriven") && applied.stderr.contains("3 failed"));
    fixture.run(&arguments).await.succeeded();
    assert_eq!(fixture.events().await.len(), 10, "no letter is sent twice");
}

fn failure(mut entry: Value) -> Value {
    (entry["Code"], entry["SenderFault"]) = ("InternalError".into(), false.into());
    entry
}

#[tokio::test]
async fn throttled_calls_are_repeated() {
    let fixture = planned("redrive", 30).await;
    let mut calls = 0;
    let decide = move |_: &str, _: &Value| {
        calls += 1;
        if calls % 3 == 0 { Act::Refuse("RequestThrottled") } else { Act::Forward }
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let arguments = ["apply", "plan.json", "--rate", "100"];
    Fixture::output(proxy.before(fixture.command(&arguments))).await.succeeded();
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (30, (0, 0)));
}

#[tokio::test]
async fn a_send_without_permission_names_the_reason_and_leaves_the_letters() {
    let fixture = planned("redrive", 3).await;
    let decide = |name: &str, _: &Value| match name {
        "SendMessage" => Act::Refuse("AccessDenied"),
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let applied = Fixture::output(proxy.before(fixture.command(&["apply", "plan.json"]))).await;
    assert_eq!((applied.code, fixture.dead_depth().await), (Some(1), (3, 0)));
    assert!(applied.stderr.contains("AccessDenied"), "{}", applied.stderr);
}

#[tokio::test]
async fn nothing_is_deleted_when_the_backup_is_full_and_nothing_is_sent_when_the_audit_file_is() {
    let fixture = planned("delete", 3).await;
    let full = fixture.run(&["apply", "plan.json", "--backup", "/dev/full"]).await;
    assert!(full.code == Some(1) && full.stderr.contains("/dev/full"), "{}", full.stderr);
    assert_eq!(fixture.dead_depth().await, (3, 0));
    let plan = ["plan", "--action", "redrive", "--out", "redrive.json"];
    fixture.run(&plan).await.succeeded();
    let full = fixture.run(&["apply", "redrive.json", "--audit", "/dev/full"]).await;
    assert!(full.code == Some(1) && full.stderr.contains("/dev/full"), "{}", full.stderr);
    assert_eq!((fixture.dead_depth().await, fixture.events().await.len()), ((3, 0), 0));
}

/// The files cannot grow beyond some blocks of 512 bytes, so a line is written in part.
#[tokio::test]
async fn a_disk_that_becomes_full_in_the_middle_of_a_line_loses_nothing() {
    for (action, blocks) in [("redrive", 8), ("redrive", 9), ("delete", 8), ("delete", 9), ("delete", 10)] {
        let fixture = planned(action, 30).await;
        let command = fixture.command(&APPLY);
        let mut limited = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        limited.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        limited.current_dir(fixture.directory.path()).env_clear().envs(fixture.environment());
        let full = Fixture::output(limited).await;
        assert_eq!(full.code, Some(1), "{action} {blocks}: {}", full.stderr);
        assert_eq!(fixture.dead_depth().await.1, 0, "the rest is given back");
        fixture.run(&APPLY).await.succeeded();
        assert_eq!(fixture.dead_depth().await, (0, 0));
        if action == "delete" {
            fixture.run(&["restore", "backup.jsonl", "--rate", "1000"]).await.succeeded();
        }
        let events: BTreeSet<_> = fixture.events().await.into_iter().collect();
        assert_eq!(events, bodies(30).into_iter().collect(), "{action} {blocks}");
    }
}

//! Calls that fail, files that are full, and a crash at each call.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::fixture::{Fixture, expired};
use crate::proxy::{Act, Proxy};

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

async fn planned(action: &str, count: usize) -> Fixture {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(count)).await;
    fixture.run(&["plan", "--action", action]).await.succeeded();
    fixture
}

/// The bodies of the letters in a backup.
fn backed_up(fixture: &Fixture, name: &str) -> BTreeSet<String> {
    let backup = std::fs::read_to_string(fixture.path(name)).unwrap_or_default();
    // A crash may leave an incomplete line.
    let letters = backup.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    letters.map(|letter| letter["body"].as_str().unwrap().to_owned()).collect()
}

/// Kills `apply` at the call with this number that changes a queue, which moto gets or not, and runs it again. Returns
/// whether it made so many calls.
async fn crash_at(number: usize, moto_gets_it: bool, action: &str) -> bool {
    let fixture = Fixture::new(false).await;
    let case = format!("{action}-{number}-{moto_gets_it}");
    let (plan, backup) = (format!("{case}.json"), format!("{case}.jsonl"));
    fixture.send_dead_letters(&bodies(2)).await;
    fixture.run(&["plan", "--action", action, "--out", &plan]).await.succeeded();
    let mut apply = vec!["apply", &plan, "--rate", "20", "--visibility-timeout", "5s"];
    if action == "delete" {
        apply.extend(["--backup", &backup]);
    }
    let (reached, wait) = std::sync::mpsc::channel();
    let mut calls = 0;
    let decide = move |name: &str, _: &Value| {
        calls += usize::from(["SendMessage", "DeleteMessageBatch"].contains(&name));
        if calls < number {
            return Act::Forward;
        }
        let _ = reached.send(());
        if moto_gets_it { Act::LoseReply } else { Act::Swallow }
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let mut command = proxy.before(fixture.command(&apply));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let was_reached = loop {
        if wait.try_recv().is_ok() {
            break true;
        }
        if child.try_wait().unwrap().is_some() {
            break false;
        }
        sleep(Duration::from_millis(10)).await;
    };
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.run(&apply).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0), "{case}");
    let mut found: BTreeSet<_> = fixture.events().await.into_iter().collect();
    found.extend(backed_up(&fixture, &backup));
    assert_eq!(found, bodies(2).into_iter().collect(), "{case}");
    let audit = fixture.audit(&format!("{plan}.audit.jsonl"));
    let done = audit.iter().filter(|line| line["step"] == "done");
    assert_eq!(done.count(), 2, "{case}: {audit:?}");
    was_reached
}

#[tokio::test]
async fn a_crash_at_any_call_loses_nothing() {
    let at_each = async |action, moto_gets_it, calls: usize| {
        let crashes = (1..=calls + 1).map(|number| crash_at(number, moto_gets_it, action));
        let expected: Vec<_> = (1..=calls + 1).map(|number| number <= calls).collect();
        assert_eq!(join_all(crashes).await, expected, "{action}");
    };
    tokio::join!(
        at_each("redrive", false, 3),
        at_each("redrive", true, 3),
        at_each("delete", false, 1),
        at_each("delete", true, 1)
    );
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
    let arguments = ["apply", "plan.json", "--rate", "1000", "--visibility-timeout", "5s"];
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
async fn nothing_is_deleted_when_the_backup_is_full() {
    let fixture = planned("delete", 3).await;
    let full = fixture.run(&["apply", "plan.json", "--backup", "/dev/full"]).await;
    assert!(full.code == Some(1) && full.stderr.contains("/dev/full"), "{}", full.stderr);
    assert_eq!(fixture.dead_depth().await, (3, 0));
}

#[tokio::test]
async fn an_export_that_does_not_fit_on_the_disk_leaves_no_file() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(30)).await;
    for more in [&[][..], &["--as-lambda-event"]] {
        let arguments = [&["export", "--out", "exported"], more].concat();
        let full = Fixture::output(limited(&fixture, &arguments, 8)).await;
        assert!(full.code == Some(1) && full.stderr.contains("File too large"), "{}", full.stderr);
        assert!(!fixture.path("exported").exists());
        assert_eq!(fixture.dead_depth().await, (30, 0));
    }
}

/// The command, whose files cannot grow beyond this number of blocks of 512 bytes.
fn limited(fixture: &Fixture, arguments: &[&str], blocks: u32) -> Command {
    let command = fixture.command(arguments);
    let mut limited = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    limited.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    limited.current_dir(fixture.directory.path()).env_clear().envs(fixture.environment());
    limited
}

/// A line is written in part.
#[tokio::test]
async fn a_disk_that_becomes_full_in_the_middle_of_a_line_loses_nothing() {
    let fixture = Fixture::new(false).await;
    for (action, blocks) in [("redrive", 0), ("redrive", 26), ("delete", 8), ("delete", 9)] {
        let case = format!("{action}-{blocks}");
        let (plan, backup) = (format!("{case}.json"), format!("{case}.jsonl"));
        fixture.send_dead_letters(&bodies(30)).await;
        fixture.run(&["plan", "--action", action, "--out", &plan]).await.succeeded();
        let apply = ["apply", &plan, "--backup", &backup, "--rate", "1000", "--visibility-timeout", "5s"];
        let full = Fixture::output(limited(&fixture, &apply, blocks)).await;
        assert!(full.code == Some(1) && full.stderr.contains("File too large"), "{case}: {}", full.stderr);
        let (visible, hidden) = fixture.dead_depth().await;
        assert!(visible > 0 && hidden == 0, "{case}: the rest is visible again");
        assert_eq!(visible == 30, blocks == 0 || action == "delete", "{case}: {visible}");
        fixture.run(&apply).await.succeeded();
        assert_eq!(fixture.dead_depth().await, (0, 0), "{case}");
        let mut found: BTreeSet<_> = fixture.events().await.into_iter().collect();
        found.extend(backed_up(&fixture, &backup));
        assert_eq!(found, bodies(30).into_iter().collect(), "{case}");
    }
}

#[tokio::test]
async fn without_credentials_the_error_says_so() {
    let fixture = Fixture::new(false).await;
    let mut command = fixture.command(&["list"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = Fixture::output(command).await;
    assert_eq!(ran.code, Some(1));
    let error =
        "no AWS credentials were found. Log in, for example with `aws sso login`, or set AWS_PROFILE\n";
    assert!(ran.stderr.ends_with(error), "{}", ran.stderr);
}

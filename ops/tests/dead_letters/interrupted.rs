//! Ctrl-C, crashes, and a queue that fills while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::fixture::{Fixture, expired};
use crate::proxy::{Act, Proxy};

/// The number of crashes. `DEAD_LETTERS_CRASHES` sets another one.
fn crashes() -> usize {
    std::env::var("DEAD_LETTERS_CRASHES").map_or(10, |text| text.parse().unwrap())
}

pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

pub async fn ended(mut child: Child) -> Option<i32> {
    tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap()
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

#[tokio::test]
async fn ctrl_c_makes_all_letters_visible_again() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(400)).await;
    let child = start(fixture.command(&["list"]));
    // Until it has received letters.
    while fixture.dead_depth().await.1 == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    interrupt(&child);
    assert_eq!(ended(child).await, Some(130));
    assert_eq!(fixture.dead_depth().await, (400, 0));
}

#[tokio::test]
async fn ctrl_c_during_apply_makes_the_rest_visible_again_and_apply_continues_later() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(60)).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let child = start(fixture.command(&["apply", "plan.json", "--rate", "20"]));
    while fixture.audit("plan.json.audit.jsonl").len() < 20 {
        sleep(Duration::from_millis(20)).await;
    }
    interrupt(&child);
    assert_eq!(ended(child).await, Some(130));
    let (visible, hidden) = fixture.dead_depth().await;
    assert!(visible > 0 && visible < 60 && hidden == 0, "{visible} {hidden}");
    fixture.run(&["apply", "plan.json", "--rate", "1000"]).await.succeeded();
    assert_eq!((fixture.events().await.len(), fixture.dead_depth().await), (60, (0, 0)));
}

#[tokio::test]
async fn the_second_ctrl_c_says_for_how_long_letters_stay_hidden() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(5)).await;
    // It cannot make the letters visible again.
    let decide = |name: &str, _: &Value| match name {
        "ChangeMessageVisibilityBatch" => Act::Swallow,
        _ => Act::Forward,
    };
    let proxy = Proxy::start(fixture.sqs.endpoint(), decide).await;
    let mut command = proxy.before(fixture.command(&["list", "--visibility-timeout", "90s"]));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while fixture.dead_depth().await.1 == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    interrupt(&child);
    sleep(Duration::from_millis(300)).await;
    interrupt(&child);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(130) && stderr.contains("stay hidden for up to 1m 30s"), "{stderr}");
}

/// The process is killed at random moments. In the end, each letter was sent at least once, none is left, and the audit
/// file tells of every sent message.
#[tokio::test]
async fn after_crashes_no_letter_is_lost_and_the_audit_file_is_complete() {
    let fixture = Fixture::new(false).await;
    let letters = bodies(20 * crashes());
    fixture.send_dead_letters(&letters).await;
    fixture.run(&["plan", "--action", "redrive"]).await.succeeded();
    let arguments = ["apply", "plan.json", "--rate", "200", "--visibility-timeout", "3s"];
    for _ in 0..crashes() {
        let mut child = start(fixture.command(&arguments));
        sleep(Duration::from_millis(fastrand::u64(50..2_500))).await;
        child.kill().unwrap();
        ended(child).await;
    }
    let last = ["apply", "plan.json", "--rate", "1000", "--visibility-timeout", "3s"];
    fixture.run(&last).await.succeeded();
    assert_eq!(fixture.dead_depth().await, (0, 0));
    let events = fixture.event_messages().await;
    let sent: BTreeSet<_> = events.iter().map(|event| event.body.clone().unwrap()).collect();
    assert_eq!(sent, letters.iter().cloned().collect());
    let audit: Vec<Value> = fixture.audit("plan.json.audit.jsonl");
    let mut steps = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in &audit {
        steps.entry(line["message_id"].as_str().unwrap()).or_default().insert(line["step"].as_str().unwrap());
    }
    assert_eq!(steps.len(), letters.len());
    assert!(steps.values().all(|steps| ["started", "sent", "done"].iter().all(|step| steps.contains(step))));
    // A message that was sent just before a crash has no line `sent`, but its letter has a line `started` for each
    // attempt.
    let started = audit.iter().filter(|line| line["step"] == "started").count();
    assert!(events.len() <= started, "{} events, {started} attempts", events.len());
}

#[tokio::test]
async fn reading_a_queue_that_keeps_filling_comes_to_an_end() {
    let fixture = Fixture::new(false).await;
    let first = fixture.send_dead_letters(&bodies(200)).await;
    let filling = async {
        for number in 0.. {
            fixture.send_dead_letters(&[expired(&format!("later{number}"))]).await;
        }
    };
    let listing = fixture.run(&["list", "--output", "json"]);
    let listed = tokio::select! {
        listed = listing => listed.succeeded(),
        () = filling => unreachable!(),
    };
    let rows = listed.rows();
    let ids: BTreeSet<_> = rows.iter().map(|row| row["message_id"].as_str().unwrap().to_owned()).collect();
    assert!(first.iter().all(|id| ids.contains(id)));
    assert_eq!(ids.len(), rows.len(), "each letter once");
    let (visible, hidden) = fixture.dead_depth().await;
    assert!(visible >= rows.len() && hidden == 0, "{visible} {hidden}");
}

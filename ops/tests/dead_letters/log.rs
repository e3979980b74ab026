//! The search in the worker's log, with replies of CloudWatch Logs Insights that moto does not give.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Fixture, expired};
use crate::insights::insights;
use crate::interrupted::{ended, interrupt, start};
use crate::proxy::Proxy;

type Reply = Option<(u16, String)>;

fn error(code: &str) -> Reply {
    Some((400, json!({ "__type": code, "message": "no" }).to_string()))
}

async fn list(
    fixture: &Fixture,
    rule: impl Fn(&str, &str) -> Reply + Send + Sync + 'static,
) -> (Vec<Value>, String) {
    let proxy = Proxy::replying(fixture.sqs.endpoint(), rule).await;
    let arguments = ["list", "--output", "json", "--endpoint-url", &proxy.endpoint];
    let ran = fixture.run(&arguments).await.succeeded();
    (ran.rows(), ran.stderr)
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| expired(&format!("r{number}"))).collect()
}

#[tokio::test]
async fn a_denied_search_is_made_once_and_reported() {
    let fixture = Fixture::new(false).await;
    fixture.dead(&bodies(500)).await;
    let searches: &AtomicUsize = Box::leak(Box::default());
    let (rows, stderr) = list(&fixture, |target, _| {
        if !target.ends_with(".StartQuery") {
            return None;
        }
        searches.fetch_add(1, Relaxed);
        error("AccessDeniedException")
    })
    .await;
    assert!(stderr.contains("cannot be searched (logs:StartQuery: AccessDeniedException"), "{stderr}");
    assert!(stderr.contains("500 letters"), "{stderr}");
    assert!(rows.iter().all(|row| row["reason_code"] == "unknown"));
    assert!(searches.load(Relaxed) <= 3, "one for each 200 letters at most");
}

#[tokio::test]
async fn a_search_waits_while_the_account_runs_as_many_queries_as_it_may() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.dead(&bodies(3)).await;
    fixture.log(&ids.iter().map(|id| (id.as_str(), "no_time")).collect::<Vec<_>>()).await;
    let searches = AtomicUsize::new(0);
    let (rows, stderr) = list(&fixture, move |target, _| {
        let refused = target.ends_with(".StartQuery") && searches.fetch_add(1, Relaxed) < 12;
        if refused { error("LimitExceededException") } else { None }
    })
    .await;
    assert!(rows.iter().all(|row| row["reason_code"] == "no_time"), "{stderr}");
}

#[tokio::test]
async fn a_search_that_fails_later_does_not_discard_the_reasons_that_were_found() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.dead(&bodies(1_000)).await;
    fixture.log(&ids.iter().map(|id| (id.as_str(), "no_time")).collect::<Vec<_>>()).await;
    let searches = AtomicUsize::new(0);
    let (rows, stderr) = list(&fixture, move |target, _| {
        let fails = target.ends_with(".StartQuery") && searches.fetch_add(1, Relaxed) == 4;
        if fails { error("InvalidParameterException") } else { None }
    })
    .await;
    // Each query of moto returns all lines, so that the other ones find those of the failed query, too.
    assert!(rows.iter().all(|row| row["reason_code"] == "no_time"), "{stderr}");
    assert!(stderr.contains("cannot be searched (logs:StartQuery: InvalidParameterException"), "{stderr}");
}

#[tokio::test]
async fn lines_that_a_query_had_no_room_for_are_found_by_another_query() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.dead(&bodies(3)).await;
    // The first letter has more lines than a query returns, and they are newer than those about the others.
    let lines = std::iter::repeat_n(&ids[0], 12_000).chain(&ids[1..]);
    let lines = lines.map(|id| (id.clone(), "no_time".to_owned())).collect();
    let (rows, stderr) = list(&fixture, insights(lines)).await;
    assert!(rows.len() == 3 && rows.iter().all(|row| row["reason_code"] == "no_time"), "{rows:?} {stderr}");
}

#[tokio::test]
async fn a_log_that_does_not_mention_the_letters_is_reported() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.dead(&bodies(3)).await;
    fixture.log(&[(&ids[0], "no_time")]).await;
    let (_, stderr) = list(&fixture, |_, _| None).await;
    assert!(stderr.contains("the worker's log has no line about 2 letters"), "{stderr}");
}

#[tokio::test]
async fn ctrl_c_ends_a_slow_search_and_the_query() {
    let fixture = Fixture::new(false).await;
    fixture.dead(&bodies(3)).await;
    let stopped: &AtomicUsize = Box::leak(Box::default());
    let polled: &AtomicUsize = Box::leak(Box::default());
    let proxy = Proxy::replying(fixture.sqs.endpoint(), |target, _| match target.rsplit('.').next() {
        Some("StartQuery") => Some((200, json!({ "queryId": "1" }).to_string())),
        Some("GetQueryResults") => {
            polled.fetch_add(1, Relaxed);
            Some((200, json!({ "status": "Running" }).to_string()))
        }
        Some("StopQuery") => {
            stopped.fetch_add(1, Relaxed);
            Some((200, json!({ "success": true }).to_string()))
        }
        _ => None,
    })
    .await;
    let child = start(fixture.command(&["list", "--endpoint-url", &proxy.endpoint]));
    while polled.load(Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    interrupt(&child);
    assert_eq!(ended(child).await, Some(130));
    assert_eq!((stopped.load(Relaxed), fixture.dead_depth().await), (1, (3, 0)));
}

//! The search in the worker's log, with replies of CloudWatch Logs Insights that moto does not give.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::fixture::{Fixture, expired};
use crate::insights::insights;
use crate::interrupted::{ended, interrupt, start};
use crate::proxy::{Act, Proxy};

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
    fixture.send_dead_letters(&bodies(500)).await;
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
    let ids = fixture.send_dead_letters(&bodies(3)).await;
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
    let ids = fixture.send_dead_letters(&bodies(500)).await;
    fixture.log(&ids.iter().map(|id| (id.as_str(), "no_time")).collect::<Vec<_>>()).await;
    let searches = AtomicUsize::new(0);
    let (rows, stderr) = list(&fixture, move |target, _| {
        let fails = target.ends_with(".StartQuery") && searches.fetch_add(1, Relaxed) == 2;
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
    let ids = fixture.send_dead_letters(&bodies(3)).await;
    // The first letter has more lines than a query returns, and they are newer than those about the others.
    let lines = std::iter::repeat_n(&ids[0], 12_000).chain(&ids[1..]);
    let lines = lines.map(|id| (id.clone(), "no_time".to_owned())).collect();
    let (rows, stderr) = list(&fixture, insights(lines)).await;
    assert!(rows.len() == 3 && rows.iter().all(|row| row["reason_code"] == "no_time"), "{rows:?} {stderr}");
}

/// SQS says that the letters were sent ten days ago.
#[tokio::test]
async fn a_search_reads_two_days_of_the_log_and_the_rest_only_for_letters_that_it_did_not_find() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = 24 * 60 * 60;
    for (found, expected_days) in [(3, &[2][..]), (2, &[2, 8])] {
        let fixture = Fixture::new(false).await;
        let ids = fixture.send_dead_letters(&bodies(3)).await;
        let lines = ids.iter().take(found).map(|id| (id.clone(), "no_time".to_owned())).collect();
        let (queries, reply) = (Arc::new(Mutex::new(Vec::new())), insights(lines));
        let requested = queries.clone();
        let sqs = Proxy::start(fixture.sqs.endpoint(), |name, _: &Value| match name {
            "ReceiveMessage" => Act::Edit(|reply| {
                let sent =
                    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() - 10 * 86_400_000;
                for message in reply["Messages"].as_array_mut().into_iter().flatten() {
                    message["Attributes"]["SentTimestamp"] = sent.to_string().into();
                }
            }),
            _ => Act::Forward,
        });
        let sqs = sqs.await;
        let proxy = Proxy::replying(&sqs.endpoint, move |target, body| {
            if target.ends_with(".StartQuery") {
                let call: Value = serde_json::from_str(body).unwrap();
                let time = |name: &str| call[name].as_u64().unwrap();
                requested.lock().unwrap().push((time("startTime"), time("endTime")));
            }
            reply(target, body)
        });
        let proxy = proxy.await;
        let list = ["list", "--output", "json", "--endpoint-url", &proxy.endpoint];
        let rows = fixture.run(&list).await.succeeded().rows();
        assert_eq!(rows.iter().filter(|row| row["reason_code"] == "no_time").count(), found);
        let queries = queries.lock().unwrap();
        // Rounded, because the clocks may differ by a minute.
        let days: Vec<_> = queries.iter().map(|(from, to)| (to - from + day / 2) / day).collect();
        assert_eq!(days, expected_days);
        assert!(queries[0].0.abs_diff(now() - 10 * day) < 3_600, "{queries:?}");
    }
}

#[tokio::test]
async fn a_log_that_does_not_mention_the_letters_is_reported() {
    let fixture = Fixture::new(false).await;
    let ids = fixture.send_dead_letters(&bodies(3)).await;
    fixture.log(&[(&ids[0], "no_time")]).await;
    let (_, stderr) = list(&fixture, |_, _| None).await;
    assert!(stderr.contains("the worker's log has no line about 2 letters"), "{stderr}");
    assert!(stderr.contains("or Lambda refused or ended every invocation that received them."), "{stderr}");
}

#[tokio::test]
async fn ctrl_c_ends_a_slow_search_and_the_query() {
    let fixture = Fixture::new(false).await;
    fixture.send_dead_letters(&bodies(3)).await;
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

//! Why letters are dead: the worker's log lines, found by message id with CloudWatch Logs Insights.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::start_query::StartQueryError;
use aws_sdk_cloudwatchlogs::operation::start_query::builders::StartQueryFluentBuilder;
use aws_sdk_cloudwatchlogs::types::{QueryStatus, ResultField};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use reservation_worker::aws::reason;
use reservation_worker::reason::Reason;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::letter::{Explanation, Letter};
use crate::reason_code;
use crate::stop::{Interrupted, Stop};

/// The number of message ids in a query. The text of a query may have 10,000 characters.
const IDS_PER_QUERY: usize = 200;
/// The number of concurrent queries. An account may run 30 at once, and the operators have other queries.
const CONCURRENT_QUERIES: usize = 4;
/// The largest number of lines that a query returns.
const MAX_LINES: i32 = 10_000;
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// How long the tool tries to start a query while the account runs as many queries as it may.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The worker usually processes a message for the last time within this time after it was sent. AWS charges a query by
/// the part of the log that it reads, so the rest of the log is read only for letters without a line in this part.
const USUAL_LIFE: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// The clocks of SQS and of the log may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The fields of a record's summary line (docs/telemetry.md) that are used here.
#[derive(Debug, Deserialize)]
struct Line {
    message_id: String,
    timestamp: String,
    reason_code: String,
    reason: Option<String>,
    advice: Option<String>,
    attempt: Option<u32>,
    trace_id: Option<String>,
}

/// Adds to each letter what the last log line about it says.
///
/// # Errors
///
/// A query failed, or the user has asked to stop. The letters of the other queries have been completed.
pub(crate) async fn explain(
    logs: &Client,
    log_group: &str,
    letters: &mut [Letter],
    stop: &Stop,
    bar: &ProgressBar,
) -> Result<()> {
    // Letters that were sent at about the same time share a query, so that the query reads only a part of the log.
    letters.sort_by_key(|letter| letter.sent);
    let has_failed = Cell::new(false);
    let queries = stream::iter(letters.chunks(IDS_PER_QUERY)).map(async |chunk| {
        if has_failed.get() {
            return Ok(Vec::new());
        }
        let lines = lines(logs, log_group, chunk, stop).await;
        has_failed.set(has_failed.get() || lines.is_err());
        bar.inc(chunk.len() as u64);
        lines
    });
    let results: Vec<Result<Vec<Line>>> = queries.buffer_unordered(CONCURRENT_QUERIES).collect().await;
    let (mut last, mut failure) = (HashMap::<String, Line>::new(), Ok(()));
    let lines = results.into_iter().filter_map(|lines| lines.map_err(|error| failure = Err(error)).ok());
    for line in lines.flatten() {
        let is_older = last.get(&line.message_id).is_some_and(|found| found.timestamp >= line.timestamp);
        if !is_older {
            last.insert(line.message_id.clone(), line);
        }
    }
    for letter in letters {
        if let Some(line) = last.remove(&letter.message_id) {
            complete(letter, line);
        }
    }
    failure
}

fn complete(letter: &mut Letter, line: Line) {
    // The advice in the line may come from an older version of the worker. This tool knows its own commands.
    let advice = reason_code::reason(&line.reason_code).map(Reason::advice).or(line.advice);
    letter.reason = Some(Explanation { code: line.reason_code, text: line.reason, advice });
    letter.last_receive = humantime::parse_rfc3339(&line.timestamp).ok();
    letter.receives = line.attempt.unwrap_or(letter.receives);
    letter.trace_id = line.trace_id.or(letter.trace_id.take());
}

/// The log lines about these letters that contain a reason code: for each letter at least the last one.
async fn lines(logs: &Client, log_group: &str, letters: &[Letter], stop: &Stop) -> Result<Vec<Line>> {
    let mut waiting: Vec<_> = letters.iter().collect();
    let now = SystemTime::now();
    let from = letters.iter().map(|letter| letter.logged_after).min().unwrap_or(UNIX_EPOCH);
    let usual_end = letters.iter().map(|letter| letter.sent).max().unwrap_or(now) + USUAL_LIFE;
    if usual_end >= now {
        return lines_between(logs, log_group, &mut waiting, from..now, stop).await;
    }
    let mut all = lines_between(logs, log_group, &mut waiting, from..usual_end, stop).await?;
    if !waiting.is_empty() {
        all.extend(lines_between(logs, log_group, &mut waiting, usual_end..now, stop).await?);
    }
    Ok(all)
}

/// The log lines of this time about the letters in `waiting`. Removes from `waiting` the letters that have a line.
async fn lines_between(
    logs: &Client,
    log_group: &str,
    waiting: &mut Vec<&Letter>,
    times: Range<SystemTime>,
    stop: &Stop,
) -> Result<Vec<Line>> {
    let mut all = Vec::new();
    loop {
        let (lines, is_complete) = query(logs, log_group, waiting, &times, stop).await?;
        let found: HashSet<_> = lines.iter().map(|line| line.message_id.clone()).collect();
        let count = waiting.len();
        waiting.retain(|letter| !found.contains(&letter.message_id));
        all.extend(lines);
        // The lines about some letters may have left no room for the lines about the others in the result.
        if is_complete || waiting.is_empty() || waiting.len() == count {
            return Ok(all);
        }
    }
}

/// The last lines about these letters, and whether these are all lines about them.
async fn query(
    logs: &Client,
    log_group: &str,
    letters: &[&Letter],
    times: &Range<SystemTime>,
    stop: &Stop,
) -> Result<(Vec<Line>, bool)> {
    stop.check()?;
    // An id with other characters could change the meaning of the query.
    let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ids = letters.iter().map(|letter| letter.message_id.as_str()).filter(is_id);
    let ids: Vec<_> = ids.map(|id| format!("\"{id}\"")).collect();
    let text = format!(
        "fields @timestamp, @message | filter message_id in [{}] and ispresent(reason_code) | sort @timestamp desc",
        ids.join(",")
    );
    let call = logs
        .start_query()
        .log_group_name(log_group)
        .start_time(seconds(times.start - CLOCK_SKEW))
        .end_time(seconds(times.end + CLOCK_SKEW))
        .query_string(text)
        .limit(MAX_LINES);
    let id = stop.unless_requested(start(call)).await?;
    let rows = tokio::select! {
        rows = results(logs, &id) => rows?,
        () = stop.requested() => {
            // If the query cannot be stopped, it ends later by itself.
            let _ = logs.stop_query().query_id(&id).send().await;
            return Err(Interrupted.into());
        }
    };
    let message = |row: Vec<ResultField>| {
        row.into_iter().find(|field| field.field.as_deref() == Some("@message")).and_then(|field| field.value)
    };
    let is_complete = rows.len() < MAX_LINES as usize;
    let lines = rows.into_iter().filter_map(message).filter_map(|line| serde_json::from_str(&line).ok());
    Ok((lines.collect(), is_complete))
}

/// Starts a query. Returns its id.
async fn start(call: StartQueryFluentBuilder) -> Result<String> {
    let since = Instant::now();
    loop {
        let error = match call.clone().send().await {
            Ok(started) => return started.query_id.context("logs:StartQuery returned no id"),
            Err(error) => error,
        };
        let must_wait = error.as_service_error().is_some_and(StartQueryError::is_limit_exceeded_exception);
        if !must_wait || since.elapsed() > START_TIMEOUT {
            bail!("logs:StartQuery: {}", reason(&error));
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn results(logs: &Client, query_id: &str) -> Result<Vec<Vec<ResultField>>> {
    loop {
        let reply = logs.get_query_results().query_id(query_id).send().await;
        let reply = reply.map_err(|error| anyhow!("logs:GetQueryResults: {}", reason(&error)))?;
        match reply.status {
            Some(QueryStatus::Complete) => return Ok(reply.results.unwrap_or_default()),
            Some(QueryStatus::Scheduled | QueryStatus::Running) | None => sleep(POLL_INTERVAL).await,
            Some(other) => bail!("logs: the query ended with the status {}", other.as_str()),
        }
    }
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

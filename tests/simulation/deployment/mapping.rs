//! The event source mapping: polls at full speed and invokes processes of the function, each with one batch at a time.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::attempts::PROCESS;
use super::{Choice, Deployment};
use crate::function::Function;

const BATCH_SIZE: usize = 10;
const FUNCTION_TIME: Duration = Duration::from_secs(30);

/// A process of the function.
struct Process {
    number: usize,
    started: Instant,
    function: Function,
}

/// Receives batches as long as there are visible messages and fewer than `concurrency` invocations.
pub async fn poll(deployment: &Deployment) {
    let (mut idle, mut running) = (Vec::<Process>::new(), FuturesUnordered::new());
    let changed = deployment.queue.lock().unwrap().changed.clone();
    let mut processes = 0;
    loop {
        while running.len() < deployment.settings.concurrency {
            let batch = deployment.queue.lock().unwrap().receive(BATCH_SIZE);
            if batch.is_empty() {
                break;
            }
            idle.retain(|process| !deployment.is_retired(process.started));
            let chosen = match deployment.settings.choice {
                Choice::MostRecentlyUsed => idle.pop(),
                Choice::Random if idle.is_empty() => None,
                Choice::Random => Some(idle.swap_remove(fastrand::usize(..idle.len()))),
            };
            let process = chosen.unwrap_or_else(|| {
                processes += 1;
                let function = deployment.start_process();
                Process { number: processes, started: Instant::now(), function }
            });
            running.push(PROCESS.scope(process.number, invoke(deployment, process, batch)));
        }
        let has_capacity = running.len() < deployment.settings.concurrency;
        let next = deployment.queue.lock().unwrap().next_visible().filter(|_| has_capacity);
        tokio::select! {
            biased;
            Some(process) = running.next() => idle.push(process),
            () = changed.notified() => {}
            () = async { sleep_until(next.unwrap()).await }, if next.is_some() => {}
        }
    }
}

async fn invoke(deployment: &Deployment, process: Process, batch: Vec<usize>) -> Process {
    let began = Instant::now();
    let event = event(deployment, &batch);
    let output = process.function.invoke("request", &event, FUNCTION_TIME);
    let output = tokio::time::timeout(FUNCTION_TIME, output).await.expect("a response in time");
    let returned = output.response["batchItemFailures"].as_array().unwrap();
    let returned: Vec<_> = returned.iter().map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
    for number in batch {
        if !returned.contains(&&*message_id(number)) {
            deployment.queue.lock().unwrap().delete(number);
        }
    }
    process.function.after_response(FUNCTION_TIME.saturating_sub(began.elapsed())).await;
    deployment.invocations.borrow_mut().push((began, Instant::now()));
    drop(deployment.services.take_calls());
    process
}

fn message_id(number: usize) -> String {
    format!("m{number}")
}

fn event(deployment: &Deployment, batch: &[usize]) -> Value {
    let queue = deployment.queue.lock().unwrap();
    let suffix = if queue.is_fifo { ".fifo" } else { "" };
    let records = batch.iter().map(|&number| {
        let message = &queue.messages[number];
        json!({
            "messageId": message_id(number),
            "receiptHandle": queue.receipt(number),
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.receives.to_string(),
                "MessageGroupId": message.group,
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events{suffix}"),
            "awsRegion": "ap-northeast-2",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

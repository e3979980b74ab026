//! The event source mapping: receives batches from the queue, invokes processes of the function with them,
//! and deletes the messages that the response does not list. Some processes are killed during an invocation, others are
//! retired after one.

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, sleep_until, timeout};

use crate::function::Function;
use crate::invariants;
use crate::queue::Received;
use crate::world::World;

/// Receives batches and invokes one process at a time. A killed or retired process is replaced by a new one.
pub async fn poll(world: &World, mut rng: Rng) {
    loop {
        let function = Function::start(&world.links, &world.plan.variables);
        loop {
            let batch = receive(world).await;
            world.busy_processes.update(|processes| processes + 1);
            let survives = invoke(world, &function, &batch, &mut rng).await;
            world.busy_processes.update(|processes| processes - 1);
            world.queue.lock().unwrap().changed.notify_waiters();
            if !survives || is_retired(world, &mut rng) {
                break;
            }
        }
    }
}

/// Whether a process is not used again after an invocation.
fn is_retired(world: &World, rng: &mut Rng) -> bool {
    let is_retired = rng.f64() < world.plan.retirements;
    if is_retired {
        world.trace("a process is retired");
    }
    is_retired
}

/// Invokes a process with a batch. Returns false if the process was killed.
async fn invoke(world: &World, function: &Function, batch: &[Received], rng: &mut Rng) -> bool {
    let plan = &world.plan;
    let request_id = format!("{:08x}", rng.u32(..));
    let receipts: Vec<_> = batch.iter().map(Received::receipt).collect();
    world.trace(format_args!("{request_id} gets {}", receipts.join(" ")));
    let is_killed = world.is_in_failure_phase() && rng.f64() < plan.kills;
    // Usually early: a batch takes milliseconds, or seconds under a failure condition.
    let longest = rng.choice([20, 200, 5_000]).unwrap();
    let milliseconds = if is_killed { rng.u64(0..=longest) } else { u64::MAX };
    let event = event(world, batch);
    let output = timeout(plan.function_time, function.invoke(&request_id, &event, plan.function_time));
    tokio::select! {
        biased;
        () = sleep(Duration::from_millis(milliseconds)) => {
            world.trace(format_args!("{request_id} is killed"));
            world.queue.lock().unwrap().count_killed(batch);
            false
        }
        output = output => {
            let output = output.expect("the function responds before its time-out");
            for (received, line) in invariants::check_response(world, batch, &output) {
                let [outcome, code, reason] = ["outcome", "reason_code", "reason"].map(|name| &line[name]);
                world.trace(format_args!("{request_id} {} {outcome} {code} {reason}", received.receipt()));
            }
            function.after_response(plan.function_time).await;
            true
        }
    }
}

async fn receive(world: &World) -> Vec<Received> {
    let changed = world.queue.lock().unwrap().changed.clone();
    sleep(world.plan.window).await;
    loop {
        let (batch, next) = {
            let mut queue = world.queue.lock().unwrap();
            (queue.receive(world.plan.batch_size), queue.next_visible())
        };
        if !batch.is_empty() {
            return batch;
        }
        tokio::select! {
            biased;
            () = changed.notified() => {}
            () = async { sleep_until(next.unwrap()).await }, if next.is_some() => {}
        }
    }
}

fn event(world: &World, batch: &[Received]) -> Value {
    let queue = world.queue.lock().unwrap();
    let fifo = if queue.is_fifo { ".fifo" } else { "" };
    let records = batch.iter().map(|received| {
        let message = &queue.entries[received.number].message;
        let mut record = json!({
            "messageId": received.message_id(),
            "receiptHandle": received.receipt(),
            "body": message.body,
            "attributes": { "ApproximateReceiveCount": received.receives.to_string(), "MessageGroupId": message.group },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events{fifo}"),
            "awsRegion": "ap-northeast-2",
        });
        message.carriers.add_to(&mut record);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

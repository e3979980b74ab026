//! The event source mapping: takes batches from the queue, runs instances of the function on them, and
//! deletes what the response does not name. Now and then an instance is killed.

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, sleep_until, timeout};

use crate::function::Function;
use crate::invariants;
use crate::queue::Received;
use crate::world::World;

/// One place for an instance, and all instances that are there in turn.
pub async fn poll(world: &World, mut rng: Rng) {
    loop {
        let function = Function::start(world);
        loop {
            let batch = receive(world).await;
            world.at_work.update(|instances| instances + 1);
            let survives = invoke(world, &function, &batch, &mut rng).await;
            world.at_work.update(|instances| instances - 1);
            world.queue.lock().unwrap().changed.notify_waiters();
            if !survives {
                break;
            }
        }
    }
}

/// Whether the instance has survived.
async fn invoke(world: &World, function: &Function, batch: &[Received], rng: &mut Rng) -> bool {
    let plan = &world.plan;
    let request_id = format!("{:08x}", rng.u32(..));
    let names: Vec<_> = batch.iter().map(Received::receipt).collect();
    world.tell(format_args!("{request_id} gets {}", names.join(" ")));
    let dies = world.is_stormy() && rng.f64() < plan.kills;
    // Mostly early: a batch takes milliseconds, or seconds when something is wrong.
    let longest = rng.choice([20, 200, 5_000]).unwrap();
    let life = if dies { rng.u64(0..=longest) } else { u64::MAX };
    let event = event(world, batch);
    let working = timeout(plan.function_time, function.invoke(&request_id, &event, plan.function_time));
    tokio::select! {
        biased;
        () = sleep(Duration::from_millis(life)) => {
            world.tell(format_args!("{request_id} is killed"));
            world.queue.lock().unwrap().killed(batch);
            false
        }
        answer = working => {
            let answer = answer.expect("the response is out before the function's time is up");
            for (received, line) in invariants::of_a_response(world, batch, &answer) {
                let (outcome, reason) = (&line["outcome"], &line["reason"]);
                world.tell(format_args!("{request_id} {} {outcome} {reason}", received.receipt()));
            }
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
        json!({
            "messageId": received.message_id(),
            "receiptHandle": received.receipt(),
            "body": message.body,
            "attributes": { "ApproximateReceiveCount": received.receives.to_string(), "MessageGroupId": message.group },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:ap-northeast-2:123456789012:reservation-events{fifo}"),
            "awsRegion": "ap-northeast-2",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

//! FIFO: order within a group, and groups that do not wait for one another.

use std::collections::BTreeMap;

use reservation_worker_local::{Effect, Fault, Operation};

use crate::stage::{LONG, Stage, expired};

#[tokio::test]
async fn each_group_keeps_its_order_through_failures_and_does_not_wait_for_the_others() {
    let stage = Stage::new(true, 100, LONG).await;
    let name = |group: usize, place: usize| format!("g{group}-{place}");
    let mut messages = Vec::new();
    for place in 0..10 {
        for group in 0..20 {
            stage.hold(&name(group, place));
            messages.push((format!("g{group}"), expired(&name(group, place))));
        }
    }
    // Every other group fails at its third record, for two deliveries of three tries.
    for group in (0..20).step_by(2) {
        stage.services.fault(Fault::on(Operation::UpdateStatus, &name(group, 3), Effect::http(500)).times(6));
    }

    let running = stage.mapping(&[("MAX_RETRIES", "100")]).start().await.unwrap();
    stage.queue.send(messages).await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    let mut released: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for call in stage.services.calls() {
        if call.operation == Operation::ReleaseHold && call.reply == "SUCCESS" {
            let (group, place) = call.reservation_id.split_once('-').unwrap();
            released.entry(group.to_owned()).or_default().push(place.parse().unwrap());
        }
    }
    assert_eq!(released.len(), 20);
    for (group, places) in released {
        let mut in_order = places.clone();
        in_order.dedup();
        assert_eq!(in_order, (0..10).collect::<Vec<_>>(), "{group}");
    }
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}

//! FIFO: order within a group, and groups that do not wait for one another.

use std::collections::{BTreeMap, BTreeSet};

use reservation_worker_local::{Effect, Fault, Operation};

use crate::stage::{LONG, Stage, expired};

/// The reservations whose seats were released, in order, each once however often that was asked.
fn released(stage: &Stage) -> Vec<String> {
    let calls = stage.services.calls().into_iter();
    let done = calls.filter(|call| call.operation == Operation::ReleaseHold && call.reply == "SUCCESS");
    let mut ids: Vec<_> = done.map(|call| call.reservation_id).collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn each_group_keeps_its_order_through_failures_and_does_not_wait_for_the_others() {
    let stage = Stage::new(true, 100, LONG).await;
    let name = |group: usize, place: usize| format!("g{group}-{place}");
    // A batch is of ten groups.
    let places: Vec<_> = (0..10).flat_map(|place| (0..20).map(move |group| (group, place))).collect();
    places.iter().for_each(|(group, place)| stage.hold(&name(*group, *place)));
    // Every other group fails at its third record, for two deliveries of three tries.
    for group in (0..20).step_by(2) {
        stage.services.fault(Fault::on(Operation::UpdateStatus, &name(group, 3), Effect::http(500)).times(6));
    }

    let messages = places.iter().map(|(group, place)| (format!("g{group}"), expired(&name(*group, *place))));
    let message_ids = stage.queue.send(messages).await.unwrap();
    let running = stage.mapping(&[("MAX_RETRIES", "100")]).start().await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for id in released(&stage) {
        let (group, place) = id.split_once('-').unwrap();
        groups.entry(group.to_owned()).or_default().push(place.parse().unwrap());
    }
    assert_eq!(groups.len(), 20);
    for (group, places) in groups {
        assert_eq!(places, (0..10).collect::<Vec<_>>(), "{group}");
    }
    let returned: BTreeSet<_> = stage.sqs.visibility_changes().into_iter().map(|(id, _)| id).collect();
    for ((group, place), message_id) in places.iter().zip(message_ids) {
        let may_be_returned = group % 2 == 0 && *place >= 3;
        assert!(may_be_returned || !returned.contains(&message_id), "{}", name(*group, *place));
    }
    assert_eq!(stage.queue.dead().await.unwrap(), []);
}

/// The group waits for its first record until that is dead, and is not dead with it.
#[tokio::test]
async fn poison_takes_nobody_of_its_group_along_to_the_dead_letter_queue() {
    let stage = Stage::new(true, 3, LONG).await;
    let ids: Vec<_> = (0..9).map(|place| format!("r{place}")).collect();
    ids.iter().for_each(|id| stage.hold(id));
    let bodies = ["poison".to_owned()].into_iter().chain(ids.iter().map(|id| expired(id)));
    let message_ids = stage.queue.send(bodies.map(|body| ("g".to_owned(), body))).await.unwrap();

    let running = stage.mapping(&[("MAX_RETRIES", "3")]).start().await.unwrap();
    stage.drained(&running).await;
    running.stop().await;

    let changes = stage.sqs.visibility_changes();
    let dead = stage.queue.dead().await.unwrap();
    assert_eq!(dead.iter().map(|(_, body, _)| body.as_str()).collect::<Vec<_>>(), ["poison"]);
    assert_eq!(released(&stage), ids);
    // All that came back of the group got what its first got.
    for (place, message_id) in message_ids.iter().enumerate() {
        let of = changes.iter().filter(|(id, _)| id == message_id).map(|(_, seconds)| *seconds);
        let times = if place == 0 { 3 } else { 2 };
        assert_eq!(of.collect::<Vec<_>>(), vec![0; times], "{place}");
    }
}

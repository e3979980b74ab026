//! FIFO queues: each message group is processed in order, and no group waits for another.

use std::collections::{BTreeMap, BTreeSet};

use reservation_worker_local::{Effect, Fault, Operation};

use crate::fixture::{Fixture, LONG, expired};

/// The reservations whose seats were released, in order. Repeated releases of one reservation count once.
fn released(fixture: &Fixture) -> Vec<String> {
    let calls = fixture.services.calls().into_iter();
    let done = calls.filter(|call| call.operation == Operation::ReleaseHold && call.reply == "SUCCESS");
    let mut ids: Vec<_> = done.map(|call| call.reservation_id).collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn each_group_is_processed_in_order_despite_failures_and_does_not_wait_for_other_groups() {
    let fixture = Fixture::new(true, 100, LONG).await;
    let name = |group: usize, place: usize| format!("g{group}-{place}");
    // The messages alternate between the groups, so that a batch contains ten groups.
    let places: Vec<_> = (0..10).flat_map(|place| (0..20).map(move |group| (group, place))).collect();
    places.iter().for_each(|(group, place)| fixture.hold(&name(*group, *place)));
    // In every second group the fourth record fails six times: in two deliveries with three attempts each.
    for group in (0..20).step_by(2) {
        fixture
            .services
            .fault(Fault::on(Operation::UpdateStatus, &name(group, 3), Effect::http(500)).times(6));
    }

    let messages = places.iter().map(|(group, place)| (format!("g{group}"), expired(&name(*group, *place))));
    let message_ids = fixture.queue.send(messages).await.unwrap();
    let running = fixture.mapping(&[("MAX_RETRIES", "100")]).start().await.unwrap();
    fixture.drained(&running).await;
    running.stop().await;

    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for id in released(&fixture) {
        let (group, place) = id.split_once('-').unwrap();
        groups.entry(group.to_owned()).or_default().push(place.parse().unwrap());
    }
    assert_eq!(groups.len(), 20);
    for (group, places) in groups {
        assert_eq!(places, (0..10).collect::<Vec<_>>(), "{group}");
    }
    let returned: BTreeSet<_> = fixture.sqs.visibility_changes().into_iter().map(|(id, _)| id).collect();
    for ((group, place), message_id) in places.iter().zip(message_ids) {
        let may_be_returned = group % 2 == 0 && *place >= 3;
        assert!(may_be_returned || !returned.contains(&message_id), "{}", name(*group, *place));
    }
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}

#[tokio::test]
async fn a_poison_message_goes_to_the_dlq_and_blocks_no_other_message_of_its_group() {
    let fixture = Fixture::new(true, 3, LONG).await;
    let ids: Vec<_> = (0..9).map(|place| format!("r{place}")).collect();
    ids.iter().for_each(|id| fixture.hold(id));
    let bodies = ["poison".to_owned()].into_iter().chain(ids.iter().map(|id| expired(id)));
    let message_ids = fixture.queue.send(bodies.map(|body| ("g".to_owned(), body))).await.unwrap();

    let running = fixture.mapping(&[("MAX_RETRIES", "3")]).start().await.unwrap();
    fixture.drained(&running).await;
    running.stop().await;

    let changes = fixture.sqs.visibility_changes();
    let dead = fixture.queue.dead_letters().await.unwrap();
    assert_eq!(dead.iter().map(|(_, body, _)| body.as_str()).collect::<Vec<_>>(), ["poison"]);
    assert_eq!(released(&fixture), ids);
    // Only the poison message is returned, each time without a delay.
    for (place, message_id) in message_ids.iter().enumerate() {
        let seconds = changes.iter().filter(|(id, _)| id == message_id).map(|(_, seconds)| *seconds);
        let returns = if place == 0 { 3 } else { 0 };
        assert_eq!(seconds.collect::<Vec<_>>(), vec![0; returns], "{place}");
    }
}

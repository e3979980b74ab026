//! Contradictory events: the first event to change the status wins, and the loser does not change the seats.

use reservation_worker_local::{Effect, Fault, SeatState, Service};

use super::deliver;
use crate::table::{GET, Kind, PATCH, app_with_generous_limits, assert_seats_match_status, operations};
use crate::test_app::sqs;

const REFUND: &str = "refund due";

/// Winner, loser, and the outcome of the loser with a part of its reason.
const PAIRS: [(Kind, Kind, &str, &str); 6] = [
    (Kind::Expired, Kind::Approved, "failed", REFUND),
    (Kind::Approved, Kind::Expired, "superseded", "CONFIRMED"),
    (Kind::Failed, Kind::Approved, "failed", REFUND),
    (Kind::Approved, Kind::Failed, "failed", "failed payment of a confirmed reservation"),
    (Kind::Failed, Kind::Expired, "superseded", "CANCELLED"),
    (Kind::Expired, Kind::Failed, "superseded", "EXPIRED"),
];

#[test]
fn the_list_of_pairs_contains_every_two_kinds_that_request_different_statuses() {
    for winner in Kind::ALL {
        for loser in Kind::ALL.into_iter().filter(|loser| loser.target_status() != winner.target_status()) {
            let is_listed = PAIRS.iter().any(|pair| (pair.0, pair.1) == (winner, loser));
            assert!(is_listed, "{winner:?} before {loser:?} is missing");
        }
    }
}

#[tokio::test]
async fn the_first_event_wins_and_the_second_does_not_change_the_seats() {
    for (winner, loser, outcome, reason_part) in PAIRS {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        assert_eq!(deliver(&app, "m-1", winner.event("r1")).await.0, "success");
        for message_id in ["m-2", "m-3"] {
            let (loser_outcome, reason) = deliver(&app, message_id, loser.event("r1")).await;
            assert_eq!(loser_outcome, outcome, "{winner:?} before {loser:?}");
            assert!(reason.contains(reason_part), "{reason}");
        }
        assert_eq!(operations(&app, "r1"), [PATCH, winner.inventory_call(), PATCH, PATCH]);
        assert_seats_match_status(&app, "r1");
        assert_eq!(app.services.seat_state("r1"), Some(winner.final_seat_state()));
    }
}

#[tokio::test]
async fn a_loser_between_the_two_steps_of_the_winner_does_not_change_the_seats() {
    for (winner, loser, outcome, _) in PAIRS {
        for lost in [Effect::grpc(14), Effect::done_then(Effect::grpc(14))] {
            let app = app_with_generous_limits(&[]).await;
            app.hold("r1");
            app.services.fault(Fault::on(winner.inventory_call(), "r1", lost.clone()).times(3));
            assert_eq!(deliver(&app, "m-1", winner.event("r1")).await.0, "retried");
            let between = app.services.seat_state("r1");
            assert_eq!(deliver(&app, "m-2", loser.event("r1")).await.0, outcome);
            assert_eq!(app.services.seat_state("r1"), between, "the loser changed the seats");
            assert_eq!(deliver(&app, "m-3", winner.event("r1")).await.0, "success");
            assert_eq!(deliver(&app, "m-4", loser.event("r1")).await.0, outcome);
            assert_seats_match_status(&app, "r1");
            assert_eq!(app.services.seat_state("r1"), Some(winner.final_seat_state()));
        }
    }
}

#[tokio::test]
async fn a_winner_whose_replies_were_lost_still_wins() {
    for (winner, loser, outcome, _) in PAIRS {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        let lost = Effect::done_then(Effect::http(503));
        app.services.fault(Fault::on(PATCH, "r1", lost).times(3));
        assert_eq!(deliver(&app, "m-1", winner.event("r1")).await.0, "retried");
        assert_eq!(deliver(&app, "m-2", loser.event("r1")).await.0, outcome);
        assert_eq!(app.services.seat_state("r1"), Some(SeatState::Hold));
        assert_eq!(deliver(&app, "m-3", winner.event("r1")).await.0, "success");
        assert_seats_match_status(&app, "r1");
        assert_eq!(app.services.seat_state("r1"), Some(winner.final_seat_state()));
    }
}

#[tokio::test]
async fn a_loser_that_must_read_the_reservation_has_the_same_outcome() {
    for (winner, loser, outcome, reason_part) in PAIRS {
        let app = app_with_generous_limits(&[]).await;
        app.hold("r1");
        assert_eq!(deliver(&app, "m-1", winner.event("r1")).await.0, "success");
        app.services.fault(Fault::on(PATCH, "r1", Effect::http(409)));
        let (loser_outcome, reason) = deliver(&app, "m-2", loser.event("r1")).await;
        assert_eq!(loser_outcome, outcome);
        assert!(reason.contains(reason_part), "{reason}");
        assert_eq!(operations(&app, "r1"), [PATCH, winner.inventory_call(), PATCH, GET]);
        assert_seats_match_status(&app, "r1");
    }
}

#[tokio::test]
async fn in_one_batch_the_order_of_the_records_decides() {
    let app = app_with_generous_limits(&[]).await;
    let pairs = PAIRS.map(|pair| (format!("{:?}-{:?}", pair.0, pair.1), pair));
    pairs.iter().for_each(|(id, _)| app.hold(id));
    let messages: Vec<_> = pairs
        .iter()
        .flat_map(|(id, (winner, loser, ..))| {
            [(format!("{id}-1"), winner.event(id)), (format!("{id}-2"), loser.event(id))]
        })
        .collect();
    let run = app.run(sqs(messages.iter().map(|(id, event)| (id.as_str(), event.clone())))).await;
    for (id, (winner, _, outcome, reason_part)) in &pairs {
        assert_eq!(run.outcome(&format!("{id}-1")), "success");
        assert_eq!(run.outcome(&format!("{id}-2")), *outcome, "{id}");
        assert!(run.reason(&format!("{id}-2")).contains(reason_part));
        assert_eq!(operations(&app, id), [PATCH, winner.inventory_call(), PATCH]);
        assert_seats_match_status(&app, id);
    }
}

#[tokio::test]
async fn in_two_concurrent_batches_exactly_one_event_wins_each_reservation() {
    for (first, second) in
        [(Kind::Expired, Kind::Approved), (Kind::Approved, Kind::Failed), (Kind::Failed, Kind::Expired)]
    {
        let app = app_with_generous_limits(&[]).await;
        let ids: Vec<_> = (0..40).map(|number| format!("r{number}")).collect();
        for (number, id) in (0..).zip(&ids) {
            app.hold(id);
            // Delays of various lengths, before or after the update, so that each event is sometimes the first.
            let delay = Effect::latency(number % 4 * 100);
            let delay = if number % 8 < 4 { delay } else { Effect::done_then(delay) };
            app.services.fault(Fault::on(PATCH, id, delay).times(1));
        }
        let batch = |kind: Kind| sqs(ids.iter().map(|id| (id.as_str(), kind.event(id))).collect::<Vec<_>>());
        let (first_run, second_run) = tokio::join!(app.run(batch(first)), app.run(batch(second)));
        let mut winners = [0, 0];
        for id in &ids {
            let (winner, loser_run) = match (first_run.outcome(id), second_run.outcome(id)) {
                ("success", _) => (first, &second_run),
                (_, "success") => (second, &first_run),
                outcomes => panic!("{id} has no winner: {outcomes:?}"),
            };
            winners[usize::from(winner == second)] += 1;
            let loser = if winner == first { second } else { first };
            let pair = PAIRS.iter().find(|pair| (pair.0, pair.1) == (winner, loser)).unwrap();
            assert_eq!(loser_run.outcome(id), pair.2, "{winner:?} before {loser:?}");
            assert_eq!(app.services.seat_state(id), Some(winner.final_seat_state()));
            assert_seats_match_status(&app, id);
            let calls = app.services.calls_for(id);
            let seats = calls.iter().filter(|call| call.operation.service() == Service::Inventory);
            assert_eq!(seats.count(), 1, "the loser called the inventory");
        }
        assert!(winners.iter().all(|won| *won > 0), "{winners:?}: one event won every time");
    }
}

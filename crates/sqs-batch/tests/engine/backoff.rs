//! The visibility time-out that a returned record gets. It is computed without a queue.

use std::time::Duration;

use sqs_batch::{Backoff, Redelivery};

/// SQS allows 12 hours from the receive of a message, and the function may run for 15 minutes of them.
const LONGEST_SECONDS: i32 = 11 * 3_600 + 45 * 60;

/// The time-out in seconds, without jitter and far from the last receive.
fn seconds(backoff: Backoff, receive_count: u32, redelivery: Redelivery) -> i32 {
    backoff.visibility_timeout(receive_count, u32::MAX, redelivery, 0.0)
}

/// The same time-out for each receive.
fn constant(time: Duration) -> Backoff {
    Backoff { base: time, max: time }
}

fn at_least(time: Duration) -> Redelivery {
    Redelivery::AfterBackoff { at_least: time }
}

#[test]
fn the_default_back_off_doubles_from_1_s_to_15_minutes() {
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900];
    let computed: Vec<_> =
        (1..=12).map(|receives| seconds(Backoff::default(), receives, Redelivery::BACKOFF)).collect();
    assert_eq!(computed, expected);
}

#[test]
fn the_back_off_doubles_from_its_base_to_its_maximum() {
    let backoff = Backoff { base: Duration::from_secs(3), max: Duration::from_secs(20) };
    let computed: Vec<_> = (1..=5).map(|receives| seconds(backoff, receives, Redelivery::BACKOFF)).collect();
    assert_eq!(computed, [3, 6, 12, 20, 20]);
}

#[test]
fn a_receive_count_of_0_counts_as_the_first_receive() {
    assert_eq!(seconds(constant(Duration::from_secs(7)), 0, Redelivery::BACKOFF), 7);
    assert_eq!(seconds(Backoff::default(), 0, Redelivery::BACKOFF), 1);
}

#[test]
fn large_receive_counts_do_not_overflow() {
    let unlimited = Backoff { base: Duration::from_secs(1), max: Duration::MAX };
    let longest = Backoff { base: Duration::MAX, max: Duration::MAX };
    for receives in [32, 33, 34, 65, 1_000, u32::MAX - 1] {
        assert_eq!(seconds(Backoff::default(), receives, Redelivery::BACKOFF), 900, "{receives}");
        assert_eq!(seconds(unlimited, receives, Redelivery::BACKOFF), LONGEST_SECONDS, "{receives}");
        assert_eq!(seconds(longest, receives, Redelivery::BACKOFF), LONGEST_SECONDS, "{receives}");
    }
}

#[test]
fn a_fraction_of_a_second_is_rounded_up_before_the_jitter_is_added() {
    for (millis, jitter, expected) in [(1, 0.0, 1), (1_000, 0.0, 1), (1_001, 0.0, 2), (10_100, 1.0, 13)] {
        let backoff = constant(Duration::from_millis(millis));
        let computed = backoff.visibility_timeout(1, 5, Redelivery::BACKOFF, jitter);
        assert_eq!(computed, expected, "{millis} ms, jitter {jitter}");
    }
}

#[test]
fn the_jitter_adds_up_to_20_percent_rounded_to_whole_seconds() {
    let cases = [
        (100, [100, 105, 110, 120]),
        (900, [900, 945, 990, 1_080]),
        // 1.2 s, 2.4 s, 4.8 s, 9.6 s and 19.2 s at the most.
        (1, [1, 1, 1, 1]),
        (2, [2, 2, 2, 2]),
        (4, [4, 4, 4, 5]),
        (8, [8, 8, 9, 10]),
        (16, [16, 17, 18, 19]),
    ];
    for (base, expected) in cases {
        let backoff = constant(Duration::from_secs(base));
        let computed =
            [0.0, 0.25, 0.5, 1.0].map(|jitter| backoff.visibility_timeout(1, 5, Redelivery::BACKOFF, jitter));
        assert_eq!(computed, expected, "{base} s");
    }
}

#[test]
fn a_back_off_of_0_stays_0_with_jitter() {
    assert_eq!(constant(Duration::ZERO).visibility_timeout(3, 5, Redelivery::BACKOFF, 1.0), 0);
}

#[test]
fn immediate_redelivery_has_a_time_out_of_0_on_every_receive() {
    for receives in [0, 1, 4, 5, 6, u32::MAX] {
        for jitter in [0.0, 1.0] {
            let computed = Backoff::default().visibility_timeout(receives, 5, Redelivery::Immediate, jitter);
            assert_eq!(computed, 0, "receive {receives}");
        }
    }
}

#[test]
fn a_record_on_its_last_receive_has_a_time_out_of_0() {
    let requested = at_least(Duration::from_secs(60));
    for (receives, expected) in [(3, [4, 60]), (4, [8, 60]), (5, [0, 0]), (6, [0, 0]), (u32::MAX, [0, 0])] {
        let computed = [Redelivery::BACKOFF, requested]
            .map(|redelivery| Backoff::default().visibility_timeout(receives, 5, redelivery, 0.0));
        assert_eq!(computed, expected, "receive {receives} of 5");
    }
}

#[test]
fn the_longer_of_the_back_off_and_the_requested_time_applies() {
    let cases = [
        (Duration::ZERO, 8),
        (Duration::from_secs(7), 8),
        (Duration::from_secs(8), 8),
        (Duration::from_millis(8_001), 9),
        (Duration::from_secs(30), 30),
        // The maximum limits the back-off, not the request.
        (Duration::from_secs(3_600), 3_600),
    ];
    for (requested, expected) in cases {
        assert_eq!(seconds(Backoff::default(), 4, at_least(requested)), expected, "{requested:?}");
    }
}

#[test]
fn the_jitter_is_added_to_the_requested_time() {
    let computed = Backoff::default().visibility_timeout(1, 5, at_least(Duration::from_secs(30)), 1.0);
    assert_eq!(computed, 36);
}

#[test]
fn no_time_out_exceeds_12_hours_less_the_longest_function_time_out() {
    let cases = [
        (Duration::from_secs(42_299), 0.0, LONGEST_SECONDS - 1),
        (Duration::from_secs(42_300), 0.0, LONGEST_SECONDS),
        (Duration::from_secs(42_301), 0.0, LONGEST_SECONDS),
        (Duration::from_secs(35_250), 1.0, LONGEST_SECONDS),
        (Duration::from_secs(42_300), 1.0, LONGEST_SECONDS),
        (Duration::MAX, 1.0, LONGEST_SECONDS),
    ];
    for (time, jitter, expected) in cases {
        for (backoff, redelivery) in
            [(constant(time), Redelivery::BACKOFF), (Backoff::default(), at_least(time))]
        {
            let computed = backoff.visibility_timeout(1, 5, redelivery, jitter);
            assert_eq!(computed, expected, "{time:?}, jitter {jitter}, {backoff:?}, {redelivery:?}");
        }
    }
}

//! The visibility time-out that a returned record gets. It is computed without a queue.

use std::time::Duration;

use sqs_batch::{Backoff, Jitter, Redelivery};

/// SQS allows 12 hours from the receive of a message, and the function may run for 15 minutes of them.
const LONGEST_SECONDS: i32 = 11 * 3_600 + 45 * 60;

/// Adds nothing, and rounds every fraction of a second up.
const NO_JITTER: Jitter = Jitter { stretch: 0.0, rounding: 0.0 };

/// The time-out in seconds, without jitter and far from the last receive.
fn seconds(backoff: &Backoff, receive_count: u32, redelivery: Redelivery) -> i32 {
    backoff.visibility_timeout(receive_count, u32::MAX, redelivery, NO_JITTER)
}

/// The same time-out for each receive, also during an outage.
fn constant(time: Duration) -> Backoff {
    Backoff { base: time, max: time, outage: vec![time] }
}

fn with_outage<const N: usize>(seconds: [u64; N]) -> Backoff {
    Backoff { outage: seconds.map(Duration::from_secs).into(), ..Backoff::default() }
}

fn after_outage(at_least: Duration) -> Redelivery {
    Redelivery::AfterOutage { cause: "inventory", at_least }
}

fn at_least(time: Duration) -> Redelivery {
    Redelivery::AfterBackoff { at_least: time }
}

#[test]
fn the_default_back_off_doubles_from_1_s_to_15_minutes() {
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900];
    let computed: Vec<_> =
        (1..=12).map(|receives| seconds(&Backoff::default(), receives, Redelivery::BACKOFF)).collect();
    assert_eq!(computed, expected);
}

#[test]
fn the_back_off_doubles_from_its_base_to_its_maximum() {
    let backoff =
        Backoff { base: Duration::from_secs(3), max: Duration::from_secs(20), ..Backoff::default() };
    let computed: Vec<_> = (1..=5).map(|receives| seconds(&backoff, receives, Redelivery::BACKOFF)).collect();
    assert_eq!(computed, [3, 6, 12, 20, 20]);
}

#[test]
fn a_receive_count_of_0_counts_as_the_first_receive() {
    assert_eq!(seconds(&constant(Duration::from_secs(7)), 0, Redelivery::BACKOFF), 7);
    assert_eq!(seconds(&Backoff::default(), 0, Redelivery::BACKOFF), 1);
    assert_eq!(seconds(&with_outage([3, 40]), 0, after_outage(Duration::ZERO)), 3);
}

#[test]
fn large_receive_counts_do_not_overflow() {
    let unlimited = Backoff { base: Duration::from_secs(1), max: Duration::MAX, ..Backoff::default() };
    let longest = constant(Duration::MAX);
    let outage = after_outage(Duration::ZERO);
    for receives in [32, 33, 34, 65, 1_000, u32::MAX - 1] {
        assert_eq!(seconds(&Backoff::default(), receives, Redelivery::BACKOFF), 900, "{receives}");
        assert_eq!(seconds(&unlimited, receives, Redelivery::BACKOFF), LONGEST_SECONDS, "{receives}");
        assert_eq!(seconds(&longest, receives, Redelivery::BACKOFF), LONGEST_SECONDS, "{receives}");
        assert_eq!(seconds(&longest, receives, outage), LONGEST_SECONDS, "{receives}");
        assert_eq!(seconds(&Backoff::default(), receives, outage), 600, "{receives}");
    }
}

#[test]
fn a_fraction_of_a_second_is_rounded_up_if_it_is_greater_than_the_random_number() {
    let cases = [
        (1, [(0.0, 1), (0.000_9, 1), (0.001_1, 0), (0.999, 0)]),
        (500, [(0.0, 1), (0.499, 1), (0.5, 0), (0.999, 0)]),
        (1_000, [(0.0, 1), (0.001, 1), (0.5, 1), (0.999, 1)]),
        (1_250, [(0.0, 2), (0.249, 2), (0.25, 1), (0.999, 1)]),
        (9_999, [(0.0, 10), (0.5, 10), (0.998, 10), (0.999_5, 9)]),
    ];
    for (millis, expected) in cases {
        let backoff = constant(Duration::from_millis(millis));
        for (rounding, seconds) in expected {
            for redelivery in [Redelivery::BACKOFF, after_outage(Duration::ZERO)] {
                let computed =
                    backoff.visibility_timeout(1, 5, redelivery, Jitter { stretch: 0.0, rounding });
                assert_eq!(computed, seconds, "{millis} ms, {rounding}, {redelivery:?}");
            }
        }
    }
}

#[test]
fn over_all_random_numbers_the_mean_time_out_is_the_time_with_its_fraction() {
    // Also the shortest back-off has jitter: 1 s becomes 2 s in one of ten cases.
    for (base, stretch, mean) in [(1_000, 0.5, 1.1), (1_000, 1.0, 1.2), (2_000, 0.25, 2.1), (250, 0.0, 0.25)]
    {
        let backoff = constant(Duration::from_millis(base));
        let roundings = (0..1_000).map(|number| (f64::from(number) + 0.5) / 1_000.0);
        let total: i32 = roundings
            .map(|rounding| {
                backoff.visibility_timeout(1, 5, Redelivery::BACKOFF, Jitter { stretch, rounding })
            })
            .sum();
        assert!((f64::from(total) / 1_000.0 - mean).abs() < 0.002, "{base} ms, {stretch}: {total}");
    }
}

#[test]
fn the_jitter_adds_up_to_20_percent_before_the_rounding() {
    // For each of the four stretches below: the time-out rounded down, and rounded up.
    let cases = [
        (100, [(100, 100), (105, 105), (110, 110), (120, 120)]),
        (900, [(900, 900), (945, 945), (990, 990), (1_080, 1_080)]),
        (1, [(1, 1), (1, 2), (1, 2), (1, 2)]),
        (2, [(2, 2), (2, 3), (2, 3), (2, 3)]),
        (4, [(4, 4), (4, 5), (4, 5), (4, 5)]),
        (8, [(8, 8), (8, 9), (8, 9), (9, 10)]),
        (16, [(16, 16), (16, 17), (17, 18), (19, 20)]),
    ];
    for (base, expected) in cases {
        let backoff = constant(Duration::from_secs(base));
        for redelivery in [Redelivery::BACKOFF, after_outage(Duration::ZERO)] {
            let computed = [0.0, 0.25, 0.5, 1.0].map(|stretch| {
                let [down, up] = [0.999, 0.001].map(|rounding| {
                    backoff.visibility_timeout(1, 5, redelivery, Jitter { stretch, rounding })
                });
                (down, up)
            });
            assert_eq!(computed, expected, "{base} s, {redelivery:?}");
        }
    }
}

#[test]
fn a_back_off_of_0_stays_0_with_jitter() {
    let jitter = Jitter { stretch: 1.0, rounding: 0.0 };
    for redelivery in [Redelivery::BACKOFF, after_outage(Duration::ZERO)] {
        assert_eq!(constant(Duration::ZERO).visibility_timeout(3, 5, redelivery, jitter), 0);
    }
}

#[test]
fn immediate_redelivery_has_a_time_out_of_0_on_every_receive() {
    for receives in [0, 1, 4, 5, 6, u32::MAX] {
        for jitter in [0.0, 1.0].map(|number| Jitter { stretch: number, rounding: number }) {
            let computed = Backoff::default().visibility_timeout(receives, 5, Redelivery::Immediate, jitter);
            assert_eq!(computed, 0, "receive {receives}");
        }
    }
}

#[test]
fn a_record_on_its_last_receive_has_a_time_out_of_0() {
    let minute = Duration::from_secs(60);
    let redeliveries =
        [Redelivery::BACKOFF, at_least(minute), after_outage(Duration::ZERO), after_outage(minute)];
    let cases = [
        (2, [2, 60, 30, 60]),
        (3, [4, 60, 600, 600]),
        (4, [8, 60, 600, 600]),
        (5, [0; 4]),
        (6, [0; 4]),
        (u32::MAX, [0; 4]),
    ];
    for (receives, expected) in cases {
        let computed = redeliveries
            .map(|redelivery| Backoff::default().visibility_timeout(receives, 5, redelivery, NO_JITTER));
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
        assert_eq!(seconds(&Backoff::default(), 4, at_least(requested)), expected, "{requested:?}");
        assert_eq!(seconds(&with_outage([8]), 4, after_outage(requested)), expected, "{requested:?}");
    }
}

#[test]
fn the_jitter_is_added_to_the_requested_time() {
    let (requested, jitter) = (Duration::from_secs(30), Jitter { stretch: 1.0, rounding: 0.5 });
    for redelivery in [at_least(requested), after_outage(requested)] {
        assert_eq!(Backoff::default().visibility_timeout(1, 5, redelivery, jitter), 36);
    }
}

#[test]
fn rounding_down_never_makes_the_time_out_shorter_than_the_requested_time() {
    for (millis, stretch, expected) in [(30_001, 0.0, 31), (30_999, 0.0, 31), (30_500, 0.1, 31)] {
        let requested = Duration::from_millis(millis);
        for redelivery in [at_least(requested), after_outage(requested)] {
            let jitter = Jitter { stretch, rounding: 0.999_999 };
            let computed = Backoff::default().visibility_timeout(1, 5, redelivery, jitter);
            assert_eq!(computed, expected, "{millis} ms, {redelivery:?}");
        }
    }
}

#[test]
fn the_default_outage_back_off_is_1_s_then_30_s_then_10_minutes_each_time() {
    let computed: Vec<_> = (1..=6)
        .map(|receives| seconds(&Backoff::default(), receives, after_outage(Duration::ZERO)))
        .collect();
    assert_eq!(computed, [1, 30, 600, 600, 600, 600]);
}

#[test]
fn the_last_entry_of_the_outage_back_off_repeats_and_the_usual_maximum_does_not_limit_it() {
    for (backoff, expected) in [
        (with_outage([7]), [7, 7, 7, 7]),
        (with_outage([2, 5]), [2, 5, 5, 5]),
        (with_outage([1, 2, 3, 4, 5]), [1, 2, 3, 4]),
        (with_outage([1_000, 2_000]), [1_000, 2_000, 2_000, 2_000]),
    ] {
        let computed: Vec<_> =
            (1..=4).map(|receives| seconds(&backoff, receives, after_outage(Duration::ZERO))).collect();
        assert_eq!(computed, expected, "{backoff:?}");
    }
}

#[test]
fn with_an_empty_list_the_usual_back_off_applies_during_an_outage() {
    let backoff = Backoff { outage: Vec::new(), ..Backoff::default() };
    let computed: Vec<_> =
        (1..=5).map(|receives| seconds(&backoff, receives, after_outage(Duration::ZERO))).collect();
    assert_eq!(computed, [1, 2, 4, 8, 16]);
}

#[test]
fn the_list_for_an_outage_does_not_change_the_usual_back_off() {
    assert_eq!(seconds(&with_outage([100, 200]), 3, Redelivery::BACKOFF), 4);
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
    for (time, stretch, expected) in cases {
        for (backoff, redelivery) in [
            (constant(time), Redelivery::BACKOFF),
            (constant(time), after_outage(Duration::ZERO)),
            (Backoff::default(), at_least(time)),
            (Backoff::default(), after_outage(time)),
        ] {
            let jitter = Jitter { stretch, rounding: 0.5 };
            let computed = backoff.visibility_timeout(1, 5, redelivery, jitter);
            assert_eq!(computed, expected, "{time:?}, {jitter:?}, {backoff:?}, {redelivery:?}");
        }
    }
}

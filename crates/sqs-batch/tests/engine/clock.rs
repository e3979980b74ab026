//! The time between two readings of the clocks.

use std::time::{Duration, SystemTime};

use sqs_batch::ClockReading;
use tokio::time::{Instant, advance};

#[test]
fn the_longer_duration_of_the_two_clocks_is_used() {
    let (instant, time) = (Instant::now(), SystemTime::now());
    let [s0, s2, s5, s60] = [0, 2, 5, 60].map(Duration::from_secs);
    let earlier = ClockReading { instant, time };
    let cases = [
        ("both clocks agree", instant + s5, time + s5, s5),
        ("the monotonic clock stood still", instant, time + s60, s60),
        ("the wall clock was set back", instant + s5, time - s60, s5),
        ("the wall clock was set back by less than the duration", instant + s5, time + s2, s5),
        ("no time has passed", instant, time, s0),
        ("both readings are before the earlier one", instant - s2, time - s2, s0),
    ];
    for (case, instant, time, expected) in cases {
        assert_eq!(ClockReading { instant, time }.since(earlier), expected, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_contains_both_clocks() {
    let before = (Instant::now(), SystemTime::now());
    let first = ClockReading::now();
    advance(Duration::from_secs(3_600)).await;
    let second = ClockReading::now();

    assert_eq!(first.instant, before.0);
    assert!(first.time >= before.1 && first.time <= SystemTime::now());
    assert_eq!(second.since(first), Duration::from_secs(3_600), "the wall clock was not advanced");
}

//! The confidence intervals of `make bench`.

use crate::statistics::{Estimate, MIN_ROUNDS, median};

fn estimate(rounds: u32) -> Estimate {
    Estimate::new((1..=rounds).map(f64::from))
}

/// The ranks are those of published tables for the median.
#[test]
fn the_interval_is_between_the_ranks_of_the_sign_test() {
    for (rounds, rank) in
        [(6, 1), (8, 1), (9, 2), (12, 3), (13, 3), (15, 4), (17, 5), (20, 6), (21, 6), (25, 8)]
    {
        let Estimate { low, high, .. } = estimate(rounds);
        assert_eq!((low, high), (f64::from(rank), f64::from(rounds + 1 - rank)), "{rounds} rounds");
    }
}

#[test]
fn with_the_least_number_of_rounds_the_interval_contains_all_of_them() {
    let Estimate { low, high, .. } = estimate(u32::try_from(MIN_ROUNDS).unwrap());
    assert_eq!((low, high), (1.0, 6.0));
}

#[test]
fn the_median_of_an_even_number_of_values_is_between_two_of_them() {
    assert_eq!((median([3.0, 1.0, 2.0]), median([4.0, 1.0, 3.0, 2.0])), (2.0, 2.5));
}

#[test]
fn an_estimate_is_printed_with_its_interval() {
    let ratios = [1.031, 1.08, 1.049, 1.05, 1.07, 1.06, 1.046, 1.02, 1.052];
    assert_eq!(Estimate::new(ratios).to_string(), "1.05 (1.03–1.07)");
}

#[test]
fn a_goal_is_decided_by_the_whole_interval() {
    let Estimate { median, low, high } = estimate(9);
    assert_eq!((median, low, high), (5.0, 2.0, 8.0));
    for (goal, result) in
        [(8.0, "met"), (7.996, "met"), (7.9, "not decided"), (2.0, "not decided"), (1.9, "missed")]
    {
        assert_eq!(estimate(9).compare(goal), result, "{goal}");
    }
}

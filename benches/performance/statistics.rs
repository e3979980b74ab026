//! The median of the rounds, with a confidence interval.

use std::fmt;

/// The smallest number of rounds. With fewer, not even the interval from the smallest to the largest value has a
/// confidence of 95 %.
pub const MIN_ROUNDS: usize = 6;

/// The median of some values, and an interval that contains the true median with a confidence of at least 95 %.
///
/// The interval extends from the k-th smallest to the k-th largest value. It assumes nothing about the distribution of
/// the values: how many of them are below the true median is binomial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// The estimate from at least [`MIN_ROUNDS`] values.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let k = rank(values.len());
        Self { median: middle(&values), low: values[k - 1], high: values[values.len() - k] }
    }

    /// Whether the true median is at most `goal`: `met`, `missed`, or `not decided` if the interval contains the goal.
    /// The interval is rounded to two digits, as it is printed.
    pub fn compare(&self, goal: f64) -> &'static str {
        let hundredths = |value: f64| (value * 100.0).round();
        if hundredths(self.high) <= hundredths(goal) {
            "met"
        } else if hundredths(self.low) > hundredths(goal) {
            "missed"
        } else {
            "not decided"
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    middle(&sorted(values))
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

fn middle(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// The largest k for which the true median is outside of the interval with a probability of at most 5 %. The median
/// is below the interval if fewer than k of the values are below the median. Each side of the interval may have 2.5 %.
fn rank(values: usize) -> usize {
    let mut k = 0;
    let mut exactly_k_below = 0.5_f64.powf(values as f64);
    let mut at_most_k_below = exactly_k_below;
    while at_most_k_below <= 0.025 {
        exactly_k_below *= (values - k) as f64 / (k + 1) as f64;
        at_most_k_below += exactly_k_below;
        k += 1;
    }
    k
}

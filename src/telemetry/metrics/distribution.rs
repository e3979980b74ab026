//! Values and how often each occurred. Values have three significant digits, so that percentiles are exact to half a
//! percent.

use std::collections::BTreeMap;

/// Each value up to 999 has a bucket of its own. Above that, each decade has 900 buckets.
const DECADES: u32 = 7;
const LAST: u16 = 999 + 900 * DECADES as u16;

/// A distribution of values up to 9.99 × 10⁹. A greater value is counted as this largest value. There are at most
/// 7,300 distinct values (80 kB), however many are added.
#[derive(Debug, Clone, Default)]
pub(super) struct Distribution(BTreeMap<u16, u32>);

impl Distribution {
    pub(super) fn add(&mut self, value: u64) {
        self.count(bucket(value), 1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(bucket, count)| self.count(*bucket, *count));
    }

    fn count(&mut self, bucket: u16, times: u32) {
        let count = self.0.entry(bucket).or_default();
        *count = count.saturating_add(times);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each value that occurred, in ascending order, and how often it occurred.
    pub(super) fn values(&self) -> impl Iterator<Item = (u64, u32)> {
        self.0.iter().map(|(bucket, count)| (value(*bucket), *count))
    }
}

fn bucket(value: u64) -> u16 {
    let decade = value.checked_ilog10().unwrap_or_default().saturating_sub(2);
    let unit = 10_u64.pow(decade);
    // If this is rounded up to 1,000 units, it is the first bucket of the next decade.
    let digits = value.saturating_add(unit / 2) / unit;
    (u64::from(decade) * 900 + digits).min(LAST.into()) as u16
}

fn value(bucket: u16) -> u64 {
    let decade = bucket.saturating_sub(100) / 900;
    u64::from(bucket - decade * 900) * 10_u64.pow(decade.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_recorded_to_three_digits() {
        let edges = [0, 1, 9, 99, 100, 999, 1_000, 1_001, 1_004, 9_994, 9_995, 99_949, 99_950, 123_456];
        let random =
            std::iter::repeat_with(|| 10_u64.pow(fastrand::u32(0..9)) * fastrand::u64(100..1_000) / 99);
        for number in edges.into_iter().chain(random.take(10_000)).filter(|number| *number < 9_990_000_000) {
            let recorded = value(bucket(number));
            assert!(recorded.abs_diff(number) * 200 <= number, "{number} is recorded as {recorded}");
            assert!(number >= 1_000 || recorded == number, "{number} is recorded as {recorded}");
            assert_eq!(value(bucket(recorded)), recorded);
        }
    }

    #[test]
    fn too_large_values_count_as_the_largest_and_the_number_of_distinct_values_is_bounded() {
        for number in [9_990_000_000, 99_900_000_000, u64::MAX] {
            assert_eq!(value(bucket(number)), 9_990_000_000);
        }
        let mut all = Distribution::default();
        (0..20_000_000_000).step_by(999_983).chain(0..100_000).for_each(|number| all.add(number));
        assert!(all.values().count() <= 7_300);
    }
}

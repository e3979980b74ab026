//! What was recorded within a minute: one cell for each combination of labels, so that recording is an increment and
//! memory is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use strum::VariantArray;

use super::catalogue::{Dimension, Kind, Metric};
use super::distribution::Distribution;

/// The metrics of one minute. They need little memory: at most 66 distributions of 80 kB; in practice about ten of a
/// few kB.
#[derive(Debug)]
pub struct Period {
    /// When its first value was recorded.
    pub began: SystemTime,
    pub(super) is_empty: bool,
    /// The number of `MetricDatum` values of this period that CloudWatch has accepted or refused for good, and that
    /// must not be sent again. If it is not zero, nothing more is recorded in this period.
    pub sent: usize,
    /// The version of the function, if it is known.
    pub(super) function_version: Option<Arc<str>>,
    /// For each metric, one cell for each combination of the values of its dimensions. The last dimension varies
    /// fastest.
    cells: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
enum Cell {
    Count(u64),
    Values(Distribution),
}

/// The data of a metric under one combination of dimensions.
#[derive(Debug)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// Name and value of each dimension.
    pub dimensions: Vec<(&'static str, Arc<str>)>,
    /// What was recorded.
    pub data: SeriesData,
}

/// What was recorded of a series.
#[derive(Debug)]
pub enum SeriesData {
    /// The sum of the counts.
    Count(f64),
    /// The values in ascending order, in seconds or as plain numbers, and how often each occurred.
    Values(Vec<(f64, u32)>),
}

impl Period {
    pub(super) fn new(began: SystemTime) -> Self {
        let cells = Metric::VARIANTS.iter().map(|metric| {
            let sizes = metric.dimensions().iter().map(|dimension| dimension.size());
            vec![Cell::empty(*metric); sizes.product()]
        });
        Self { began, is_empty: true, sent: 0, function_version: None, cells: cells.collect() }
    }

    /// Adds to a count, or adds a value. `labels` are the indexes of the values of [`Metric::dimensions`].
    pub(super) fn record<const N: usize>(&mut self, metric: Metric, labels: [usize; N], value: u64) {
        let dimensions = metric.dimensions().iter().zip(labels);
        let index = dimensions.fold(0, |index, (dimension, label)| index * dimension.size() + label);
        match self.cells.get_mut(metric as usize).and_then(|cells| cells.get_mut(index)) {
            Some(Cell::Count(count)) => *count = count.saturating_add(value),
            Some(Cell::Values(values)) => values.add(value),
            None => return,
        }
        self.is_empty = false;
    }

    /// Adds the values of another period. `began` does not change.
    pub(super) fn merge(&mut self, other: &Self) {
        for (cell, others) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            cell.merge(others);
        }
        self.is_empty &= other.is_empty;
    }

    /// All series of this period that are sent, including the sums over dimensions.
    pub fn series(&self) -> Vec<Series> {
        let mut all = Vec::new();
        for (&metric, cells) in Metric::VARIANTS.iter().zip(&self.cells) {
            for set in metric.dimension_sets() {
                all.extend(self.summed(metric, set, cells));
            }
        }
        all
    }

    /// The series of a metric: its cells, summed over the dimensions that are not in `set`.
    fn summed(&self, metric: Metric, set: &[Dimension], cells: &[Cell]) -> Vec<Series> {
        let mut sums = BTreeMap::new();
        for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let labels = labels(metric, index);
            let value = |dimension: &Dimension| match dimension {
                Dimension::FunctionVersion => self.function_version.clone(),
                _ => labels.iter().find(|(known, _)| known == dimension).map(|(_, value)| (*value).into()),
            };
            let labels: Option<Vec<_>> =
                set.iter().map(|dimension| Some((dimension.name(), value(dimension)?))).collect();
            let Some(labels) = labels else { continue };
            sums.entry(labels).or_insert_with(|| Cell::empty(metric)).merge(cell);
        }
        let sums = sums.into_iter();
        sums.map(|(dimensions, cell)| Series { metric, dimensions, data: cell.data(metric) }).collect()
    }
}

impl Cell {
    fn empty(metric: Metric) -> Self {
        match metric.kind() {
            Kind::Count | Kind::Flag => Self::Count(0),
            Kind::Values { .. } => Self::Values(Distribution::default()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Count(count) => *count == 0,
            Self::Values(values) => values.is_empty(),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(others)) => *count = count.saturating_add(*others),
            (Self::Values(values), Self::Values(others)) => values.merge(others),
            // Cells of the same metric have the same kind.
            (Self::Count(_), Self::Values(_)) | (Self::Values(_), Self::Count(_)) => {}
        }
    }

    fn data(&self, metric: Metric) -> SeriesData {
        match (self, metric.kind()) {
            (Self::Values(values), Kind::Values { per_second }) => {
                let units = per_second.map_or(1.0, f64::from);
                SeriesData::Values(
                    values.values().map(|(value, count)| (value as f64 / units, count)).collect(),
                )
            }
            (Self::Count(count), Kind::Flag) => SeriesData::Count((*count).min(1) as f64),
            (Self::Count(count), _) => SeriesData::Count(*count as f64),
            (Self::Values(_), _) => SeriesData::Values(Vec::new()),
        }
    }
}

/// The labels of a cell: the inverse of [`Period::record`].
fn labels(metric: Metric, mut index: usize) -> Vec<(Dimension, &'static str)> {
    let mut labels = Vec::new();
    for dimension in metric.dimensions().iter().rev() {
        labels.push((*dimension, dimension.values()[index % dimension.size()]));
        index /= dimension.size();
    }
    labels.reverse();
    labels
}

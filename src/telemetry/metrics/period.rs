//! What was recorded within a minute: one cell for each combination of labels, so that recording is an
//! increment and memory is bounded.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::catalogue::{Dimension, Kind, Metric};
use super::distribution::Distribution;

/// At most 45 distributions of 80 kB; a function at work has about ten of some kB.
#[derive(Debug)]
pub(super) struct Period {
    /// When its first value was recorded.
    pub(super) began: SystemTime,
    pub(super) is_empty: bool,
    /// So many of its data are sent, and not to be sent again: from then on it stays as it is.
    pub(super) sent: usize,
    /// For each metric a cell for each combination of its dimensions' values, the last dimension's first.
    cells: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
enum Cell {
    Count(u64),
    Values(Distribution),
}

/// What is sent of a metric under one combination of dimensions.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: Metric,
    /// Name and value.
    pub(super) dimensions: Vec<(&'static str, &'static str)>,
    pub(super) data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    Count(f64),
    /// Values in seconds or as plain numbers, in rising order, and how often each occurred.
    Values(Vec<(f64, u32)>),
}

impl Period {
    pub(super) fn new(began: SystemTime) -> Self {
        let cells = Metric::ALL.map(|metric| {
            let sizes = metric.dimensions().iter().map(|dimension| dimension.size());
            vec![Cell::empty(metric); sizes.product()]
        });
        Self { began, is_empty: true, sent: 0, cells: cells.into() }
    }

    /// Counts so many, or adds the value, under the labels at these places of the finest dimensions' values.
    pub(super) fn record<const N: usize>(&mut self, metric: Metric, labels: [usize; N], value: u64) {
        let dimensions = metric.dimensions().iter().zip(labels);
        let place = dimensions.fold(0, |place, (dimension, label)| place * dimension.size() + label);
        match self.cells.get_mut(metric as usize).and_then(|cells| cells.get_mut(place)) {
            Some(Cell::Count(count)) => *count = count.saturating_add(value),
            Some(Cell::Values(values)) => values.add(value),
            None => return,
        }
        self.is_empty = false;
    }

    /// Takes another period's values in; the beginning stays.
    pub(super) fn merge(&mut self, other: &Self) {
        for (cell, others) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            cell.merge(others);
        }
        self.is_empty &= other.is_empty;
    }

    /// All that there is to send, sums over dimensions included.
    pub(super) fn series(&self) -> Vec<Series> {
        let mut all = Vec::new();
        for (metric, cells) in Metric::ALL.into_iter().zip(&self.cells) {
            for set in metric.dimension_sets() {
                all.extend(series(metric, set, cells));
            }
        }
        all
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
            // Cells of the same metric are of the same kind.
            (Self::Count(_), Self::Values(_)) | (Self::Values(_), Self::Count(_)) => {}
        }
    }

    fn data(&self, metric: Metric) -> Data {
        match (self, metric.kind()) {
            (Self::Values(values), Kind::Values { a_second }) => {
                let units = a_second.map_or(1.0, f64::from);
                Data::Values(values.values().map(|(value, count)| (value as f64 / units, count)).collect())
            }
            (Self::Count(count), Kind::Flag) => Data::Count((*count).min(1) as f64),
            (Self::Count(count), _) => Data::Count(*count as f64),
            (Self::Values(_), _) => Data::Values(Vec::new()),
        }
    }
}

/// The cells of a metric, summed over the dimensions that are not in the set.
fn series(metric: Metric, set: &[Dimension], cells: &[Cell]) -> Vec<Series> {
    let mut sums = BTreeMap::new();
    for (place, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
        let mut labels = labels(metric, place);
        labels.retain(|(dimension, _)| set.contains(dimension));
        let labels: Vec<_> = labels.into_iter().map(|(dimension, value)| (dimension.name(), value)).collect();
        sums.entry(labels).or_insert_with(|| Cell::empty(metric)).merge(cell);
    }
    let sums = sums.into_iter();
    sums.map(|(dimensions, cell)| Series { metric, dimensions, data: cell.data(metric) }).collect()
}

/// The labels of a cell: [`Period::record`] the other way round.
fn labels(metric: Metric, mut place: usize) -> Vec<(Dimension, &'static str)> {
    let mut labels = Vec::new();
    for dimension in metric.dimensions().iter().rev() {
        labels.push((*dimension, dimension.values()[place % dimension.size()]));
        place /= dimension.size();
    }
    labels.reverse();
    labels
}

//! A sample event with its expected results, read from files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;
use crate::hold::{Hold, HoldRefused};
use crate::reservations::Status;
use crate::seats::SeatState;
use crate::services::Services;

/// A sample event with its expected results.
#[derive(Clone, Debug)]
pub struct Case {
    /// The path of the event file.
    pub file: PathBuf,
    /// The content of the file: an SQS event, as Lambda sends it to the function.
    pub event: Value,
    /// The state of the services before the event.
    pub given: Given,
    pub(super) records: Vec<ExpectedRecord>,
    /// By reservation id.
    pub(super) after: BTreeMap<String, FinalState>,
}

/// The state of the services before an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    pub(super) holds: Vec<Hold>,
    /// Statuses that differ from `HOLD`, by reservation id. The seats are still in `HOLD`.
    pub(super) statuses: BTreeMap<String, Status>,
    pub(super) faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(default)]
    given: Given,
    /// In the order of the batch.
    records: Vec<ExpectedRecord>,
    /// By reservation id.
    #[serde(default)]
    after: BTreeMap<String, FinalState>,
}

/// The expected results of one record in the batch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedRecord {
    /// Copied from the event.
    #[serde(skip)]
    pub(super) message_id: String,
    pub(super) event_type: String,
    pub(super) outcome: String,
    /// `None` if the record has no valid reservation id.
    pub(super) reservation_id: Option<String>,
    #[serde(default)]
    pub(super) calls: Vec<String>,
}

/// The state of a reservation and of its seats after the event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FinalState {
    pub(super) status: Status,
    pub(super) seats: BTreeMap<String, SeatState>,
}

/// The reason why the cases cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read, or a file has the wrong content.
    #[error("{path}: {source}")]
    Unreadable {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the operating system or of the JSON parser.
        source: io::Error,
    },
    /// An event file and the expectations do not match.
    #[error("{0}")]
    Mismatch(String),
}

/// Reads all cases from the folder `events`, sorted by name.
///
/// # Errors
///
/// A file cannot be read, an event has no expectation, or an expectation has no event.
pub fn load(events: &Path) -> Result<Vec<Case>, LoadError> {
    let path = events.join("expected/expectations.json");
    let mut expectations: BTreeMap<String, Expectation> = read(&path)?;
    let mut cases = Vec::new();
    for file in event_files(events)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let Some(expectation) = expectations.remove(name.as_ref()) else {
            return Err(LoadError::Mismatch(format!("{}: no expectation for `{name}`", path.display())));
        };
        cases.push(Case::new(&file, expectation)?);
    }
    match expectations.into_keys().next() {
        Some(name) => Err(LoadError::Mismatch(format!("{}: no event file for `{name}`", path.display()))),
        None => Ok(cases),
    }
}

fn event_files(events: &Path) -> Result<BTreeSet<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: events.to_owned(), source };
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(events).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.insert(path);
        }
    }
    Ok(files)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, LoadError> {
    fs::read(path)
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
        .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}

impl Case {
    fn new(file: &Path, expectation: Expectation) -> Result<Self, LoadError> {
        let event: Value = read(file)?;
        let Expectation { given, mut records, after } = expectation;
        let ids = event["Records"].as_array().into_iter().flatten().map(|record| &record["messageId"]);
        let ids: Vec<_> = ids.map(|id| id.as_str().unwrap_or_default().to_owned()).collect();
        if ids.len() != records.len() {
            let (actual, expected) = (ids.len(), records.len());
            let file = file.display();
            return Err(LoadError::Mismatch(format!(
                "{file}: the event has {actual} records, {expected} are expected"
            )));
        }
        for (record, message_id) in records.iter_mut().zip(ids) {
            record.message_id = message_id;
        }
        Ok(Case { file: file.to_owned(), event, given, records, after })
    }

    /// The number of records in the batch.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The name of the event file without `.json`.
    pub fn name(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Given {
    /// The holds that exist before the event.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The faults that the services have during the event.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Creates this state in the services, and removes all faults and recorded calls that were there before.
    ///
    /// # Errors
    ///
    /// A hold exists already. Each case can be run only once per [`Services`].
    pub fn apply(&self, services: &Services) -> Result<(), HoldRefused> {
        services.clear_faults();
        self.add(services)?;
        services.take_calls();
        Ok(())
    }

    /// Creates this state in the services, besides what is there already.
    ///
    /// # Errors
    ///
    /// A hold exists already.
    pub fn add(&self, services: &Services) -> Result<(), HoldRefused> {
        for hold in &self.holds {
            services.create_hold(hold.clone())?;
        }
        for (reservation_id, status) in &self.statuses {
            services.set_reservation_status(reservation_id, *status);
        }
        for fault in &self.faults {
            services.fault(fault.clone());
        }
        Ok(())
    }
}

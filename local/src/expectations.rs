//! The sample events, and what is to come of each: `events/*.json` and `events/expected/expectations.json`.
//!
//! The demo holds the function to them under `cargo lambda`, the tests under a plain Runtime API.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;
use crate::reservations::Status;
use crate::seats::SeatState;
use crate::services::{Hold, HoldRefused, Services};

mod check;

pub use check::{Checked, Row, Summary};

/// One file of `events/` with its expectation.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file.
    pub file: PathBuf,
    /// What is in it: an SQS event as Lambda hands it to the function.
    pub event: Value,
    /// How things stand before it.
    pub given: Given,
    records: Vec<Record>,
    after: BTreeMap<String, After>,
}

/// How things stand before the event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    holds: Vec<Hold>,
    /// Statuses that reservations have moved to; the seats have not followed.
    statuses: BTreeMap<String, Status>,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(default)]
    given: Given,
    /// In the order of the batch.
    records: Vec<Record>,
    /// By reservation.
    #[serde(default)]
    after: BTreeMap<String, After>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Filled in from the event.
    #[serde(skip)]
    message_id: String,
    event_type: String,
    outcome: String,
    /// Absent where the record does not say which, or says it badly.
    reservation_id: Option<String>,
    #[serde(default)]
    calls: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    status: Status,
    seats: BTreeMap<String, SeatState>,
}

/// Why the cases cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or a folder cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Event and expectation do not belong together.
    #[error("{0}")]
    Mismatch(String),
}

/// Reads every case of the folder `events`, in the order of their names.
///
/// # Errors
///
/// A file is not what it should be, an event has no expectation, or an expectation no event.
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
            let (has, expected) = (ids.len(), records.len());
            let file = file.display();
            return Err(LoadError::Mismatch(format!("{file}: has {has} records, {expected} are expected")));
        }
        for (record, message_id) in records.iter_mut().zip(ids) {
            record.message_id = message_id;
        }
        Ok(Case { file: file.to_owned(), event, given, records, after })
    }

    /// How many records the batch has.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The file's name without `.json`.
    pub fn name(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Given {
    /// Brings the services to where the event finds them, without a trace in their record of calls.
    ///
    /// # Errors
    ///
    /// A hold is there already: each case can be played once.
    pub fn apply(&self, services: &Services) -> Result<(), HoldRefused> {
        services.clear_faults();
        for hold in &self.holds {
            services.create_hold(hold.clone())?;
        }
        for (reservation_id, status) in &self.statuses {
            services.set_reservation_status(reservation_id, *status);
        }
        for fault in &self.faults {
            services.fault(fault.clone());
        }
        services.take_calls();
        Ok(())
    }
}

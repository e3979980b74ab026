//! Counts what happens in the seeds, by the lines of their traces.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};

use reservation_worker::reason::Reason;
use strum::VariantArray;

use crate::events::{Carrier, Form};

/// How often something has happened.
pub struct Count {
    /// Counts of the same sort: `occurrences`, `events` or `reason codes`.
    pub group: &'static str,
    pub name: String,
    /// The text that identifies its lines.
    text: String,
    lines: AtomicU64,
}

/// Each with the text that identifies its trace lines.
const OCCURRENCES: [(&str, &str); 33] = [
    ("messages", " is sent: "),
    ("duplicates", " is duplicated"),
    ("invocations", " gets "),
    ("invocations killed", " is killed"),
    ("processes retired", "a process is retired"),
    ("seeds with one long outage", "the failure kind is OneOutage"),
    ("freezes after which data is dropped", "connections are forgotten DropsData"),
    ("freezes after which data is answered with RST", "connections are forgotten Resets"),
    ("periods of a faulty service", " begins: FaultyService"),
    ("periods of a slow link", " begins: SlowLink"),
    ("periods of a lossy link", " begins: LossyLink"),
    ("partitions of a link", " begins: Partition"),
    ("resets of a link", " begins: Reset"),
    ("periods of limited capacity", " begins: LimitedCapacity"),
    ("periods of a link that refuses connections", " begins: Refusal"),
    ("outages of the reservation API", " begins: Outage { service: ReservationApi"),
    ("outages of the inventory", " begins: Outage { service: Inventory"),
    ("periods of a faulty queue", " begins: FaultyQueue"),
    ("pieces of data kept by a partition", "a partition keeps data"),
    ("connections broken", "a connection breaks"),
    ("connections reset", "a connection is reset"),
    ("connections refused", "a connection is refused"),
    ("connections forgotten", "a connection is forgotten"),
    ("calls without a reply", " got hang"),
    ("calls abandoned by the caller", " got abandoned"),
    ("records succeeded", "\"success\""),
    ("records superseded", "\"superseded\""),
    ("records ignored", "\"ignored\""),
    ("records retried", "\"retried\""),
    ("records deferred", "\"deferred\""),
    ("records failed", "\"failed\""),
    ("records with an invalid payload", "\"invalid_payload\""),
    ("events with only a reservation id", ", only an id"),
];

/// Everything that is counted.
pub fn counts() -> Vec<Count> {
    let occurrences = OCCURRENCES.map(|(name, text)| ("occurrences", name.to_owned(), text.to_owned()));
    let forms = Form::all_texts().into_iter().map(|text| ("events", text.clone(), text));
    let carriers = Carrier::VARIANTS.iter().map(|carrier| format!(", trace from {carrier:?}"));
    let carriers = carriers.map(|text| ("events", text.clone(), text));
    let reasons = Reason::VARIANTS.iter().map(|reason| reason.as_str());
    let reasons = reasons.map(|code| ("reason codes", code.to_owned(), format!("\"{code}\"")));
    let counted = occurrences.into_iter().chain(forms).chain(carriers).chain(reasons);
    counted.map(|(group, name, text)| Count { group, name, text, lines: AtomicU64::new(0) }).collect()
}

impl Count {
    /// Counts the lines of a trace.
    pub fn add(&self, lines: &[String]) {
        let found = lines.iter().filter(|line| line.contains(&self.text)).count();
        self.lines.fetch_add(found as u64, Ordering::Relaxed);
    }

    pub fn is_zero(&self) -> bool {
        self.lines.load(Ordering::Relaxed) == 0
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} {}", self.lines.load(Ordering::Relaxed), self.name.trim_start_matches([',', ' ']))
    }
}

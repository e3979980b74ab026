//! Every event type is in the tests, in the sample events and in the documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reservation_worker::event::{self, EventType};
use reservation_worker::outcome::OutcomeLabel;
use reservation_worker::telemetry::metrics::Dimension;
use serde_json::Value;
use strum::VariantArray;

use crate::table::Kind;
use crate::template::handled_types;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file)
}

/// The names of the event types that need work, aliases included.
pub fn names_of_types_that_need_work() -> BTreeSet<String> {
    let names = handled_types().into_iter().filter(|(_, event_type)| Kind::of(*event_type).is_some());
    names.map(|(name, _)| name).collect()
}

#[test]
fn the_table_tests_cover_every_event_type_that_needs_work() {
    for &event_type in EventType::VARIANTS {
        let Some(kind) = Kind::of(event_type) else { continue };
        assert!(Kind::ALL.contains(&kind), "{kind:?} is missing in the list of all kinds");
        let parsed = event::parse(Some(&kind.event("r1").to_string())).unwrap();
        assert_eq!(parsed.event.event_type(), event_type, "{kind:?} has an event of another type");
    }
}

#[test]
fn every_event_type_has_a_sample_event() {
    let cases: Value = serde_json::from_str(&read("events/expected/expectations.json")).unwrap();
    let records = cases.as_object().unwrap().values().flat_map(|case| case["records"].as_array().unwrap());
    let sampled: BTreeSet<_> = records.map(|record| record["event_type"].as_str().unwrap()).collect();
    for event_type in EventType::VARIANTS {
        assert!(sampled.contains(event_type.as_str()), "no sample event has the type {event_type:?}");
    }
}

#[test]
fn the_contract_and_the_readme_name_the_event_types() {
    let (contract, readme) = (read("docs/contract.md"), read("README.md"));
    let handled = handled_types();
    let missing: Vec<_> = handled.keys().filter(|name| !contract.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/contract.md does not name the event types {missing:?}");
    let missing = names_of_types_that_need_work();
    let missing: Vec<_> = missing.iter().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "README.md does not name the event types {missing:?}");
}

#[test]
fn the_documents_of_telemetry_and_operations_include_all_labels_of_event_types() {
    let telemetry = read("docs/telemetry.md");
    let row =
        telemetry.lines().find(|line| line.starts_with("| `handler` |")).expect("the dimension handler");
    for label in Dimension::Handler.values() {
        assert!(row.contains(&format!("`{label}`")), "docs/telemetry.md: {label} is missing in {row}");
    }
    // By type (or unknown) and outcome; by outcome; by version and outcome.
    let outcomes = OutcomeLabel::VARIANTS.len();
    let metrics = (EventType::VARIANTS.len() + 1) * outcomes + 2 * outcomes;
    let sentence = format!("`worker_events_total` can be {metrics} of them");
    assert!(read("docs/operations.md").contains(&sentence), "docs/operations.md must say: {sentence}");
}

#[test]
fn every_test_that_the_guide_names_exists() {
    let guide = read("CONTRIBUTING.md");
    let names = guide.split('`').skip(1).step_by(2).filter(|code| {
        code.len() > 24 && code.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
    });
    let names: BTreeSet<_> = names.collect();
    let folders =
        ["tests", "crates", "local/tests"].map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let sources: String = folders.iter().flat_map(|folder| crate::template::sources(folder)).collect();
    let missing: Vec<_> = names.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(
        !names.is_empty() && missing.is_empty(),
        "CONTRIBUTING.md names tests that do not exist: {missing:?}"
    );
}

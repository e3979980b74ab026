//! The documents agree with the code: the tables that are generated from definitions in the code (`make docs` writes
//! them), and the events that the runbook sends.

use std::fs;
use std::path::Path;

use reservation_worker::config::variables::{self, DefaultValue};
use reservation_worker::event::EventType;
use reservation_worker::outcome::OutcomeLabel;
use reservation_worker::reason::Reason;
use reservation_worker::telemetry::metrics::Metric;
use reservation_worker_local::{Catalogue, EffectEntry, OperationEntry, Service};
use serde_json::{Value, json};
use strum::{EnumMessage, VariantArray};

use crate::test_app::{TestApp, sqs};

/// Set by `make docs`: the tables are written instead of compared.
const WRITE: &str = "WRITE_DOCS";

/// Each generated table: the file, the name in its markers, the heading and the rows.
fn tables() -> [(&'static str, &'static str, &'static str, Vec<String>); 7] {
    [
        ("configuration.md", "variables", "variable | default | meaning", variables()),
        ("telemetry.md", "outcomes", "outcome | record is | meaning", outcomes()),
        ("telemetry.md", "reasons", "reason code | meaning | advice", reasons()),
        ("telemetry.md", "metrics", "metric | unit | dimensions | meaning", metrics()),
        ("architecture.md", "event types", "event type | meaning", event_types()),
        ("local.md", "operations", "operation | service | request", operations()),
        ("local.md", "effects", "example of `effect` | service | meaning", effects()),
    ]
}

fn variables() -> Vec<String> {
    let rows = variables::ALL.iter().map(|variable| {
        let default = match variable.default {
            DefaultValue::Required => "required".to_owned(),
            DefaultValue::Value(value) => format!("`{value}`"),
            DefaultValue::Absent(instead) => instead.to_owned(),
        };
        format!("`{}` | {default} | {}", variable.name, variable.meaning)
    });
    rows.collect()
}

fn outcomes() -> Vec<String> {
    let rows = OutcomeLabel::VARIANTS.iter().map(|label| {
        let fate = if label.is_acknowledged() { "acknowledged" } else { "returned" };
        format!("`{}` | {fate} | {}", label.as_str(), meaning(label))
    });
    rows.collect()
}

fn reasons() -> Vec<String> {
    let rows = Reason::VARIANTS
        .iter()
        .map(|reason| format!("`{}` | {} | {}", reason.as_str(), meaning(reason), reason.advice()));
    rows.collect()
}

fn metrics() -> Vec<String> {
    let rows = Metric::VARIANTS.iter().map(|metric| {
        let unit = if metric.is_in_seconds() { "seconds" } else { "count" };
        let sets = metric.dimension_sets().iter().map(|set| {
            let names: Vec<_> = set.iter().map(|dimension| format!("`{}`", dimension.name())).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        });
        let sets: Vec<_> = sets.collect();
        format!("`{}` | {unit} | {} | {}", metric.name(), sets.join("; "), meaning(metric))
    });
    rows.collect()
}

fn event_types() -> Vec<String> {
    let rows = EventType::VARIANTS
        .iter()
        .map(|event_type| format!("`{}` | {}", event_type.as_str(), meaning(event_type)));
    rows.collect()
}

fn operations() -> Vec<String> {
    let rows = Catalogue::new(Vec::new()).operations.into_iter().map(|entry| {
        let OperationEntry { operation, service, request } = entry;
        format!("`{}` | {} | {request}", operation.name(), service_name(service))
    });
    rows.collect()
}

fn effects() -> Vec<String> {
    let rows = Catalogue::new(Vec::new()).effects.into_iter().map(|entry| {
        let EffectEntry { example, services, meaning } = entry;
        let services: Vec<_> = services.into_iter().map(service_name).collect();
        format!("`{}` | {} | {meaning}", serde_json::to_string(&example).unwrap(), services.join(", "))
    });
    rows.collect()
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::ReservationApi => "reservation API",
        Service::Inventory => "inventory",
    }
}

/// The documentation of a variant, on one line.
fn meaning(variant: &impl EnumMessage) -> String {
    let documentation = variant.get_documentation().expect("every variant is documented");
    documentation.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_generated_tables_of_the_documents_are_up_to_date() {
    for (file, name, heading, rows) in tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end generated -->");
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
        let (written, after) = rest.split_once(end).unwrap_or_else(|| panic!("{file}: no {end}"));
        let rule = "|---".repeat(heading.matches('|').count() + 1);
        let rows: String = rows.iter().map(|row| format!("| {row} |\n")).collect();
        let table = format!("| {heading} |\n{rule}|\n{rows}");
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        } else {
            assert_eq!(written, table, "the table of {name} in docs/{file} is stale: run `make docs`");
        }
    }
}

/// The entries of each command `put-events` of the runbook. The command reads a file, which a here-document before it
/// writes.
fn entries_of_the_runbook() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let runbook = fs::read_to_string(path).unwrap();
    let commands = runbook.match_indices("aws events put-events ");
    let entries = commands.flat_map(|(start, _)| {
        let (before, command) = runbook.split_at(start);
        let (_, file) = command.split_once("file://").expect("the entries are in a file");
        let file = file.split_whitespace().next().unwrap();
        let (_, document) = before.rsplit_once(&format!("cat > {file} <<END\n")).expect(file);
        let (document, _) = document.split_once("\nEND\n").unwrap();
        serde_json::from_str::<Vec<Value>>(document).expect(document)
    });
    entries.collect()
}

#[tokio::test]
async fn the_events_that_the_runbook_sends_need_no_work() {
    let entries = entries_of_the_runbook();
    assert!(!entries.is_empty());
    for entry in entries {
        let text = |name: &str| entry[name].as_str().unwrap();
        let detail: Value = serde_json::from_str(text("Detail")).unwrap();
        let body = json!({ "detail-type": text("DetailType"), "source": text("Source"), "detail": detail });
        let app = TestApp::new().await;
        let run = app.run(sqs([("m1", body)])).await;
        assert_eq!(run.outcome("m1"), "ignored", "{}", run.text);
        // The query of the runbook finds the event by its reservation.
        assert_eq!(run.line("m1")["reservation_id"], detail["reservation_id"], "{}", run.text);
        assert_eq!(run.returned(), [""; 0]);
        assert_eq!(app.services.calls(), []);
    }
}

//! `template.yaml` agrees with the worker on variables and their defaults, metrics, outcomes and event types.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reservation_worker::call::Service;
use reservation_worker::config::Config;
use reservation_worker::event::{self, EventType};
use reservation_worker::outcome::OutcomeLabel;
use reservation_worker::reason::Reason;
use reservation_worker::telemetry::metrics::Metric;
use serde_json::{Value, json};
use strum::VariantArray;
use yaml_rust2::{Yaml, YamlLoader};

/// Variables that the template does not set, each with the reason.
const NOT_SET: [(&str, &str); 3] = [
    ("AWS_LAMBDA_LOG_LEVEL", "Lambda sets it from LoggingConfig"),
    ("AWS_XRAY_DAEMON_ADDRESS", "Lambda sets it"),
    (
        "RESERVATION_API_TOKEN",
        "everyone who can read the stack could read the token; it belongs in the secret",
    ),
];

/// Event types that the worker handles and that no rule forwards, each with the reason.
const NOT_FORWARDED: [(&str, &str); 3] = [
    ("reservation.hold.created", "it needs no work, and each delivery would cost"),
    ("reservation.created", "it needs no work, and each delivery would cost"),
    ("reservation.confirmed", "it needs no work, and each delivery would cost"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn template() -> Yaml {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    YamlLoader::load_from_str(&text).unwrap().remove(0)
}

/// The variables of the function, each with its value or with the name of the parameter or resource that it
/// refers to.
fn variables(template: &Yaml) -> BTreeMap<String, &Yaml> {
    let variables = &template["Resources"]["Worker"]["Properties"]["Environment"]["Variables"];
    let variables = variables.as_hash().expect("the function has variables");
    variables.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), value)).collect()
}

fn text(yaml: &Yaml) -> Option<String> {
    yaml.as_str().map(str::to_owned).or_else(|| yaml.as_i64().map(|number| number.to_string()))
}

#[tokio::test]
async fn the_template_sets_exactly_the_variables_that_the_worker_reads() {
    let read = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        read.borrow_mut().insert(name.to_owned());
        None
    };
    Config::from_sources(lookup, async |_| Ok("{}".to_owned())).await.unwrap_err();

    let template = template();
    let mut set: BTreeSet<_> = variables(&template).into_keys().collect();
    let mut read = read.into_inner();
    for (name, reason) in NOT_SET {
        assert!(!set.contains(name), "{name} must not be set: {reason}");
        read.remove(name);
    }
    set.retain(|name| !name.starts_with("AWS_"));
    assert_eq!(set, read);
}

#[test]
fn the_defaults_of_the_parameters_are_the_defaults_of_the_variables() {
    let template = template();
    let services = [("INVENTORY_GRPC_ADDR", "inventory:1"), ("RESERVATION_API_BASE", "http://reservations")];
    let services = BTreeMap::from(services.map(|(name, value)| (name, value.to_owned())));
    let mut deployed = services.clone();
    let variables = variables(&template);
    for (name, value) in &variables {
        let default =
            value.as_str().and_then(|parameter| text(&template["Parameters"][parameter]["Default"]));
        if let Some(default) = default.filter(|default| !default.is_empty()) {
            deployed.insert(name, default);
        }
    }
    assert!(deployed.len() > 12, "too few defaults found: {deployed:?}");

    let read = |variables: &BTreeMap<&str, String>| {
        format!("{:?}", Config::from_lookup(|name| variables.get(name).cloned()).unwrap())
    };
    assert_eq!(read(&deployed), read(&services));
}

/// The tests in `tests/template` compare every alarm and widget with this list.
#[test]
fn the_list_of_metrics_for_the_template_tests_matches_the_metrics_that_the_worker_emits() {
    let listed: Value = serde_json::from_str(include_str!("../template/metrics.json")).unwrap();
    let emitted = Metric::VARIANTS.iter().map(|metric| {
        let sets = metric.dimension_sets().iter();
        let sets = sets.map(|set| set.iter().map(|dimension| dimension.name()).collect::<Vec<_>>());
        (metric.name(), json!(sets.collect::<Vec<_>>()))
    });
    assert_eq!(listed, json!(emitted.collect::<BTreeMap<_, _>>()));
}

#[test]
fn the_error_rate_counts_each_outcome_once() {
    let template = template();
    let metrics = &template["Resources"]["ErrorRateAlarm"]["Properties"]["Metrics"];
    let dimensions = metrics.as_vec().unwrap().iter().map(|part| &part["MetricStat"]["Metric"]["Dimensions"]);
    let mut counted: Vec<_> = dimensions.filter_map(|dimensions| dimensions[0]["Value"].as_str()).collect();
    counted.sort_unstable();
    let mut outcomes = OutcomeLabel::VARIANTS.iter().map(|label| label.as_str()).collect::<Vec<_>>();
    outcomes.sort_unstable();
    assert_eq!(counted, outcomes);
}

#[test]
fn the_duration_alarm_reads_the_breaker_of_each_service() {
    let template = template();
    let metrics = &template["Resources"]["DurationAlarm"]["Properties"]["Metrics"];
    let metrics = metrics.as_vec().unwrap().iter().map(|part| &part["MetricStat"]["Metric"]);
    let breakers = metrics.filter(|metric| metric["MetricName"].as_str() == Some(Metric::BreakerOpen.name()));
    let read: Vec<_> = breakers.filter_map(|metric| metric["Dimensions"][0]["Value"].as_str()).collect();
    assert_eq!(read, Service::VARIANTS.iter().map(|service| service.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_event_rules_forward_exactly_the_event_types_that_the_worker_handles_and_that_have_no_exception() {
    let template = template();
    let (forwarded, handled) = (forwarded_types(&template), handled_types());
    let mut problems = Vec::new();
    let excepted = BTreeMap::from(NOT_FORWARDED);
    for name in handled.keys().filter(|name| !forwarded.contains_key(*name)) {
        if !excepted.contains_key(name.as_str()) {
            problems.push(format!("no rule forwards the event type {name:?}, which the worker handles"));
        }
    }
    for (name, reason) in excepted {
        if let Some(rule) = forwarded.get(name) {
            problems.push(format!("{rule} forwards the event type {name:?}, although {reason}"));
        }
        if !handled.contains_key(name) {
            problems
                .push(format!("the worker does not handle the event type {name:?}, which no rule forwards"));
        }
    }
    for (name, rule) in forwarded.iter().filter(|(name, _)| parsed_type("detail-type", name).is_none()) {
        problems.push(format!("{rule} forwards the event type {name:?}, which the worker does not handle"));
    }
    for &event_type in EventType::VARIANTS {
        if !handled.values().any(|handled| *handled == event_type) {
            problems.push(format!("no name of {event_type:?} was found in the sources of the worker"));
        }
    }
    assert!(problems.is_empty(), "template.yaml: {}", problems.join("; "));
}

#[test]
fn the_catch_all_rule_keeps_exactly_the_event_types_that_the_worker_does_not_handle() {
    let template = template();
    let pattern = &template["Resources"]["UnmatchedEvents"]["Properties"]["EventPattern"];
    let excluded = pattern["detail-type"][0]["anything-but"].as_vec().unwrap();
    let excluded: BTreeSet<_> = excluded.iter().map(|name| name.as_str().unwrap()).collect();
    let handled = handled_types();
    let by_detail_type = handled.keys().filter(|name| parsed_type("detail-type", name).is_some());
    assert_eq!(excluded, by_detail_type.map(String::as_str).collect());
}

#[test]
fn the_alarm_misconfigured_counts_each_reason_that_is_a_misconfiguration() {
    let template = template();
    let metrics = template["Resources"]["MisconfiguredAlarm"]["Properties"]["Metrics"].as_vec().unwrap();
    let dimensions = metrics.iter().map(|part| &part["MetricStat"]["Metric"]["Dimensions"]);
    let counted: Vec<_> = dimensions.filter_map(|dimensions| dimensions[0]["Value"].as_str()).collect();
    let reasons = Reason::VARIANTS.iter().filter(|reason| reason.is_misconfiguration());
    assert_eq!(counted, reasons.map(|reason| reason.as_str()).collect::<Vec<_>>());
}

/// The event types that the rules of the template forward to the worker, each with the logical name of its rule.
fn forwarded_types(template: &Yaml) -> BTreeMap<String, String> {
    let resources = template["Resources"].as_hash().expect("the template has resources");
    let rules = resources.iter().filter(|(name, resource)| {
        resource["Type"].as_str() == Some("AWS::Events::Rule") && name.as_str() != Some("UnmatchedEvents")
    });
    let types = rules.flat_map(|(rule, resource)| {
        let rule = rule.as_str().unwrap();
        let types = resource["Properties"]["EventPattern"]["detail-type"].as_vec();
        let types = types.unwrap_or_else(|| panic!("{rule} does not match by a list of types")).iter();
        types.map(move |name| (name.as_str().expect("a type is a string").to_owned(), rule.to_owned()))
    });
    types.collect()
}

/// The names of event types that the worker's parser accepts, including aliases.
///
/// The parser cannot list the names, so this passes it every string literal in the sources: every text
/// between two consecutive quotation marks. Some of these texts are not literals, but the parser rejects
/// them.
pub fn handled_types() -> BTreeMap<String, EventType> {
    let sources = sources(&root().join("src"));
    let literals: BTreeSet<_> = sources.iter().flat_map(|source| source.split('"')).collect();
    let handled = |name: &str| parsed_type("detail-type", name).or_else(|| parsed_type("type", name));
    literals.into_iter().filter_map(|name| Some((name.to_owned(), handled(name)?))).collect()
}

/// The event type that the worker's parser reads from a body in which `field` is `name`.
fn parsed_type(field: &str, name: &str) -> Option<EventType> {
    let body = json!({ field: name, "detail": {} }).to_string();
    match event::parse(Some(&body)) {
        Ok(parsed) => Some(parsed.event.event_type()),
        Err(error) => error.event_type,
    }
}

/// The contents of all Rust files in a directory and its subdirectories.
pub fn sources(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let contents = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => vec![fs::read_to_string(path).unwrap()],
        _ => Vec::new(),
    };
    entries.flat_map(contents).collect()
}

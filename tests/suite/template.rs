//! `template.yaml` sets the variables that the configuration reads, to the defaults that it would take, and
//! watches the metrics that are sent.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use reservation_worker::config::Config;
use reservation_worker::outcome::OutcomeLabel;
use reservation_worker::telemetry::metrics::Metric;
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

/// Variables that the template does not set, and why.
const NOT_SET: [(&str, &str); 3] = [
    ("AWS_LAMBDA_LOG_LEVEL", "Lambda sets it from LoggingConfig"),
    ("AWS_XRAY_DAEMON_ADDRESS", "Lambda sets it"),
    (
        "RESERVATION_API_TOKEN",
        "a token in a template is read by all who may read the stack; the secret has it",
    ),
];

fn template() -> Yaml {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
    YamlLoader::load_from_str(&fs::read_to_string(path).unwrap()).unwrap().remove(0)
}

/// Each variable of the function with its value, or the name of the parameter or resource that it refers to.
fn variables(template: &Yaml) -> BTreeMap<String, &Yaml> {
    let set = &template["Resources"]["Worker"]["Properties"]["Environment"]["Variables"];
    let set = set.as_hash().expect("the function has variables");
    set.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), value)).collect()
}

fn text(yaml: &Yaml) -> Option<String> {
    yaml.as_str().map(str::to_owned).or_else(|| yaml.as_i64().map(|number| number.to_string()))
}

#[tokio::test]
async fn the_template_sets_the_variables_that_are_read() {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    Config::from_sources(lookup, async |_| Ok("{}".to_owned())).await.unwrap_err();

    let template = template();
    let mut told: BTreeSet<_> = variables(&template).into_keys().collect();
    let mut asked = asked.into_inner();
    for (name, reason) in NOT_SET {
        assert!(!told.contains(name), "{name}: {reason}");
        asked.remove(name);
    }
    told.retain(|name| !name.starts_with("AWS_"));
    assert_eq!(told, asked);
}

#[test]
fn what_nobody_sets_is_as_without_a_template() {
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
    assert!(deployed.len() > 12, "defaults are found: {deployed:?}");

    let read = |variables: &BTreeMap<&str, String>| {
        format!("{:?}", Config::from_lookup(|name| variables.get(name).cloned()).unwrap())
    };
    assert_eq!(read(&deployed), read(&services));
}

/// The template's own tests hold every alarm and widget to this list.
#[test]
fn alarms_and_dashboard_are_held_to_the_metrics_that_are_sent() {
    let listed: Value = serde_json::from_str(include_str!("../template/metrics.json")).unwrap();
    let sent = Metric::ALL.map(|metric| {
        let sets = metric.dimension_sets().iter();
        let sets = sets.map(|set| set.iter().map(|dimension| dimension.name()).collect::<Vec<_>>());
        (metric.name(), json!(sets.collect::<Vec<_>>()))
    });
    assert_eq!(listed, json!(BTreeMap::from(sent)));
}

#[test]
fn the_error_rate_counts_each_outcome_once() {
    let template = template();
    let metrics = &template["Resources"]["ErrorRateAlarm"]["Properties"]["Metrics"];
    let dimensions = metrics.as_vec().unwrap().iter().map(|part| &part["MetricStat"]["Metric"]["Dimensions"]);
    let mut counted: Vec<_> = dimensions.filter_map(|dimensions| dimensions[0]["Value"].as_str()).collect();
    counted.sort_unstable();
    let mut outcomes = Label::ALL.map(Label::as_str);
    outcomes.sort_unstable();
    assert_eq!(counted, outcomes);
}

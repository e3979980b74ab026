//! Tests of the command line: `services`, and arguments that are refused.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reservation_worker_local::Fault;
use reservation_worker_local::expectations;
use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reservation-worker-local"));
    command.args(arguments);
    command
}

/// The command `services`. It is killed when this value is dropped.
struct Services {
    child: Child,
    variables: BTreeMap<String, String>,
}

impl Services {
    fn start(arguments: &[&str]) -> Self {
        // The workspace's reqwest has no default TLS provider.
        _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let mut child = command(&["services"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut variables = BTreeMap::new();
        while !variables.contains_key("RESERVATION_API_BASE")
            || !variables.contains_key("INVENTORY_GRPC_ADDR")
        {
            let line = lines.next().unwrap().unwrap();
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            variables.insert(name.to_owned(), value.to_owned());
        }
        Self { child, variables }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let reply = reqwest::get(format!("{}{path}", self.variables["RESERVATION_API_BASE"])).await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn services_with_seeds_have_the_holds_and_faults_of_every_sample_event() {
    let services = Services::start(&["--seed"]);
    let cases = expectations::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")).unwrap();
    let holds: Vec<_> = cases.iter().flat_map(|case| case.given.holds()).collect();
    assert!(holds.len() > 20, "{}", holds.len());
    for hold in holds {
        let (status, reservation) =
            services.get(&format!("/internal/reservations/{}", hold.reservation_id)).await;
        // A fault makes the service reply in camelCase for one of them.
        let event_id = reservation.get("event_id").or(reservation.get("eventId"));
        assert_eq!((status, event_id), (200, Some(&Value::from(hold.event_id.clone()))), "{hold:?}");
    }
    let (_, faults) = services.get("/faults").await;
    let active: Vec<Fault> = serde_json::from_value(faults["active"].clone()).unwrap();
    assert_eq!(active, cases.iter().flat_map(|case| case.given.faults().to_vec()).collect::<Vec<_>>());
}

#[tokio::test]
async fn services_without_seeds_are_empty() {
    let services = Services::start(&[]);
    assert_eq!(services.get("/internal/reservations/rsv_01JCN4T7Q2").await.0, 404);
    assert_eq!(services.get("/faults").await.1["active"], Value::Array(Vec::new()));
}

#[test]
fn ctrl_c_ends_the_services_without_an_error() {
    let mut services = Services::start(&[]);
    let pid = services.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(services.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_usage_fits_80_columns_and_is_only_an_error_if_it_was_not_asked_for() {
    let help = command(&["--help"]).output().unwrap();
    let usage = String::from_utf8(help.stdout).unwrap();
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
    assert!(usage.starts_with("usage: reservation-worker-local COMMAND\n"), "{usage}");
    assert_eq!(usage.lines().find(|line| line.len() > 80), None);
    for arguments in [&[][..], &["nonsense"], &["local", "--console"]] {
        let error = format!("error: no such command, or its arguments are wrong\n\n{usage}");
        assert_eq!(fails_with(arguments), error);
    }
}

#[test]
fn an_unusable_argument_is_reported_in_one_line() {
    for (arguments, error) in [
        (
            ["local", "--endpoint", "nonsense"],
            "error: ENDPOINT (--endpoint) is not an http:// or https:// URL: nonsense\n",
        ),
        (
            ["local", "--fault", "{"],
            "error: FAULT (--fault) is not a fault of docs/local.md: EOF while parsing an object at line 1 column 1: {\n",
        ),
        (
            ["local", "--fault", r#"{"operation":"release-hold","effect":{"http":{"status":503}}}"#],
            "error: FAULT (--fault) is not a fault of docs/local.md: the effect `http` does not exist in the protocol \
             of the operation `release-hold`: {\"operation\":\"release-hold\",\"effect\":{\"http\":{\"status\":503}}}\n",
        ),
        (
            ["local", "--console", "nonsense"],
            "error: CONSOLE (--console) is neither `off` nor a port: nonsense\n",
        ),
    ] {
        assert_eq!(fails_with(&arguments), error);
    }
}

#[test]
fn a_number_of_events_outside_the_limits_is_refused() {
    for number in ["0", "100001", "9999999999", "99999999999999999999", "-1", "many", ""] {
        let error = format!("error: N must be a whole number from 1 to 100000, and not {number:?}\n");
        assert_eq!(fails_with(&["load", number]), error);
    }
}

#[test]
fn a_port_of_the_console_that_another_program_uses_is_refused_before_anything_is_started() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let error = fails_with(&["local", "--console", &port]);
    assert!(
        error.starts_with(&format!("error: CONSOLE (--console): the port {port} cannot be used: ")),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// What a command prints to stderr that must end with the status 1.
fn fails_with(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

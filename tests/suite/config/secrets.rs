//! Secrets that must not be shown: the token, and credentials in URLs.

use reservation_worker::telemetry::metrics::Metrics;
use reservation_worker::worker::Worker;
use reservation_worker_local::Operation;
use rustls::RootCertStore;

use super::{NON_DEFAULTS, REQUIRED, problem, read, read_exactly};
use crate::test_app::{TestApp, approved, sqs};

#[test]
fn the_token_is_never_shown() {
    for token in ["SECRET", "SECRET.with-all_kinds~of+graphic/characters=="] {
        let config = read(&[("RESERVATION_API_TOKEN", token)]).unwrap();
        assert_eq!(config.reservation_api.token.as_ref().unwrap().expose(), token);
        assert!(!format!("{config:?}").contains("SECRET"));
        assert!(!format!("{config:#?}").contains("SECRET"));
    }
}

#[tokio::test]
async fn the_debug_output_of_the_worker_does_not_show_the_token() {
    let config = read(&[("RESERVATION_API_TOKEN", "SECRET")]).unwrap();
    let worker =
        Worker::new(&config.reservation_api, &config.inventory, RootCertStore::empty(), Metrics::default())
            .unwrap();
    assert!(!format!("{worker:?}").contains("SECRET"), "{worker:?}");
}

#[test]
fn a_token_that_is_invalid_in_a_header_is_refused_and_not_shown() {
    for token in
        ["SECRET SECRET", "SECRET\nSECRET", "SECRET\r\nx-a: b", "SECRET\0", "SECRET\u{7f}", "SECRÉT SECRET"]
    {
        let problem = problem(&[("RESERVATION_API_TOKEN", token)]);
        assert!(problem.starts_with("RESERVATION_API_TOKEN=(hidden): "), "{problem}");
        assert!(!problem.contains("SEC"), "{problem}");
        let error = read(&[("RESERVATION_API_TOKEN", token)]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SEC"), "{error:?}");
    }
}

#[test]
fn a_valid_token_is_not_shown_in_the_problems_of_other_variables() {
    let error = read_exactly(&[("RESERVATION_API_TOKEN", "SECRET"), ("MAX_RETRIES", "SECRET?")]).unwrap_err();
    assert_eq!(error.problems.len(), 1 + REQUIRED.len());
    assert_eq!(error.to_string().matches("SECRET").count(), 1, "{error}");
}

#[test]
fn a_url_with_credentials_is_refused_and_not_shown() {
    let url_variables =
        NON_DEFAULTS.iter().filter(|(_, value)| value.starts_with("http")).map(|(name, _)| *name);
    let url_variables: Vec<_> = url_variables.collect();
    assert_eq!(url_variables.len(), 4, "{url_variables:?}");
    for variable in url_variables {
        for url in [
            "http://user:SECRET@host:80",
            "https://SECRET@host",
            "https://:SECRET@host",
            "https://user:SECRET@host/path?x=1",
            "ftp://user:SECRET@host",
            "http://user:SECRET@",
            "user:SECRET@host:80",
        ] {
            let problem = problem(&[(variable, url)]);
            assert!(problem.starts_with(&format!("{variable}=")), "{problem}");
            assert!(!problem.contains("SECRET"), "{problem}");
            let error = read(&[(variable, url)]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_token_is_sent_to_the_reservation_api_only() {
    for (token, sent) in [("SECRET", Some("Bearer SECRET")), ("", None)] {
        let app = TestApp::with(&[("RESERVATION_API_TOKEN", token)]).await;
        app.hold("r1");
        app.run(sqs([("m1", approved("r1"))])).await;
        let calls = app.services.calls();
        assert_eq!(calls.len(), 2);
        for call in calls {
            let expected = sent.filter(|_| call.operation == Operation::UpdateStatus);
            let found = call.headers.get("authorization").map(String::as_str);
            assert_eq!(found, expected, "{:?}", call.operation);
        }
    }
}

#[test]
fn a_token_that_is_sent_in_plain_text_to_another_host_causes_a_warning() {
    let cases = [
        ("http://api", true),
        ("http://api:8010/v1", true),
        ("http://10.0.0.7", true),
        ("http://0.0.0.0", true),
        ("http://[fd00::1]", true),
        ("http://localhost.example", true),
        ("http://localhost", false),
        ("http://LOCALHOST:8010", false),
        ("http://127.0.0.1:8010", false),
        ("http://127.1.2.3", false),
        ("http://[::1]:8010", false),
        ("https://api", false),
    ];
    for (base, warns) in cases {
        for (token, warns) in [("SECRET", warns), ("", false)] {
            let config = read(&[("RESERVATION_API_BASE", base), ("RESERVATION_API_TOKEN", token)]).unwrap();
            let warning = "RESERVATION_API_TOKEN is sent in plain text over the network, because \
                           RESERVATION_API_BASE is an http:// URL of another host. Use https://.";
            assert_eq!(config.warnings, vec![warning; usize::from(warns)], "{base} {token:?}");
        }
    }
}

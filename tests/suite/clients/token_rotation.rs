//! Contract section 7, "Token rotation": the token in the secret changes while the function runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reservation_worker::config::Config;
use reservation_worker_local::{Effect, Fault, Services};
use rustls::RootCertStore;
use serde_json::json;

use super::{ids, pay};
use crate::shifted_clock::{self, Shift};
use crate::table::{GET, Kind, PATCH, assert_never_logged, operations};
use crate::test_app::{BatchRun, TestApp, sqs};

const OLD: &str = "SECRET-old";
const NEW: &str = "SECRET-new";
const BETWEEN_READS: Duration = Duration::from_secs(30);

/// A secret that a test changes, or the reason why it cannot be read. It counts its reads.
#[derive(Clone)]
struct Secret(Arc<Mutex<(Result<String, String>, usize)>>);

impl Secret {
    fn with_token(token: &str) -> Self {
        Self(Arc::new(Mutex::new((Ok(text(token)), 0))))
    }

    fn set(&self, secret: Result<String, &str>) {
        self.0.lock().unwrap().0 = secret.map_err(str::to_owned);
    }

    /// The number of reads after the one at the start.
    fn reads_again(&self) -> usize {
        self.0.lock().unwrap().1 - 1
    }
}

fn text(token: &str) -> String {
    json!({ "reservation_api_token": token }).to_string()
}

/// An app that takes its token from the secret. The API requires the token `OLD`.
async fn app(secret: &Secret, variables: &[(&str, &str)]) -> TestApp {
    let services = Services::start().await.unwrap();
    services.require_token(OLD);
    let mut lookup = services.environment();
    let defaults = [("USE_SECRET_MANAGER", "true"), ("LOG_LEVEL", "debug")];
    let time_outs = [("RESERVATION_API_TIMEOUT_MS", "60000"), ("INVENTORY_TIMEOUT_MS", "60000")];
    let variables = [&defaults[..], &time_outs, variables].concat();
    lookup.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let secret = secret.0.clone();
    let fetch = move |_| {
        let secret = secret.clone();
        async move {
            // Concurrent records are refused meanwhile.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (text, reads) = &mut *secret.lock().unwrap();
            *reads += 1;
            text.clone()
        }
    };
    let config = Config::from_sources(|name| lookup.get(name).cloned(), fetch).await.unwrap();
    TestApp::of_config(services, config, RootCertStore::empty())
}

fn assert_refused(run: &BatchRun, id: &str) {
    let refused = ("retried", "reservation API: 401 UNAUTHENTICATED");
    assert_eq!((run.outcome(id), run.reason(id)), refused);
}

#[tokio::test]
async fn a_rotation_during_a_batch_of_100_returns_no_record_and_causes_one_read_of_the_secret() {
    let secret = Secret::with_token(OLD);
    let app = app(&secret, &[("WORKER_CONCURRENCY", "100")]).await;
    assert_eq!(pay(&app, &ids("before", 1)).await.returned(), [""; 0]);
    app.services.require_token(NEW);
    secret.set(Ok(text(NEW)));

    let run = pay(&app, &ids("during", 100)).await;

    assert_eq!(run.returned(), [""; 0]);
    assert!(!run.text.contains("breaker opened"));
    assert_never_logged(&run, "SECRET");
    assert_eq!(secret.reads_again(), 1);
    assert_eq!(operations(&app, "during0"), [PATCH, PATCH, Kind::Approved.inventory_call()]);
    assert_eq!(pay(&app, &ids("after", 1)).await.returned(), [""; 0]);
    assert_eq!(operations(&app, "after0"), [PATCH, Kind::Approved.inventory_call()]);
    assert_eq!(secret.reads_again(), 1);
}

#[tokio::test]
async fn a_read_of_a_reservation_is_repeated_with_the_new_token() {
    let secret = Secret::with_token(OLD);
    let app = app(&secret, &[]).await;
    secret.set(Ok(text(NEW)));
    app.services.fault(Fault::any(PATCH, Effect::EmptyBody));
    app.services.fault(Fault::any(GET, Effect::http(401)).times(1));
    app.hold("r1");
    let run = app.run(sqs([("m-1", Kind::Approved.event_without_facts("r1"))]));
    let rotation = async {
        // The status is updated with the old token. The first read is refused.
        while operations(&app, "r1").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.services.require_token(NEW);
    };
    let (run, ()) = tokio::join!(run, rotation);
    assert_eq!(run.outcome("m-1"), "success");
    assert_eq!(operations(&app, "r1"), [PATCH, GET, GET, Kind::Approved.inventory_call()]);
}

#[tokio::test]
async fn a_token_that_did_not_change_stays_refused_and_is_read_again_only_every_30_s() {
    for shift in Shift::all(BETWEEN_READS) {
        let secret = Secret::with_token(OLD);
        let app = app(&secret, &[]).await;
        app.services.require_token(NEW);

        assert_refused(&pay(&app, &ids("first", 1)).await, "first0");
        assert_eq!(secret.reads_again(), 1);
        secret.set(Ok(text(NEW)));
        let almost = BETWEEN_READS - Duration::from_secs(10);
        shifted_clock::advance(Shift { monotonic: almost, wall: almost });
        assert_refused(&pay(&app, &ids("second", 1)).await, "second0");
        assert_eq!(secret.reads_again(), 1);

        shifted_clock::advance(shift);
        assert_eq!(pay(&app, &ids("third", 1)).await.returned(), [""; 0], "{shift:?}");
        assert_eq!(secret.reads_again(), 2);
    }
}

#[tokio::test]
async fn if_the_secret_cannot_be_read_again_one_warning_is_logged_and_the_token_stays_refused() {
    let cases = [
        (Err("cannot be read: AccessDeniedException"), "cannot be read: AccessDeniedException"),
        (Ok("SECRET".to_owned()), "is not a JSON object"),
        (Ok("{}".to_owned()), "has no reservation_api_token"),
        (Ok(text(" ")), "has no reservation_api_token"),
        (Ok(text("SECRET SECRET")), "contains a character that is not allowed in a bearer token"),
    ];
    for (changed, reason) in cases {
        let secret = Secret::with_token(OLD);
        let app = app(&secret, &[]).await;
        app.services.require_token(NEW);
        secret.set(changed);

        let ids = ids("r", 20);
        let run = pay(&app, &ids).await;

        ids.iter().for_each(|id| assert_refused(&run, id));
        let warnings: Vec<_> = run.log.iter().filter(|line| line["reason"] == reason).collect();
        assert_eq!(warnings.len(), 1, "{reason}: {}", run.text);
        assert_eq!(warnings[0]["level"], "WARN");
        assert_eq!(warnings[0]["message"], "the token of the reservation API could not be read again");
        assert_eq!(secret.reads_again(), 1);
        assert_never_logged(&run, "SECRET");
    }
}

#[tokio::test]
async fn a_token_that_is_not_from_the_secret_is_not_read_again() {
    let secret = Secret(Arc::new(Mutex::new((Ok("{}".to_owned()), 0))));
    let app = app(&secret, &[("RESERVATION_API_TOKEN", OLD)]).await;
    app.services.require_token(NEW);
    secret.set(Ok(text(NEW)));
    assert_refused(&pay(&app, &ids("r", 1)).await, "r0");
    assert_eq!(secret.reads_again(), 0);
}

#[tokio::test]
async fn after_refusals_other_than_401_the_secret_is_not_read_again() {
    let secret = Secret::with_token(OLD);
    let app = app(&secret, &[]).await;
    for status in [400, 402, 403, 404, 407, 419] {
        let ids = [format!("r{status}")];
        app.services.fault(Fault::on(PATCH, &ids[0], Effect::http(status)));
        assert_eq!(pay(&app, &ids).await.returned(), [&ids[0]]);
    }
    assert_eq!(secret.reads_again(), 0);
}

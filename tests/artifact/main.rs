//! The artifact that is deployed, as `sam build` or `cargo lambda build` left it, under a plain Runtime API.
//! `make artifact` builds it and says where: `ARTIFACT` is the path of a `bootstrap`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Summary};
use reservation_worker_local::runtime_api::Function;

#[tokio::test]
async fn it_answers_every_sample_event_as_it_is_expected_to() {
    let bootstrap = PathBuf::from(std::env::var_os("ARTIFACT").expect("make artifact sets ARTIFACT"));
    let services = Services::start().await.unwrap();
    let mut function = Function::start(&bootstrap, services.environment()).await.unwrap();
    let cases = expectations::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("events")).unwrap();
    assert!(cases.len() >= 15, "only {} sample events", cases.len());

    for case in cases {
        case.given.apply(&services).unwrap();
        let invoked = function.invoke(&case.event, Duration::from_secs(60)).await.unwrap();
        let summaries: Vec<_> = function.take_log().iter().filter_map(Summary::of).collect();
        let checked = case.check(&services, &invoked.response.unwrap(), &summaries);
        assert_eq!(checked.differences, [""; 0], "{}", case.name());
    }
}

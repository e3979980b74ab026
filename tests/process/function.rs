//! Starts the function and prepares its reservations.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use reservation_worker_local::runtime_api::{Function, InvocationResult};
use reservation_worker_local::{Hold, Services, cargo};

/// Longer than any invocation takes.
pub const LONG: Duration = Duration::from_secs(60);

/// The path of a binary. All binaries are built once.
pub fn binary(name: &str) -> PathBuf {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    let binaries = BINARIES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        cargo::test_binaries(Path::new(env!("CARGO_MANIFEST_DIR")), target).unwrap()
    });
    binaries.join(name)
}

/// Starts the function with the addresses of these services and with these variables.
pub async fn start(services: &Services, more: &[(&str, &str)]) -> Function {
    start_binary("reservation-worker", services, more).await
}

/// Starts another function in the same way.
pub async fn start_binary(name: &str, services: &Services, more: &[(&str, &str)]) -> Function {
    let mut variables = services.environment();
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Function::start(&binary(name), variables).await.unwrap()
}

/// Creates a hold of two seats.
pub fn hold(services: &Services, reservation_id: &str) {
    let seat_ids = vec![format!("{reservation_id}/A-1"), format!("{reservation_id}/A-2")];
    let (reservation_id, event_id) = (reservation_id.to_owned(), "evt_1".to_owned());
    services.create_hold(Hold { reservation_id, event_id, user_id: None, seat_ids, quantity: None }).unwrap();
}

/// The message ids in `batchItemFailures`.
pub fn returned(invoked: &InvocationResult) -> Vec<&str> {
    let failures = invoked.response.as_ref().unwrap()["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

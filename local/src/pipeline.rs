//! The complete pipeline on this machine: an SQS queue, the event source mapping, the function, and the
//! services.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::Services;
use reservation_worker_local::cargo;
use reservation_worker_local::event_source::{Mapping, Queue, RunningMapping, Sqs};

use crate::options::{Failure, Options};

/// The default of `MAX_RETRIES` in the template (contract section 7).
pub(crate) const MAX_RETRIES: u32 = 5;
/// The Cargo profile of the function. It is also that of the tests that start the function as a process, so that the
/// function is built once.
pub(crate) const PROFILE: &str = "process";
/// The queue's default visibility time-out.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);

/// The folder of the workspace.
pub(crate) fn workspace() -> io::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()
}

/// The running pipeline. Dropping it stops everything.
pub(crate) struct Pipeline {
    /// The folder for the output of builds.
    pub(crate) target: PathBuf,
    pub(crate) sqs: Sqs,
    pub(crate) queue: Queue,
    pub(crate) services: Services,
    pub(crate) mapping: RunningMapping,
}

impl Pipeline {
    /// Builds the function and starts everything. `variables` are additional environment variables of the
    /// function.
    pub(crate) async fn start(
        options: Options,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let root = workspace()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        eprintln!("building the function (the first build takes some minutes) ...");
        let function = cargo::function(&root, &target, PROFILE)?;
        let (sqs, name) = match options.endpoint {
            // The endpoint may have other queues, also from an earlier run.
            Some(endpoint) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
                let sqs = Sqs::at(&endpoint).await;
                let sqs = sqs.map_err(|error| format!("ENDPOINT (--endpoint): {error}"))?;
                (sqs, format!("reservation-worker-{now}"))
            }
            None => (Sqs::start_moto(&root.join(".tools")).await?, "reservation-worker".to_owned()),
        };
        let queue = sqs.create(&name, false, MAX_RETRIES, VISIBILITY_TIMEOUT).await?;
        let services = Services::start().await?;
        options.faults.into_iter().for_each(|fault| services.fault(fault));
        let mut environment = services.environment();
        // The function changes visibility time-outs in the real queue, and not in the server of `Services`.
        environment.remove("AWS_ENDPOINT_URL");
        environment.insert("SQS_QUEUE_URL".to_owned(), queue.url.clone());
        environment.extend(variables);
        let mapping = Mapping::new(&queue, function, environment).start().await?;
        Ok(Self { target, sqs, queue, services, mapping })
    }
}

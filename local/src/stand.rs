//! Everything around the function, started together: SQS, the services, the mapping.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reservation_worker_local::Services;
use reservation_worker_local::cargo::build_worker;
use reservation_worker_local::event_source::{Mapping, Queue, Running, Sqs};

use crate::{Failure, Options};

/// The template's defaults (contract section 7).
const MAX_RETRIES: u32 = 5;
const VISIBILITY: Duration = Duration::from_secs(30);

pub(super) struct Stand {
    pub(super) sqs: Sqs,
    pub(super) queue: Queue,
    pub(super) services: Services,
    pub(super) running: Running,
}

impl Stand {
    pub(super) async fn start(options: Options) -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let function = build_worker(&root, &target)?;
        let (sqs, name) = match options.endpoint {
            // There, other queues may be, and those of an earlier run.
            Some(endpoint) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
                (Sqs::at(&endpoint).await?, format!("reservation-worker-{now}"))
            }
            None => (Sqs::start_moto(&root.join(".tools")).await?, "reservation-worker".to_owned()),
        };
        let queue = sqs.create(&name, false, MAX_RETRIES, VISIBILITY).await?;
        let services = Services::start().await?;
        options.faults.into_iter().for_each(|fault| services.fault(fault));
        let mut environment = services.environment();
        environment.remove("AWS_ENDPOINT_URL"); // the stand-in's for visibility changes
        environment.insert("SQS_QUEUE_URL".to_owned(), queue.url.clone());
        let running = Mapping::new(&queue, function, environment).start().await?;
        Ok(Self { sqs, queue, services, running })
    }

    /// How things are, in one line.
    pub(super) async fn line(&self) -> Result<String, Failure> {
        let (visible, kept) = self.queue.depth().await?;
        let dead = self.queue.dead_count().await?;
        let stats = self.running.stats();
        // What SQS calls in flight may also wait for its next try.
        let waiting = kept.saturating_sub(stats.in_flight);
        Ok(format!(
            "depth {visible}  in flight {}  waiting {waiting}  processes {}  done {}  returned {}  dead {dead}",
            stats.in_flight, stats.processes, stats.done, stats.returned
        ))
    }
}

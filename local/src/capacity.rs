//! The limited capacity of a service: its latency grows with its load.
//!
//! A request that arrives while the service is busy waits. The service handles it even if its caller has given up
//! meanwhile, because a service does not know that. Such requests keep an overloaded service overloaded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::calls::Service;
use crate::lock::locked;

/// How many requests a service can handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// The number of requests that are handled at the same time. Further requests wait in the order of their arrival.
    pub concurrency: NonZeroUsize,
    /// The time that each request takes, in milliseconds.
    pub service_time_ms: u64,
}

/// The requests to a service of limited capacity: those in progress and those that wait.
struct RequestQueue {
    capacity: Capacity,
    /// One time for each place that was used at least once, at most `concurrency` of them: when the place is free for
    /// the next request.
    free_at: BinaryHeap<Reverse<Instant>>,
}

impl RequestQueue {
    fn new(capacity: Capacity) -> Self {
        Self { capacity, free_at: BinaryHeap::new() }
    }

    /// Adds a request that arrives at `now`. Returns the time at which it will be finished.
    fn add(&mut self, now: Instant) -> Instant {
        let is_full = self.free_at.len() == self.capacity.concurrency.get();
        let next_free = is_full.then(|| self.free_at.pop()).flatten();
        let begins = next_free.map_or(now, |Reverse(free_at)| free_at.max(now));
        let finished = begins + Duration::from_millis(self.capacity.service_time_ms);
        self.free_at.push(Reverse(finished));
        finished
    }
}

/// The queues of the services whose capacity is limited.
#[derive(Default)]
pub(crate) struct RequestQueues(Mutex<BTreeMap<Service, RequestQueue>>);

impl RequestQueues {
    /// Limits the capacity of a service, or ends the limit. It does not affect earlier requests.
    pub(crate) fn limit(&self, service: Service, capacity: Option<Capacity>) {
        let mut queues = locked(&self.0);
        match capacity {
            Some(capacity) => drop(queues.insert(service, RequestQueue::new(capacity))),
            None => drop(queues.remove(&service)),
        }
    }

    /// The services whose capacity is limited.
    pub(crate) fn limits(&self) -> BTreeMap<Service, Capacity> {
        locked(&self.0).iter().map(|(service, queue)| (*service, queue.capacity)).collect()
    }

    /// Adds a request that arrives now. Returns the time at which it will be finished; `None` without a limit.
    pub(crate) fn add(&self, service: Service) -> Option<Instant> {
        locked(&self.0).get_mut(&service).map(|queue| queue.add(Instant::now()))
    }
}

/// Waits until a request is finished.
pub(crate) async fn wait_until_finished(finished: Option<Instant>) {
    if let Some(finished) = finished {
        tokio::time::sleep_until(finished).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_while_the_service_is_busy_and_only_then() {
        let capacity = Capacity { concurrency: NonZeroUsize::MIN.saturating_add(1), service_time_ms: 100 };
        let mut queue = RequestQueue::new(capacity);
        let start = Instant::now();
        let mut finished_after = |arrives_after| {
            let finished = queue.add(start + Duration::from_millis(arrives_after));
            (finished - start).as_millis()
        };
        let arrivals = [0, 0, 0, 10, 20, 250, 1_000];
        assert_eq!(arrivals.map(&mut finished_after), [100, 100, 200, 200, 300, 350, 1_100]);
    }
}

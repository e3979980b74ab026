//! What the handlers of requests share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use reservation_worker_local::Service;
use reservation_worker_local::expectations::Case;

use super::mode::{Behaviour, Mode};
use crate::activity::Activity;
use crate::pipeline::Pipeline;

/// What the handlers of requests share.
pub(super) struct Backend {
    /// Differs each time that the console is started.
    pub(super) run: String,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) activity: Arc<Activity>,
    pub(super) cases: Vec<Case>,
    /// How often each sample event was sent, by name.
    pub(super) copies: Mutex<HashMap<String, usize>>,
    /// The number of bursts and races that were sent.
    pub(super) bursts: Mutex<usize>,
    /// How each service was made to behave. A service without an entry works.
    pub(super) modes: Mutex<HashMap<Service, Mode>>,
    /// Locked while the behaviour of a service is changed.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// Locked while messages of the dead-letter queue are received, because they are invisible to others then.
    pub(super) dead_letters: tokio::sync::Mutex<DeadLetters>,
}

/// The messages of the dead-letter queue, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    /// Message id, body, and number of receives.
    pub(super) messages: Vec<(String, String, u32)>,
    /// The number of the last record whose receives were used up when all messages were read; `None` if not all could
    /// be read.
    pub(super) read_at: Option<u64>,
}

pub(super) type Shared = Arc<Backend>;

impl Backend {
    pub(super) fn new(pipeline: Arc<Pipeline>, activity: Arc<Activity>, cases: Vec<Case>) -> Self {
        Self {
            run: format!("{:016x}", fastrand::u64(..)),
            pipeline,
            activity,
            cases,
            copies: Mutex::default(),
            bursts: Mutex::default(),
            modes: Mutex::default(),
            changing: Default::default(),
            dead_letters: tokio::sync::Mutex::default(),
        }
    }

    /// How each service behaves now, with the number of requests that are left.
    pub(super) fn current_modes(&self) -> BTreeMap<Service, Mode> {
        let faults = self.pipeline.services.faults();
        let modes = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |service| {
            let mode = modes.get(&service).copied().unwrap_or(Mode::WORKS);
            let fault = faults.iter().find(|fault| fault.service == Some(service));
            match (mode, fault) {
                (Mode { behaviour: Behaviour::Works, .. }, _)
                | (Mode { behaviour: Behaviour::Refuses, requests: None, .. }, _) => mode,
                (_, Some(fault)) => Mode { requests: fault.times, ..mode },
                // All requests that the fault affects have arrived.
                (_, None) => Mode::WORKS,
            }
        };
        [Service::ReservationApi, Service::Inventory].map(|service| (service, current(service))).into()
    }
}

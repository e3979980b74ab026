//! Both services together: started, seeded, asked for faults, and read back.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::calls::{Call, Calls, Service};
use crate::cloudwatch::CloudWatch;
use crate::faults::{Fault, Faults};
use crate::inventory::{self, Inventory};
use crate::net::Endpoint;
use crate::reservations::{Reservation, Reservations, Status};
use crate::seats::SeatState;
use crate::visibility::VisibilityChanges;
use crate::{desk, reservation_api};

/// A hold to start from: what the reservation API would have created when seats were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name in both services.
    pub reservation_id: String,
    /// The ticketed event.
    pub event_id: String,
    /// Who holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The seats; empty for a quantity-based hold.
    #[serde(default)]
    pub seat_ids: Vec<String>,
    /// How many places; the number of seats where there are seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
}

impl Hold {
    pub(crate) fn places(&self) -> u32 {
        match u32::try_from(self.seat_ids.len()).unwrap_or(u32::MAX) {
            0 => self.quantity.unwrap_or_default(),
            seats => seats,
        }
    }
}

/// Why a hold was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// Without it no request could ever match the hold.
    #[error("a hold needs {0}")]
    Incomplete(&'static str),
    /// Reservations are created once.
    #[error("reservation {0} exists already")]
    ReservationExists(String),
    /// Held or sold: a seat has one owner.
    #[error("seat {seat_id} is taken by {reservation_id}")]
    SeatTaken {
        /// The seat.
        seat_id: String,
        /// Its owner.
        reservation_id: String,
    },
}

/// Both services, on free loopback ports, with shared state and one record of calls.
///
/// Dropped, they stop.
pub struct Services {
    shared: Arc<Shared>,
    reservation_api: Endpoint,
    inventory: Endpoint,
    queue: VisibilityChanges,
    cloudwatch: CloudWatch,
}

impl Services {
    /// Starts both in plain text.
    pub async fn start() -> io::Result<Self> {
        Self::open(None).await
    }

    /// Starts both over TLS, whose certificate names `localhost`; ALPN is set to what each service speaks.
    pub async fn start_tls(tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::open(Some(&tls)).await
    }

    async fn open(tls: Option<&ServerConfig>) -> io::Result<Self> {
        let speaking = |protocol: &str| {
            tls.cloned().map(|mut tls| {
                tls.alpn_protocols = vec![protocol.into()];
                TlsAcceptor::from(Arc::new(tls))
            })
        };
        let shared = Arc::new(Shared::default());
        let rest = reservation_api::routes(shared.clone()).merge(desk::routes(shared.clone()));
        let reservation_api = Endpoint::open(rest, speaking("http/1.1")).await?;
        let inventory = Endpoint::open(inventory::routes(shared.clone()), speaking("h2")).await?;
        let (queue, cloudwatch) = (VisibilityChanges::start().await?, CloudWatch::start().await?);
        Ok(Self { shared, reservation_api, inventory, queue, cloudwatch })
    }

    /// Value for `RESERVATION_API_BASE`.
    pub fn reservation_api_base(&self) -> String {
        match self.reservation_api.is_tls() {
            true => format!("https://localhost:{}", self.reservation_api.addr().port()),
            false => format!("http://{}", self.reservation_api.addr()),
        }
    }

    /// Value for `INVENTORY_GRPC_ADDR`: `host:port`, or with `https://` over TLS.
    pub fn inventory_addr(&self) -> String {
        match self.inventory.is_tls() {
            true => format!("https://localhost:{}", self.inventory.addr().port()),
            false => self.inventory.addr().to_string(),
        }
    }

    /// Where visibility changes go, and what they were.
    pub fn queue(&self) -> &VisibilityChanges {
        &self.queue
    }

    /// Where metrics go, and what they were.
    pub fn cloudwatch(&self) -> &CloudWatch {
        &self.cloudwatch
    }

    /// The variables that a function needs to reach all this, and nobody's AWS account.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("INVENTORY_GRPC_ADDR", self.inventory_addr()),
            ("RESERVATION_API_BASE", self.reservation_api_base()),
            ("AWS_ENDPOINT_URL", self.queue.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", self.cloudwatch.endpoint().to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "ap-northeast-2".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Creates a reservation in `HOLD` and puts its seats in `HOLD`.
    pub fn create_hold(&self, hold: Hold) -> Result<(), HoldRefused> {
        self.shared.create_hold(hold).map(drop)
    }

    /// Moves the reservation alone, whatever its status was; the seats stay as they are.
    pub fn set_reservation_status(&self, reservation_id: &str, status: Status) {
        locked(&self.shared.reservations).set_status(reservation_id, status);
    }

    /// The reservation as the API would reply it.
    pub fn reservation(&self, reservation_id: &str) -> Option<Reservation> {
        locked(&self.shared.reservations).read(reservation_id).ok()
    }

    /// What has become of each seat of the reservation's hold; `#1`, `#2`, … in a quantity-based one.
    pub fn seats(&self, reservation_id: &str) -> BTreeMap<String, SeatState> {
        locked(&self.shared.inventory).seats.of(reservation_id)
    }

    /// The one state of all seats of the reservation's hold; `None` if there is no such hold.
    pub fn seat_state(&self, reservation_id: &str) -> Option<SeatState> {
        locked(&self.shared.inventory).seats.state(reservation_id)
    }

    /// Asks for a fault.
    pub fn fault(&self, fault: Fault) {
        locked(&self.shared.faults).ask(fault);
    }

    /// Forgets all faults; calls that hang already go on hanging.
    pub fn clear_faults(&self) {
        locked(&self.shared.faults).clear();
    }

    /// How many faults were asked for with a count that is not used up.
    pub fn unused_faults(&self) -> usize {
        locked(&self.shared.faults).unused()
    }

    /// Every call to both services in order of arrival; the oldest are forgotten after 100,000.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.all()
    }

    /// The calls about one reservation, in order of arrival.
    pub fn calls_for(&self, reservation_id: &str) -> Vec<Call> {
        self.shared.calls.about(reservation_id)
    }

    /// The calls so far, which are forgotten.
    pub fn take_calls(&self) -> Vec<Call> {
        self.shared.calls.take()
    }

    /// The most calls in flight at once, over both services, since the start.
    pub fn peak_in_flight(&self) -> usize {
        self.shared.calls.peak_in_flight()
    }

    /// Refuses connections to the service and drops the open ones; its state and its port are kept.
    pub async fn stop(&self, service: Service) {
        self.endpoint(service).close().await;
    }

    /// Serves again on the same port.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.endpoint(service).reopen().await
    }

    fn endpoint(&self, service: Service) -> &Endpoint {
        match service {
            Service::ReservationApi => &self.reservation_api,
            Service::Inventory => &self.inventory,
        }
    }
}

/// What the two services, and the person at the desk, act on.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) reservations: Mutex<Reservations>,
    pub(crate) inventory: Mutex<Inventory>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: Calls,
}

impl Shared {
    pub(crate) fn create_hold(&self, hold: Hold) -> Result<Reservation, HoldRefused> {
        let mut reservations = locked(&self.reservations);
        if let Ok(reservation) = reservations.read(&hold.reservation_id) {
            return Err(HoldRefused::ReservationExists(reservation.reservation_id));
        }
        locked(&self.inventory).seats.hold(&hold)?;
        Ok(reservations.hold(hold))
    }
}

/// State is whole between calls, whoever panicked: nothing here panics halfway through a change.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

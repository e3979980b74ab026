//! Both services: starts and stops them, prepares their state, and reads it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::calls::{Call, Service};
use crate::capacity::Capacity;
use crate::cloudwatch::CloudWatch;
use crate::faults::Fault;
use crate::hold::{Hold, HoldRefused};
use crate::lock::locked;
use crate::reservations::{Reservation, Status};
use crate::seats::{SeatMap, SeatState};
use crate::server::Server;
use crate::state::SharedState;
use crate::visibility::VisibilityApi;
use crate::{control, inventory, reservation_api};

/// The reservation API and the inventory service on free loopback ports. With them run servers that receive
/// the function's visibility time-outs and metrics.
///
/// Dropping this value stops all of them.
pub struct Services {
    state: Arc<SharedState>,
    reservation_api: Server,
    inventory: Server,
    visibility: VisibilityApi,
    cloudwatch: CloudWatch,
}

impl Services {
    /// Starts both services without TLS.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        Self::open(None).await
    }

    /// Starts both services with TLS. The certificate in `tls` must be valid for `localhost`. This function
    /// sets the ALPN protocol of each service: `http/1.1` for the reservation API, `h2` for the inventory
    /// service.
    ///
    /// # Errors
    ///
    /// A port cannot be opened.
    pub async fn start_tls(tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::open(Some(&tls)).await
    }

    async fn open(tls: Option<&ServerConfig>) -> io::Result<Self> {
        let acceptor = |alpn_protocol: &str| {
            tls.cloned().map(|mut tls| {
                tls.alpn_protocols = vec![alpn_protocol.into()];
                TlsAcceptor::from(Arc::new(tls))
            })
        };
        let state = Arc::new(SharedState::default());
        let unknown = async |uri: Uri| (StatusCode::NOT_FOUND, format!("there is no {}\n", uri.path()));
        let rest =
            reservation_api::routes(state.clone()).merge(control::routes(state.clone())).fallback(unknown);
        let reservation_api = Server::start(rest, acceptor("http/1.1")).await?;
        let inventory = Server::start(inventory::routes(state.clone()), acceptor("h2")).await?;
        let (visibility, cloudwatch) = (VisibilityApi::start().await?, CloudWatch::start().await?);
        Ok(Self { state, reservation_api, inventory, visibility, cloudwatch })
    }

    /// The value for `RESERVATION_API_BASE`: `http://127.0.0.1:<port>`, or `https://localhost:<port>` with
    /// TLS.
    pub fn reservation_api_base(&self) -> String {
        match self.reservation_api.has_tls() {
            true => format!("https://localhost:{}", self.reservation_api.addr().port()),
            false => format!("http://{}", self.reservation_api.addr()),
        }
    }

    /// The value for `INVENTORY_GRPC_ADDR`: `127.0.0.1:<port>`, or `https://localhost:<port>` with TLS.
    pub fn inventory_addr(&self) -> String {
        match self.inventory.has_tls() {
            true => format!("https://localhost:{}", self.inventory.addr().port()),
            false => self.inventory.addr().to_string(),
        }
    }

    /// The server that receives the function's visibility time-outs.
    pub fn visibility(&self) -> &VisibilityApi {
        &self.visibility
    }

    /// The server that receives the function's metrics.
    pub fn cloudwatch(&self) -> &CloudWatch {
        &self.cloudwatch
    }

    /// The environment variables with which a function calls these servers and no real AWS account.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("INVENTORY_GRPC_ADDR", self.inventory_addr()),
            ("RESERVATION_API_BASE", self.reservation_api_base()),
            ("AWS_ENDPOINT_URL", self.visibility.endpoint().to_owned()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", self.cloudwatch.endpoint().to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "ap-northeast-2".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Creates a reservation with the status `HOLD` and sets its seats to `HOLD`.
    ///
    /// # Errors
    ///
    /// The hold is incomplete, the reservation exists already, or a seat is held or sold. Nothing is changed
    /// then.
    pub fn create_hold(&self, hold: Hold) -> Result<(), HoldRefused> {
        self.state.create_hold(hold).map(drop)
    }

    /// Sets the status of a reservation, whatever the status was before. The seats do not change.
    pub fn set_reservation_status(&self, reservation_id: &str, status: Status) {
        locked(&self.state.reservations).set_status(reservation_id, status);
    }

    /// The reservation, as the reservation API returns it.
    pub fn reservation(&self, reservation_id: &str) -> Option<Reservation> {
        locked(&self.state.reservations).read(reservation_id).ok()
    }

    /// All reservations, in no particular order.
    pub fn reservations(&self) -> Vec<Reservation> {
        locked(&self.state.reservations).all().cloned().collect()
    }

    /// The seats and the quantity-based holds of one ticketed event.
    pub fn seat_map(&self, event_id: &str) -> SeatMap {
        locked(&self.state.seats).map(event_id)
    }

    /// A number that increases with each change of a reservation or of seats, and with each call that is answered. If
    /// it has not changed, the reservations and seats have not changed either.
    pub fn revision(&self) -> usize {
        let reservations = locked(&self.state.reservations).revision();
        let seats = locked(&self.state.seats).revision();
        self.state.calls.answered() + reservations + seats
    }

    /// The state of each seat in the reservation's hold, by seat id. The seats of a quantity-based hold have
    /// the ids `#1`, `#2` and so on. The map is empty if there is no hold.
    pub fn seats(&self, reservation_id: &str) -> BTreeMap<String, SeatState> {
        locked(&self.state.seats).states(reservation_id)
    }

    /// The state that all seats in the reservation's hold have in common; `None` if there is no hold.
    pub fn seat_state(&self, reservation_id: &str) -> Option<SeatState> {
        locked(&self.state.seats).state(reservation_id)
    }

    /// From now on, the reservation API answers 401 to requests without this bearer token.
    pub fn require_token(&self, token: &str) {
        *locked(&self.state.required_token) = Some(token.to_owned());
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        locked(&self.state.faults).add(fault);
    }

    /// Removes all faults. Calls that already hang continue to hang.
    pub fn clear_faults(&self) {
        locked(&self.state.faults).clear();
    }

    /// The faults that are not used up, in the order in which they were added.
    pub fn faults(&self) -> Vec<Fault> {
        locked(&self.state.faults).all()
    }

    /// Removes the faults whose [`Fault::service`] is this service. Calls that already hang continue to hang.
    pub fn end_faults(&self, service: Service) {
        locked(&self.state.faults).end(service);
    }

    /// The number of faults whose [`Fault::times`](field@Fault::times) is set and not used up.
    pub fn unused_faults(&self) -> usize {
        locked(&self.state.faults).unused()
    }

    /// Limits the capacity of a service, or ends the limit with `None`. From then on its latency grows with its load.
    ///
    /// An operation is performed when its request arrives, and the reply is sent when the service would have finished
    /// it. So the operation is also performed if its caller gives up meanwhile.
    pub fn limit_capacity(&self, service: Service, capacity: Option<Capacity>) {
        self.state.request_queues.limit(service, capacity);
    }

    /// The calls to both services, in the order in which they arrived. Only the latest 100,000 are available.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.all()
    }

    /// The calls for one reservation, in the order in which they arrived.
    pub fn calls_for(&self, reservation_id: &str) -> Vec<Call> {
        self.state.calls.for_reservation(reservation_id)
    }

    /// Removes the calls from the call log and returns them.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.calls.take()
    }

    /// The largest number of calls in flight at the same time since the start, over both services.
    pub fn peak_in_flight(&self) -> usize {
        self.state.calls.peak_in_flight()
    }

    /// Closes the open connections of a service and refuses new ones. The service keeps its state and its
    /// port.
    pub async fn stop(&self, service: Service) {
        self.server(service).stop().await;
    }

    /// Starts a stopped service again, on the same port.
    ///
    /// # Errors
    ///
    /// The port cannot be opened.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.server(service).restart().await
    }

    fn server(&self, service: Service) -> &Server {
        match service {
            Service::ReservationApi => &self.reservation_api,
            Service::Inventory => &self.inventory,
        }
    }
}

//! The network link to one service: a proxy on loopback that delays data, limits its rate and breaks connections, on
//! the simulated clock. Data arrives in order. It can arrive so late that the caller has already given up.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use fastrand::Rng;
use reservation_worker_local::Services;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::clock::Clock;
use crate::conditions::LINKS;
use crate::trace;

/// The length of the frame with which a caller ends a connection of HTTP/2. A request is longer.
const GOAWAY_LENGTH: usize = 17;

pub struct Link {
    pub addr: SocketAddr,
    service: SocketAddr,
    clock: Clock,
    rng: RefCell<Rng>,
    /// The delay of each piece of data, in milliseconds.
    delay: RefCell<RangeInclusive<u64>>,
    /// The probability that a piece of data breaks its connection.
    loss: Cell<f64>,
    partitioned_until: Cell<Instant>,
    /// The number of bytes per second that all connections together transfer at most.
    capacity: Cell<Option<u32>>,
    /// When the link has transferred the data that it has accepted, if its capacity is limited.
    free_at: Cell<Instant>,
    reset: Notify,
    forgotten: Notify,
    after_forgetting: Cell<AfterForgetting>,
    /// A request has arrived on a forgotten connection.
    forgotten_connection_was_used: Cell<bool>,
    is_down: Cell<bool>,
}

/// How a peer that has forgotten a connection treats the next piece of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterForgetting {
    /// It drops the data.
    DropsData,
    /// It answers with RST.
    Resets,
}

impl Link {
    /// Opens the links to the reservation API, the inventory and the queue.
    pub fn to_services(services: &Services, clock: &Clock, rng: &mut Rng) -> [Rc<Self>; LINKS] {
        let addresses = [
            services.reservation_api_base(),
            services.inventory_addr(),
            services.visibility().endpoint().to_owned(),
        ];
        addresses.map(|address| {
            let address = address.trim_start_matches("http://").parse().unwrap();
            Self::open(address, clock.clone(), rng.fork())
        })
    }

    fn open(service: SocketAddr, clock: Clock, rng: Rng) -> Rc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let link = Rc::new(Self {
            addr: listener.local_addr().unwrap(),
            service,
            clock,
            rng: RefCell::new(rng),
            delay: RefCell::new(0..=0),
            loss: Cell::new(0.0),
            partitioned_until: Cell::new(Instant::now()),
            capacity: Cell::new(None),
            free_at: Cell::new(Instant::now()),
            reset: Notify::new(),
            forgotten: Notify::new(),
            after_forgetting: Cell::new(AfterForgetting::DropsData),
            forgotten_connection_was_used: Cell::new(false),
            is_down: Cell::new(false),
        });
        spawn_local(link.clone().accept(listener));
        link
    }

    pub fn set_delay(&self, milliseconds: RangeInclusive<u64>) {
        *self.delay.borrow_mut() = milliseconds;
    }

    pub fn set_loss(&self, probability: f64) {
        self.loss.set(probability);
    }

    /// Keeps all data for this time, and then delivers it.
    pub fn partition(&self, time: Duration) {
        self.partitioned_until.set(Instant::now() + time);
    }

    /// Limits the rate of the data. The more calls are made at the same time, the longer each of them takes.
    pub fn set_capacity(&self, bytes_per_second: Option<u32>) {
        self.capacity.set(bytes_per_second);
    }

    /// Lets the peer forget all connections. The callers notice it when they use the connections.
    pub fn forget(&self, after_forgetting: AfterForgetting) {
        self.after_forgetting.set(after_forgetting);
        self.forgotten.notify_waiters();
    }

    /// Whether a caller has sent a request on a forgotten connection.
    pub fn forgotten_connection_was_used(&self) -> bool {
        self.forgotten_connection_was_used.get()
    }

    /// Ends all connections.
    pub fn reset(&self) {
        self.reset.notify_waiters();
    }

    /// Ends all connections. While the link is down, a new connection ends as soon as it is accepted.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.set(is_down);
        self.reset();
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        while let Ok((caller, _)) = listener.accept().await {
            self.clock.report_activity();
            if self.is_down.get() {
                trace::line("a connection is refused".to_owned());
                continue;
            }
            spawn_local(self.clone().connect(caller));
        }
    }

    async fn connect(self: Rc<Self>, mut caller: TcpStream) -> io::Result<()> {
        self.pass(0).await?;
        let mut service = TcpStream::connect(self.service).await?;
        for stream in [&caller, &service] {
            stream.set_nodelay(true)?;
            // Close with RST in every case, so that the kernel keeps no state of the connection.
            stream.set_zero_linger()?;
        }
        let (from_caller, to_caller) = caller.split();
        let (from_service, to_service) = service.split();
        tokio::select! {
            biased;
            () = self.reset.notified() => {
                trace::line("a connection is reset".to_owned());
                Ok(())
            }
            () = self.forgotten.notified() => {
                drop(service);
                self.discard(caller).await
            }
            carried = async {
                let requests = self.carry(from_caller, to_service);
                tokio::try_join!(biased; requests, self.carry(from_service, to_caller)).map(drop)
            } => carried,
        }
    }

    async fn carry(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            self.clock.report_activity();
            self.pass(length).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            to.write_all(&piece[..length]).await?;
            self.clock.report_activity();
        }
    }

    /// Receives data on a forgotten connection until the caller closes it, or only the first piece.
    async fn discard(&self, mut caller: TcpStream) -> io::Result<()> {
        trace::line("a connection is forgotten".to_owned());
        let mut piece = vec![0; 16 * 1024];
        // What the caller has sent before.
        while caller.try_read(&mut piece).is_ok_and(|length| length > 0) {}
        let mut received = 0;
        loop {
            let length = caller.read(&mut piece).await?;
            self.clock.report_activity();
            received += length;
            if received > GOAWAY_LENGTH && !self.forgotten_connection_was_used.replace(true) {
                trace::line("a forgotten connection gets a request".to_owned());
            }
            if length == 0 || self.after_forgetting.get() == AfterForgetting::Resets {
                return Ok(());
            }
        }
    }

    /// Delays a piece of data of this length. Fails if the data breaks its connection.
    async fn pass(&self, length: usize) -> io::Result<()> {
        let milliseconds = self.rng.borrow_mut().u64(self.delay.borrow().clone());
        let is_last = self.rng.borrow_mut().f64() < self.loss.get();
        if milliseconds > 0 {
            sleep(Duration::from_millis(milliseconds)).await;
        }
        if let Some(bytes_per_second) = self.capacity.get() {
            let time = Duration::from_secs_f64(length as f64 / f64::from(bytes_per_second));
            self.free_at.set(self.free_at.get().max(Instant::now()) + time);
            sleep_until(self.free_at.get()).await;
        }
        while self.partitioned_until.get() > Instant::now() {
            trace::line("a partition keeps data".to_owned());
            sleep_until(self.partitioned_until.get()).await;
        }
        if is_last {
            trace::line("a connection breaks".to_owned());
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

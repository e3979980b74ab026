//! The way to one service: a relay on loopback that delays, breaks and cuts connections by the simulated
//! clock. What it carries arrives in order, perhaps late: after the caller has given up.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::clock::Clock;
use crate::trace;

pub struct Link {
    pub addr: SocketAddr,
    service: SocketAddr,
    clock: Clock,
    rng: RefCell<Rng>,
    /// Milliseconds that each piece takes.
    delay: RefCell<RangeInclusive<u64>>,
    /// How likely a piece is the last of its connection.
    loss: Cell<f64>,
    cut_until: Cell<Instant>,
    reset: Notify,
    is_down: Cell<bool>,
}

impl Link {
    pub fn open(service: SocketAddr, clock: Clock, rng: Rng) -> Rc<Self> {
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
            cut_until: Cell::new(Instant::now()),
            reset: Notify::new(),
            is_down: Cell::new(false),
        });
        spawn_local(link.clone().accept(listener));
        link
    }

    pub fn delay(&self, milliseconds: RangeInclusive<u64>) {
        *self.delay.borrow_mut() = milliseconds;
    }

    pub fn lose(&self, chance: f64) {
        self.loss.set(chance);
    }

    /// Nothing arrives for so long, and then all of it.
    pub fn cut(&self, time: Duration) {
        self.cut_until.set(Instant::now() + time);
    }

    /// Ends all connections.
    pub fn reset(&self) {
        self.reset.notify_waiters();
    }

    /// Whether connections end as soon as they are made.
    pub fn down(&self, is_down: bool) {
        self.is_down.set(is_down);
        self.reset();
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        while let Ok((caller, _)) = listener.accept().await {
            self.clock.moved();
            if self.is_down.get() {
                trace::line("a connection is refused".to_owned());
                continue;
            }
            spawn_local(self.clone().connect(caller));
        }
    }

    async fn connect(self: Rc<Self>, mut caller: TcpStream) -> io::Result<()> {
        self.pass().await?;
        let mut service = TcpStream::connect(self.service).await?;
        for stream in [&caller, &service] {
            stream.set_nodelay(true)?;
            // However it ends, it ends with RST, and leaves nothing behind in the kernel.
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
            carried = async {
                let there = self.carry(from_caller, to_service);
                tokio::try_join!(biased; there, self.carry(from_service, to_caller)).map(drop)
            } => carried,
        }
    }

    async fn carry(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            self.clock.moved();
            self.pass().await?;
            if length == 0 {
                return to.shutdown().await;
            }
            to.write_all(&piece[..length]).await?;
            self.clock.moved();
        }
    }

    async fn pass(&self) -> io::Result<()> {
        let milliseconds = self.rng.borrow_mut().u64(self.delay.borrow().clone());
        let is_last = self.rng.borrow_mut().f64() < self.loss.get();
        if milliseconds > 0 {
            sleep(Duration::from_millis(milliseconds)).await;
        }
        while self.cut_until.get() > Instant::now() {
            trace::line("a piece is kept".to_owned());
            sleep_until(self.cut_until.get()).await;
        }
        if is_last {
            trace::line("a connection breaks".to_owned());
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

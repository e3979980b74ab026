//! The console: a page in the browser that shows what the pipeline does, sends events, and breaks things.
//!
//! A request passes through these modules, in this order:
//!
//! 1. `guard` refuses requests that do not come from the console's own page.
//! 2. `pages` serves the files of the page.
//! 3. `stream` sends records and numbers as they change. `reads` answers single questions.
//! 4. `send` sends events, `breaking` changes how services and processes behave, `dead_letters` handles the dead-letter
//!    queue, and `what_if` predicts what a redrive would do. `refusal` is the reply to a request that is refused.
//!
//! `backend` contains what these modules share. `mode` defines how a service can behave.

mod backend;
mod breaking;
mod dead_letters;
mod guard;
mod mode;
mod pages;
mod reads;
mod refusal;
mod send;
mod stream;
mod what_if;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::{Router, middleware};
use reservation_worker_local::expectations;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::backend::Backend;
use crate::activity::Activity;
use crate::options::{ConsolePort, Failure};
use crate::pipeline::Pipeline;

/// The port that is used if it is free and no other one was requested, so that the address stays the same.
const USUAL_PORT: u16 = 7420;

/// A running console. Dropping it closes its port.
pub(crate) struct Console {
    address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
}

impl Console {
    /// Serves the console on this port. `events` is the folder of the sample events.
    pub(crate) fn start(
        listener: TcpListener,
        pipeline: Arc<Pipeline>,
        activity: Arc<Activity>,
        events: &Path,
    ) -> Result<Self, Failure> {
        let address = listener.local_addr()?;
        let backend = Backend::new(pipeline, activity, expectations::load(events)?);
        let routes = Router::new()
            .merge(stream::routes())
            .merge(reads::routes())
            .merge(send::routes())
            .merge(breaking::routes())
            .merge(dead_letters::routes())
            .merge(what_if::routes())
            .with_state(Arc::new(backend))
            .merge(pages::routes())
            .layer(middleware::from_fn_with_state(address.port(), guard::check));
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { address, server })
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Opens a loopback port.
pub(crate) async fn listen(port: ConsolePort) -> io::Result<TcpListener> {
    let at = async |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    match port {
        ConsolePort::Usual => match at(USUAL_PORT).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => at(0).await,
            listener => listener,
        },
        ConsolePort::Fixed(port) => at(port).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("CONSOLE (--console): the port {port} cannot be used: {error}"),
            )
        }),
    }
}

//! The desk's command line: the demo, the queue with all around it, a burst of events, the services.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for a person, not a function")]

use std::io;
use std::process::ExitCode;

use reservation_worker_local::{Fault, Services};
use tokio::signal::unix::{SignalKind, signal};

mod demo;
mod live;
mod load;
mod stand;

/// What a person is told when something cannot be done.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
usage: reservation-worker-local <command>

  demo                     run every event of events/ through the function under `cargo lambda`
  local [OPTION VALUE]...  start queue, services and function, until Ctrl-C
  load N [OPTION VALUE]... send N events at once, measure, and check what comes of them
  services                 start the reservation API and the inventory service, until Ctrl-C

  --endpoint URL           use this SQS and not moto
  --fault JSON             a fault of the services, as for POST /faults; may be given again";

/// Exit status of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    // What a command has started ends when the command is dropped.
    let ended = tokio::select! {
        ended = command() => ended,
        ended = interrupted() => ended,
    };
    ended.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

async fn command() -> Result<ExitCode, Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["demo"] => demo::run().await,
        ["local", ref options @ ..] => live::run(Options::read(options)?).await,
        ["load", events, ref options @ ..] => load::run(number(events)?, Options::read(options)?).await,
        ["services"] => services().await,
        _ => Err(USAGE.into()),
    }
}

/// What can be added to `local` and `load`.
#[derive(Default)]
struct Options {
    endpoint: Option<String>,
    faults: Vec<Fault>,
}

impl Options {
    fn read(arguments: &[&str]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for option in arguments.chunks(2) {
            match *option {
                ["--endpoint", url] => options.endpoint = Some(url.to_owned()),
                ["--fault", fault] => {
                    let fault = serde_json::from_str(fault).map_err(|error| format!("{fault}: {error}"))?;
                    options.faults.push(fault);
                }
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<usize, Failure> {
    text.parse().map_err(|_| format!("`{text}` is not a number of events").into())
}

async fn services() -> Result<ExitCode, Failure> {
    let services = Services::start().await?;
    for (name, value) in services.environment() {
        println!("export {name}={value}");
    }
    std::future::pending().await
}

async fn interrupted() -> Result<ExitCode, Failure> {
    let hears = |kind| -> io::Result<_> { signal(kind) };
    let mut interrupt = hears(SignalKind::interrupt())?;
    let mut terminate = hears(SignalKind::terminate())?;
    let mut hangup = hears(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(ExitCode::from(INTERRUPTED))
}

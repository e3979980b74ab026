//! The command line for running the function on a workstation.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command line tool")]

mod activity;
mod burst;
mod console;
mod demo;
mod load;
mod local;
mod options;
mod pipeline;
mod stack;
mod train;
mod words;

use std::io::{self, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reservation_worker_local::Services;
use reservation_worker_local::expectations::{self, Case};
use tokio::signal::unix::{SignalKind, signal};

use options::{Failure, Options};
use train::Workloads;
use words::fitted;

const USAGE: &str = "\
usage: reservation-worker-local COMMAND

  demo                     run the events of events/ under `cargo lambda`, and
                           check the results
  local [OPTION VALUE]...  start a queue, both services and the function; end
                           with Ctrl-C
  load N [OPTION VALUE]... send N events at once, measure, and check the results
  stack SETTINGS           start both services and the function for a queue that
                           exists; for `make incident`
  train [--expired] BINARY run all kinds of events, or expired holds only,
                           through a function that was built to record a
                           profile; for `make build PGO=1` and `make bench`
  services [--seed]        start the reservation API and the inventory service;
                           end with Ctrl-C. --seed creates the holds and faults
                           that the events of events/ need

options of `local` and `load`:

  --endpoint URL           use this SQS endpoint instead of moto
  --fault JSON             add this fault to the services, as with POST /faults;
                           can be repeated

option of `local`:

  --console off|PORT       start no console in the browser, or start it on this
                           port";

/// The exit status of a shell for a command that was interrupted.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    command().await.unwrap_or_else(|failure| {
        eprintln!("{}", fitted(&format!("error: {failure}"), stderr()));
        ExitCode::FAILURE
    })
}

async fn command() -> Result<ExitCode, Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["demo"] => until_interrupted(demo::run()).await,
        ["local", ref options @ ..] => local::run(parse(options)?, interrupted()).await,
        ["load", events, ref options @ ..] => {
            until_interrupted(load::run(event_count(events)?, parse(options)?)).await
        }
        ["stack", settings] => until_interrupted(stack::run(settings)).await,
        ["train", binary] => until_interrupted(train::run(Path::new(binary), Workloads::All)).await,
        ["train", "--expired", binary] => {
            until_interrupted(train::run(Path::new(binary), Workloads::ExpiredHolds)).await
        }
        ["services"] => until_stopped(services(&[])).await,
        ["services", "--seed"] => until_stopped(services(&expectations::load(&events())?)).await,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(wrong_arguments()),
    }
}

fn wrong_arguments() -> Failure {
    format!("no such command, or its arguments are wrong\n\n{USAGE}").into()
}

fn parse(options: &[&str]) -> Result<Options, Failure> {
    Options::parse(options)?.ok_or_else(wrong_arguments)
}

fn event_count(text: &str) -> Result<usize, Failure> {
    let count = text.parse().ok().filter(|count| (1..=load::MAX_EVENTS).contains(count));
    count.ok_or_else(|| {
        format!("N must be a whole number from 1 to {}, and not {text:?}", load::MAX_EVENTS).into()
    })
}

/// The folder with the sample events.
fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

async fn services(seeds: &[Case]) -> Result<ExitCode, Failure> {
    let services = Services::start().await?;
    for case in seeds {
        case.given.add(&services)?;
    }
    for (name, value) in services.environment() {
        println!("export {name}={value}");
    }
    let what_next = "Leave this running, and run the lines above in another shell. Ctrl-C ends the services.";
    eprintln!("{}", fitted(what_next, stderr()));
    std::future::pending().await
}

/// An interrupt drops the future of the command. Everything that the command has started ends with it.
async fn until_interrupted(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::select! {
        ended = command => ended,
        ended = interrupted() => ended,
    }
}

/// Runs a command that a person ends with Ctrl-C. This is no failure.
async fn until_stopped(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::select! {
        // The first, so that a signal is noticed before the command has printed anything.
        biased;
        ended = interrupted() => ended.map(|_| ExitCode::SUCCESS),
        ended = command => ended,
    }
}

async fn interrupted() -> Result<ExitCode, Failure> {
    let listen = |kind| -> io::Result<_> { signal(kind) };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(ExitCode::from(INTERRUPTED))
}

//! `dead-letters`: shows why letters are dead, predicts what would happen if they were sent again, and sends selected
//! ones again.
//!
//! A letter is a message in the dead-letter queue, or in the queue of events that could not be delivered. It passes
//! through these modules, in this order:
//!
//! 1. [`queue`] receives it, and [`hidden`] hides it from other readers meanwhile. [`reading`] reads the whole queue.
//! 2. [`message`] is the letter as the queue stores it, and [`letter`] is what is known about it.
//! 3. [`reasons`] finds in the worker's log why it is dead: a [`reason_code`] with its advice.
//! 4. [`selection`] chooses letters. [`what_if`] predicts what the worker would do. For this it reads the [`services`],
//!    and it cannot change them.
//! 5. [`report`] shows the letters. Or [`plan`] writes a file that says what is to be done, and [`apply`] does it:
//!    [`refund`] checks the permissions first, [`sending`] sends letters to the worker, [`backup`] stores those that
//!    are deleted, and [`audit`] records every action. [`restore`] sends the letters of a backup, and [`export`] writes
//!    letters to a file.
//!
//! [`cli`] defines the arguments, [`session`] connects to AWS, [`stop`] reacts to Ctrl-C.

#![forbid(unsafe_code)]

mod action;
mod apply;
mod audit;
mod aws;
mod backup;
mod cli;
mod export;
mod files;
mod hidden;
mod letter;
mod message;
mod plan;
mod prediction;
mod progress;
mod queue;
mod rate_limit;
mod reading;
mod reason_code;
mod reasons;
mod refund;
mod report;
mod restore;
mod selection;
mod sending;
mod services;
mod session;
mod stop;
mod time;
mod what_if;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Command, LetterCommand};
use session::{Session, Source};
use stop::{INTERRUPTED, Interrupted};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let error = match run(Cli::parse()).await {
        Ok(code) => return code,
        Err(error) => error,
    };
    // The reader of a pipe, such as `head`, ends when it has read enough. That is no error.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    progress::note(format_args!("error: {error:#}"));
    if error.is::<Interrupted>() { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let settings = cli.settings;
    match cli.command {
        Command::Letters(command) => {
            letters(Session::open(settings, Source::DeadLetters).await?, command).await
        }
        Command::Undelivered { command } => {
            letters(Session::open(settings, Source::Undelivered).await?, command).await
        }
        Command::Restore(args) => {
            restore::run(&Session::open(settings, Source::DeadLetters).await?, &args).await
        }
        Command::Completions { shell } => cli::write_completions(shell, &mut io::stdout()),
        Command::Man { directory } => cli::write_man_pages(directory.as_deref()),
    }
}

async fn letters(session: Session, command: LetterCommand) -> Result<ExitCode> {
    match command {
        LetterCommand::List(args) => report::run(&session, &args).await,
        LetterCommand::Plan(args) => plan::run(&session, &args).await,
        LetterCommand::Apply(args) => apply::run(&session, &args).await,
        LetterCommand::Export(args) => export::run(&session, &args).await,
    }
}

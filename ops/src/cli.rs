//! The arguments of the command line. The help texts, the shell completions and the man pages come from these
//! definitions.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::action::Action;
use crate::prediction::Prediction;

mod examples;

/// Shows why letters are dead, predicts what would happen if they were sent again, and sends selected ones again.
#[derive(Debug, Parser)]
#[command(name = "dead-letters", version, after_help = examples::ALL)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the queues and the log are. Credentials are found as by the AWS CLI.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct Settings {
    /// Stack of the worker, whose outputs name the queues and the log group
    #[arg(long, global = true, env = "STACK", value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// URL of the dead-letter queue (or of `undelivered`), instead of the output of the stack
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// URL of the worker's event queue, instead of the output of the stack
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) event_queue_url: Option<String>,
    /// Log group of the worker, instead of the output of the stack
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) log_group: Option<String>,
    /// Profile of the AWS configuration files
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// AWS region
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Endpoint of all AWS services
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// How long letters stay hidden if this command is killed while it reads them
    #[arg(long, global = true, value_name = "DURATION", default_value = "2m", value_parser = visibility_timeout)]
    pub(crate) visibility_timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Letters(LetterCommand),
    /// The same commands for events that EventBridge or the Scheduler could not deliver
    #[command(after_help = examples::UNDELIVERED)]
    Undelivered {
        #[command(subcommand)]
        command: LetterCommand,
    },
    /// Send the letters of a backup or an export again
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Print the completions for a shell
    Completions { shell: Shell },
    /// Print the man page, or write the man pages of all commands
    Man {
        /// Directory for the man pages of all commands
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LetterCommand {
    /// Show why letters are dead
    #[command(after_help = examples::LIST)]
    List(ListArgs),
    /// Write a file that says what is to be done with which letter, and do nothing yet
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Do exactly what a plan says; run it again after a crash to continue
    #[command(after_help = examples::APPLY)]
    Apply(ApplyArgs),
    /// Write letters to a file and leave them in the queue
    #[command(after_help = examples::EXPORT)]
    Export(ExportArgs),
}

/// Which letters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Letters")]
pub(crate) struct Selection {
    /// Letters with this reason code, or `unknown` (repeatable)
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reason: Vec<String>,
    /// Letters with this event type, or `unknown` (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) event_type: Vec<String>,
    /// Letters about this reservation (repeatable)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reservation: Vec<String>,
    /// The letter with this message id (repeatable)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) message: Vec<String>,
    /// Letters that are older than this, such as `2h` or `3d`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Letters that are younger than this
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) newer_than: Option<Duration>,
    /// Predict what the worker would do with each letter now. The services are only read. Their addresses and the token
    /// are those of the stack. The variables of the worker (RESERVATION_API_BASE, INVENTORY_GRPC_ADDR, ...) replace the
    /// parameters of the stack, but not a value in its secret; USE_SECRET_MANAGER=false ignores the secret
    #[arg(long)]
    pub(crate) what_if: bool,
    /// Letters with this prediction (repeatable)
    #[arg(long, value_name = "PREDICTION", value_enum, requires = "what_if")]
    pub(crate) prediction: Vec<Prediction>,
    /// Largest number of predictions in progress at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) concurrency: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Count the letters instead of showing each
    #[arg(long, value_enum)]
    pub(crate) group_by: Option<GroupBy>,
    /// Format of the result
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    Reason,
    Type,
    Day,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// What is to be done with the letters
    #[arg(long, value_enum)]
    pub(crate) action: Action,
    /// File for the plan; it must not exist. Without this option, the file is `plan.json`, and a finished plan with this
    /// name is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// Letters per second
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Stop when more than this number of redriven letters are dead again. A letter can be dead again until 28 minutes
    /// after it was sent: use `list` then
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) stop_at: usize,
    /// File to which letters are appended; required for the actions `delete` and `backup`
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: Option<PathBuf>,
    /// Redrive letters although their reason says that a refund is due, or is `unknown` (repeatable)
    #[arg(long, value_name = "CODE")]
    pub(crate) allow_reason: Vec<String>,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// File to which every action is appended; default: the name of the input with `.audit.jsonl` at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// Name of the caller in the audit file, if STS does not return it
    #[arg(long, value_name = "NAME")]
    pub(crate) caller: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup or export
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only the letter with this message id (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) message: Vec<String>,
    /// Letters per second
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Send letters although their reason says that a refund is due, or is `unknown` (repeatable)
    #[arg(long, value_name = "CODE")]
    pub(crate) allow_reason: Vec<String>,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File for the letters; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write the letters as the event that Lambda would send to the worker, for `cargo lambda invoke --data-file`
    #[arg(long)]
    pub(crate) as_lambda_event: bool,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// Parses a visibility time-out. SQS hides a message for whole seconds, and for at most 12 hours.
fn visibility_timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time.as_secs() {
        2..=43_200 => Ok(Duration::from_secs(time.as_secs())),
        _ => Err("is not from 2s to 12h".to_owned()),
    }
}

pub(crate) fn write_completions(shell: Shell, out: &mut impl Write) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dead-letters", &mut script);
    // clap_complete 4.6 spells a name with a hyphen in two ways, so that bash completes nothing after a subcommand
    // (https://github.com/clap-rs/clap/issues/6421).
    let script = String::from_utf8(script)?.replace("dead__subcmd__letters", "dead__letters");
    out.write_all(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the main page to stdout, or every page to a directory.
pub(crate) fn write_man_pages(directory: Option<&Path>) -> Result<ExitCode> {
    match directory {
        Some(directory) => clap_mangen::generate_to(Cli::command(), directory)?,
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reservation_worker::reason::Reason;
    use strum::VariantArray;

    use super::*;

    const DOCUMENTS: [&str; 2] =
        [include_str!("../../docs/operations.md"), include_str!("../../docs/dead-letters.md")];

    /// The commands in a text: those at the beginning of a line, and those between backticks.
    fn commands(text: &str) -> impl Iterator<Item = &str> {
        let starts = text.match_indices("dead-letters ").map(|(at, _)| at);
        let starts = starts.filter(|at| *at == 0 || text[..*at].ends_with(['\n', '`']));
        starts.map(|at| text[at..].split(['\n', '`', '#', '|', '>']).next().unwrap().trim())
    }

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_in_the_documents_the_examples_and_the_advice_is_valid() {
        let advice: Vec<_> = Reason::VARIANTS.iter().map(|reason| reason.advice()).collect();
        for (reason, advice) in Reason::VARIANTS.iter().zip(&advice) {
            let (plans, others): (Vec<_>, Vec<_>) =
                commands(advice).partition(|command| command.starts_with("dead-letters plan "));
            let of_the_reason = format!("--reason {} ", reason.as_str());
            assert!(plans.iter().all(|plan| plan.contains(&of_the_reason)), "{advice}");
            assert!(!plans.is_empty() && plans.len() == others.len(), "every plan is applied: {advice}");
        }
        let examples = examples::EACH.join("\n").replace("\n  ", "\n").replace("\\\n", " ");
        let documents = DOCUMENTS.map(|text| text.replace("\\\n", " "));
        let texts = documents.iter().chain(&advice).chain([&examples]).map(String::as_str);
        let found: BTreeSet<_> =
            texts.flat_map(commands).filter(|command| !command.contains("COMMAND")).collect();
        assert!(found.len() > 20, "{found:?}");
        for command in found {
            match Cli::try_parse_from(command.split_whitespace()) {
                Err(error) if error.exit_code() != 0 => panic!("{command}: {error}"),
                _ => {}
            }
        }
    }
}

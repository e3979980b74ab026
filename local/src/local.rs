//! The command `local`: runs the pipeline until Ctrl-C, so that a person can send events.

mod terminal;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use reservation_worker_local::Hold;
use reservation_worker_local::trace_receivers::Collector;
use tokio::time::sleep;

use crate::activity::{self, Activity};
use crate::console::{self, Console};
use crate::options::{Failure, Options};
use crate::pipeline::Pipeline;
use terminal::Terminal;

const UPDATE_INTERVAL: Duration = Duration::from_millis(200);
const RESERVATION: &str = "rsv_example";

/// Runs until `interrupted` ends, and then prints what is left in the queues.
pub(crate) async fn run(
    options: Options,
    interrupted: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::pin!(interrupted);
    let mut local = tokio::select! {
        local = Local::start(options) => local?,
        ended = &mut interrupted => return ended,
    };
    tokio::select! {
        failed = local.show() => failed,
        ended = &mut interrupted => {
            local.terminal.end().await;
            ended.map(|_| ExitCode::SUCCESS)
        }
    }
}

/// What runs until the command ends. Dropping it stops everything.
struct Local {
    terminal: Terminal,
    _console: Option<Console>,
    _environment: EnvironmentFile,
}

impl Local {
    async fn start(options: Options) -> Result<Self, Failure> {
        // Before anything else is started, so that a wrong port is reported at once.
        let console = match options.console {
            Some(port) => Some(console::listen(port).await?),
            None => None,
        };
        // The console shows the calls of a record, which the function logs at this level, and its trace.
        let collector = Collector::start().await?;
        let variables =
            [("LOG_LEVEL", "debug".to_owned()), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let pipeline = Arc::new(Pipeline::start(options, variables).await?);
        pipeline.services.create_hold(Hold {
            reservation_id: RESERVATION.to_owned(),
            event_id: "evt_example".to_owned(),
            seat_ids: vec!["A-12".to_owned(), "A-13".to_owned()],
            ..Hold::default()
        })?;
        let activity = Arc::new(Activity::observe(pipeline.clone(), collector).await?);
        let environment = EnvironmentFile::write(&pipeline, &activity)?;
        let console = match console {
            Some(listener) => {
                Some(Console::start(listener, pipeline.clone(), activity.clone(), &crate::events())?)
            }
            None => None,
        };
        println!("{}", instructions(&pipeline, &environment));
        let url = console.as_ref().map(Console::url);
        if let Some(url) = &url {
            println!("Console: {url}");
        }
        println!("Press Ctrl-C to stop everything.\n");
        let terminal = Terminal::new(pipeline, activity, url);
        Ok(Self { terminal, _console: console, _environment: environment })
    }

    /// Shows what happens, until stdout cannot be written any more.
    async fn show(&mut self) -> Result<ExitCode, Failure> {
        loop {
            self.terminal.update()?;
            sleep(UPDATE_INTERVAL).await;
        }
    }
}

/// A file for the shell with the addresses of this pipeline, for `make dead-letters` and for a person. It is removed
/// when the pipeline ends.
struct EnvironmentFile {
    path: PathBuf,
    /// Whether another `make local` has the file that `make dead-letters` uses by default.
    is_second: bool,
}

impl EnvironmentFile {
    fn write(pipeline: &Pipeline, activity: &Activity) -> Result<Self, Failure> {
        let Pipeline { target, queue, .. } = pipeline;
        let mut variables = activity.operators_environment();
        variables.insert("EVENT_QUEUE_URL".to_owned(), queue.url.clone());
        variables.insert("DEAD_LETTER_QUEUE_URL".to_owned(), queue.dlq_url.clone());
        // The name that version 1 of the AWS CLI knows.
        if let Some(region) = variables.get("AWS_REGION").cloned() {
            variables.insert("AWS_DEFAULT_REGION".to_owned(), region);
        }
        variables.insert("LOG_GROUP".to_owned(), activity::LOG_GROUP.to_owned());
        let lines = variables.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
        let mut path = target.join("local.env");
        let is_second = is_in_use(&path);
        if is_second {
            path = target.join(format!("local-{}.env", process::id()));
        }
        fs::write(&path, lines.collect::<String>())?;
        Ok(Self { path, is_second })
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        // The only likely error is that the file does not exist any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the services that the file names accept connections. A process that was killed leaves its file behind.
fn is_in_use(path: &Path) -> bool {
    let content = fs::read_to_string(path).unwrap_or_default();
    let base = content.lines().find_map(|line| line.strip_prefix("export RESERVATION_API_BASE='http://"));
    base.is_some_and(|base| TcpStream::connect(base.trim_end_matches(['/', '\''])).is_ok())
}

fn instructions(pipeline: &Pipeline, environment: &EnvironmentFile) -> String {
    let endpoint = pipeline.sqs.endpoint();
    let (url, dlq_url) = (&pipeline.queue.url, &pipeline.queue.dlq_url);
    let base = pipeline.services.reservation_api_base();
    let inventory = pipeline.services.inventory_addr();
    let file = environment.path.display();
    let (mut another, mut dead_letters) = ("", "make dead-letters".to_owned());
    if environment.is_second {
        another = "Another `make local` is running, so the command names this one by PROCESS.\n\n";
        dead_letters += &format!(" PROCESS={}", process::id());
    }
    // Moto recognises from the signature that a request is for SQS.
    let (keys, curl) = if pipeline.sqs.is_aws() {
        ("\nThe AWS CLI uses your own keys.", "")
    } else {
        let curl = r#"
or with curl:

  curl -w '\n' --aws-sigv4 aws:amz:ap-northeast-2:sqs --user test:test \
    -d Action=SendMessage --data-urlencode MessageBody="$BODY" \
    "$EVENT_QUEUE_URL"
"#;
        ("", curl)
    };
    format!(
        r#"SQS endpoint       {endpoint}
queue              {url}
dead-letter queue  {dlq_url}
reservation API    {base}
inventory service  {inventory}

The reservation {RESERVATION} holds the seats A-12 and A-13. Run these commands in
a second shell. The first one sets the addresses.{keys}

  . {file}
  BODY='{{"type":"reservation.expired","detail":{{
    "reservation_id":"{RESERVATION}","event_id":"evt_example"}}}}'
  aws sqs send-message --endpoint-url {endpoint} \
    --queue-url "$EVENT_QUEUE_URL" --message-body "$BODY"
{curl}
{another}Read the reservation and the dead letters (a message with the body `nonsense`
becomes one). With RUN='…', `make dead-letters` runs a command of the advice.

  curl -w '\n' "$RESERVATION_API_BASE/internal/reservations/{RESERVATION}"
  {dead_letters}
"#
    )
}

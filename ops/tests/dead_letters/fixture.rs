//! Queues in moto, both services, a log group, and the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_sqs::config::Credentials;
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use reservation_worker_local::event_source::{Queue, Sqs};
use reservation_worker_local::{Hold, Operation, Services};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// The queue's own visibility time-out, which no test waits for.
const LONG: Duration = Duration::from_secs(300);
/// The tool reads each queue until a long poll returns nothing. Moto knows that a queue is empty without waiting.
const LONGEST_POLL: Duration = Duration::from_millis(100);
const REGION: &str = "ap-northeast-2";

/// The moto of all tests, which have their own queues and log groups in it: to start one for each test would take
/// minutes. It ends with this process.
static MOTO: OnceCell<Sqs> = OnceCell::const_new();

pub struct Fixture {
    pub sqs: Sqs,
    pub queue: Queue,
    pub log_group: String,
    pub services: Services,
    pub aws: SdkConfig,
    pub directory: TempDir,
}

/// The result of a command.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// The rows of `--output json`.
    pub fn rows(&self) -> Vec<Value> {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Fixture {
    pub async fn new(fifo: bool) -> Self {
        let moto = MOTO
            .get_or_init(async || {
                Sqs::start_moto_with_longest_poll(&root().join(".tools"), LONGEST_POLL).await.unwrap()
            })
            .await;
        // A client of its own, because the runtime of the test that started moto may have ended.
        Self::over(Sqs::at(moto.endpoint()).await.unwrap(), fifo).await
    }

    /// The fixture over any SQS.
    pub async fn over(sqs: Sqs, fifo: bool) -> Self {
        let name = unique("events");
        let queue = sqs.create(&name, fifo, 1, LONG).await.unwrap();
        let log_group = format!("/aws/lambda/{name}");
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .http_client(reservation_worker::aws::http().unwrap())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .region(Region::new(REGION))
            .endpoint_url(sqs.endpoint())
            .load()
            .await;
        let directory = tempfile::tempdir().unwrap();
        Self { sqs, queue, log_group, services: Services::start().await.unwrap(), aws, directory }
    }

    /// Another queue, with a dead-letter queue of its own.
    pub async fn another_queue(&self, fifo: bool) -> Queue {
        self.sqs.create(&unique("other"), fifo, 5, LONG).await.unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, in the directory of the fixture.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_to(&self.queue.url, arguments)
    }

    /// The command, for another event queue and its dead-letter queue.
    pub fn command_of(&self, queue: &Queue, arguments: &[&str]) -> Command {
        self.command_between(&queue.dlq_url, &queue.url, arguments)
    }

    /// The command, for another event queue.
    pub fn command_to(&self, event_queue_url: &str, arguments: &[&str]) -> Command {
        self.command_between(&self.queue.dlq_url, event_queue_url, arguments)
    }

    fn command_between(&self, queue_url: &str, event_queue_url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dead-letters"));
        command.current_dir(self.directory.path()).env_clear().envs(self.environment());
        command.args(arguments);
        command.args(["--queue-url", queue_url, "--event-queue-url", event_queue_url]);
        command.args(["--log-group", &self.log_group]);
        command.stdin(Stdio::null());
        command
    }

    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.services.environment();
        environment.remove("AWS_ENDPOINT_URL_CLOUDWATCH");
        environment.insert("AWS_ENDPOINT_URL".to_owned(), self.sqs.endpoint().to_owned());
        environment.insert("HOME".to_owned(), self.directory.path().display().to_string());
        environment
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        Self::output(self.command(arguments)).await
    }

    pub async fn output(mut command: Command) -> Ran {
        Ran::new(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    }

    /// Sends letters to the dead-letter queue. Returns their message ids.
    pub async fn send_dead_letters(&self, bodies: &[String]) -> Vec<String> {
        let messages = bodies.iter().map(|body| (group(body), body.clone()));
        self.dead_letter_queue().send(messages).await.unwrap()
    }

    /// Writes a summary line of the worker about each message.
    pub async fn log(&self, lines: &[(&str, &str)]) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.aws);
        // The group exists if this is not the first call.
        let _ = logs.create_log_group().log_group_name(&self.log_group).send().await;
        let stream = format!("{:032x}", fastrand::u128(..));
        logs.create_log_stream()
            .log_group_name(&self.log_group)
            .log_stream_name(&stream)
            .send()
            .await
            .unwrap();
        let now = SystemTime::now();
        let millis = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let events = lines.iter().map(|(message_id, reason_code)| {
            let line = json!({
                "timestamp": humantime::format_rfc3339_micros(now).to_string(), "level": "ERROR",
                "message": "record is a dead letter", "message_id": message_id, "attempt": 5,
                "reason": format!("because {reason_code}"), "reason_code": reason_code, "advice": "older advice",
            });
            InputLogEvent::builder().timestamp(millis).message(line.to_string()).build().unwrap()
        });
        let events: Vec<_> = events.collect();
        for chunk in events.chunks(1_000) {
            let put = logs.put_log_events().log_group_name(&self.log_group).log_stream_name(&stream);
            put.set_log_events(Some(chunk.to_vec())).send().await.unwrap();
        }
    }

    /// The visible and the hidden letters of the dead-letter queue.
    pub async fn dead_depth(&self) -> (usize, usize) {
        self.dead_letter_queue().depth().await.unwrap()
    }

    /// The visible and the hidden events.
    pub async fn event_depth(&self) -> (usize, usize) {
        self.queue.depth().await.unwrap()
    }

    /// The dead-letter queue as a queue of its own.
    pub fn dead_letter_queue(&self) -> Queue {
        let mut queue = self.queue.clone();
        queue.url.clone_from(&queue.dlq_url);
        queue
    }

    /// The bodies in the event queue, in order, which are received and deleted.
    pub async fn events(&self) -> Vec<String> {
        self.event_messages().await.into_iter().map(|message| message.body.unwrap()).collect()
    }

    pub async fn event_messages(&self) -> Vec<Message> {
        self.messages(&self.queue).await
    }

    /// Receives and deletes all messages.
    pub async fn messages(&self, queue: &Queue) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let receive = self.sqs.client().receive_message().queue_url(&queue.url);
            let receive = receive.max_number_of_messages(10).message_attribute_names("All");
            let all_names = aws_sdk_sqs::types::MessageSystemAttributeName::All;
            let received = receive.message_system_attribute_names(all_names).send().await.unwrap().messages;
            match received {
                Some(messages) if !messages.is_empty() => {
                    for message in &messages {
                        let delete = self.sqs.client().delete_message().queue_url(&queue.url);
                        delete.set_receipt_handle(message.receipt_handle.clone()).send().await.unwrap();
                    }
                    all.extend(messages);
                }
                _ => return all,
            }
        }
    }

    pub fn hold(&self, id: &str) {
        let (reservation_id, event_id) = (id.to_owned(), "evt_1".to_owned());
        let seat_ids = vec![format!("{id}/A"), format!("{id}/B")];
        self.services.create_hold(Hold { reservation_id, event_id, seat_ids, ..Hold::default() }).unwrap();
    }

    /// The calls to the services that change something.
    pub fn changes(&self) -> usize {
        let reads = [Operation::ReadReservation, Operation::CheckAvailability];
        self.services.calls().iter().filter(|call| !reads.contains(&call.operation)).count()
    }

    /// The lines of an audit file.
    pub fn audit(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        // A crash may leave an incomplete line.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn unique(name: &str) -> String {
    format!("{name}-{:016x}", fastrand::u64(..))
}

/// The message group of an event: its reservation.
fn group(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["detail"]["reservation_id"].as_str().unwrap_or("none").to_owned()
}

pub fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

pub fn expired(id: &str) -> String {
    event("reservation.expired", id, json!({}))
}

pub fn approved(id: &str) -> String {
    event("payment.approved", id, json!({ "payment_intent_id": format!("pay-{id}") }))
}

pub fn failed(id: &str) -> String {
    event("payment.failed", id, json!({ "error_code": "CARD_DECLINED" }))
}

/// An event that can be distinguished from others about its reservation.
pub fn numbered(id: &str, number: usize) -> String {
    let mut event: Value = serde_json::from_str(&failed(id)).unwrap();
    event["number"] = json!(number);
    event.to_string()
}

fn event(event_type: &str, id: &str, more: Value) -> String {
    let mut detail = json!({
        "reservation_id": id, "event_id": "evt_1", "seat_ids": [format!("{id}/A"), format!("{id}/B")],
    });
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "detail-type": event_type, "source": "test", "detail": detail }).to_string()
}

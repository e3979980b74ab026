//! An SQS endpoint: a moto that is started here, or any other implementation of SQS.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::client::{self, causes, failed};
use super::moto::Moto;
use super::queues::Queue;
use crate::output::Output;

/// An SQS endpoint. If moto was started for it, dropping this value stops moto.
#[derive(Debug)]
pub struct Sqs {
    endpoint: String,
    environment: BTreeMap<String, String>,
    client: Client,
    moto: Option<Moto>,
}

impl Sqs {
    /// Starts moto on a free loopback port. `tools` is the Python virtual environment with moto, or the
    /// folder that contains this environment as `venv`. Dropping the value stops moto and removes its queues.
    ///
    /// # Errors
    ///
    /// Moto is not installed or does not start.
    pub async fn start_moto(tools: &Path) -> io::Result<Self> {
        Self::at_moto(Moto::start(tools, None).await?).await
    }

    /// Starts moto like [`Self::start_moto`]. An empty queue replies to a long poll after `longest_poll` at the latest.
    /// This is for tests of a program that reads until a queue is empty.
    ///
    /// # Errors
    ///
    /// Moto is not installed or does not start.
    pub async fn start_moto_with_longest_poll(tools: &Path, longest_poll: Duration) -> io::Result<Self> {
        Self::at_moto(Moto::start(tools, Some(longest_poll)).await?).await
    }

    async fn at_moto(moto: Moto) -> io::Result<Self> {
        let sqs = Self::at(&moto.endpoint()).await?;
        Ok(Self { moto: Some(moto), ..sqs })
    }

    /// Uses the SQS at the URL `endpoint`. For an endpoint of AWS itself, the region and the keys come from
    /// the environment of this process.
    ///
    /// # Errors
    ///
    /// The endpoint does not reply, or rejects the keys.
    pub async fn at(endpoint: &str) -> io::Result<Self> {
        let environment = client::environment(endpoint, |name| env::var(name).ok())?;
        let client = client::client(endpoint, &environment);
        let queues = client.list_queues().max_results(1).send().await;
        queues.map_err(|error| io::Error::other(unusable(endpoint, error)))?;
        Ok(Self { endpoint: endpoint.to_owned(), environment, client, moto: None })
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether this is a moto that was started here. Its queues disappear with this value.
    pub fn is_started_here(&self) -> bool {
        self.moto.is_some()
    }

    /// Deletes a queue and its dead-letter queue, with all messages.
    ///
    /// # Errors
    ///
    /// SQS refuses it or does not reply.
    pub async fn delete(&self, queue: &Queue) -> io::Result<()> {
        for url in [&queue.url, &queue.dlq_url] {
            let deleted = self.client.delete_queue().queue_url(url).send().await;
            deleted.map_err(|error| io::Error::other(failed(error)))?;
        }
        Ok(())
    }

    /// Whether the endpoint is AWS itself.
    pub fn is_aws(&self) -> bool {
        client::is_aws(&self.endpoint)
    }

    /// The environment variables with which a program uses this endpoint.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// A client for this endpoint.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The visibility time-outs that moto has received, in order: the message id and the time-out in seconds.
    pub fn visibility_changes(&self) -> Vec<(String, u64)> {
        let change =
            |line: &Value| Some((line["message_id"].as_str()?.to_owned(), line["seconds"].as_u64()?));
        self.moto_calls().iter().filter_map(change).collect()
    }

    /// The number of entries in each `ChangeMessageVisibilityBatch` call that moto has received, in order.
    pub fn visibility_calls(&self) -> Vec<u64> {
        self.moto_calls().iter().filter_map(|line| line["changes"].as_u64()).collect()
    }

    /// The number of entries in each `DeleteMessageBatch` call that moto has received, in order.
    pub fn deletions(&self) -> Vec<u64> {
        self.moto_calls().iter().filter_map(|line| line["deletes"].as_u64()).collect()
    }

    /// A reader of what `moto.py` logs. `None`: another endpoint, which does not show what others do with its queues.
    ///
    /// # Errors
    ///
    /// The limit of open files is reached.
    pub fn log(&self) -> io::Result<Option<Output>> {
        self.moto.as_ref().map(|moto| moto.log().try_clone()).transpose()
    }

    fn moto_calls(&self) -> Vec<Value> {
        self.moto.as_ref().map(Moto::calls).unwrap_or_default()
    }

    /// Creates the queue `name` and its dead-letter queue `name-dlq`. The names of FIFO queues also get
    /// `.fifo`. A message goes to the dead-letter queue after `max_receives` receives. `visibility` is the
    /// default visibility time-out, in whole seconds.
    ///
    /// # Errors
    ///
    /// SQS does not reply, or rejects a call.
    pub async fn create(
        &self,
        name: &str,
        fifo: bool,
        max_receives: u32,
        visibility: Duration,
    ) -> io::Result<Queue> {
        let (dlq_url, dlq_arn) = self.create_one(&format!("{name}-dlq"), fifo, Vec::new()).await?;
        let redrive = json!({ "deadLetterTargetArn": dlq_arn, "maxReceiveCount": max_receives });
        let attributes = vec![
            (QueueAttributeName::VisibilityTimeout, visibility.as_secs().to_string()),
            (QueueAttributeName::RedrivePolicy, redrive.to_string()),
        ];
        let (url, arn) = self.create_one(name, fifo, attributes).await?;
        Ok(Queue {
            url,
            arn,
            dlq_url,
            dlq_arn,
            fifo,
            endpoint: self.endpoint.clone(),
            environment: self.environment.clone(),
            client: self.client.clone(),
            dlq_receives: Arc::default(),
        })
    }

    async fn create_one(
        &self,
        name: &str,
        fifo: bool,
        mut attributes: Vec<(QueueAttributeName, String)>,
    ) -> io::Result<(String, String)> {
        let name = if fifo { format!("{name}.fifo") } else { name.to_owned() };
        if fifo {
            attributes.push((QueueAttributeName::FifoQueue, "true".to_owned()));
        }
        let create = self.client.create_queue().queue_name(&name);
        let attributes = (!attributes.is_empty()).then(|| attributes.into_iter().collect());
        let created = create.set_attributes(attributes).send().await.map_err(failed)?;
        let url = created.queue_url.unwrap_or_default();
        let call = self.client.get_queue_attributes().queue_url(&url);
        let reply = call.attribute_names(QueueAttributeName::QueueArn).send().await.map_err(failed)?;
        let arn =
            reply.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn));
        let arn = arn.ok_or_else(|| io::Error::other(format!("the queue {name} has no ARN")))?;
        Ok((url, arn))
    }
}

/// Why SQS cannot be used at this endpoint.
fn unusable(endpoint: &str, error: impl Error + 'static) -> String {
    let io_error = causes(&error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    match io_error {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {endpoint}: {error}")
        }
        _ => format!("{endpoint}: {}", failed(error)),
    }
}

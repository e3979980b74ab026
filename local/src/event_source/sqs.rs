//! An SQS: moto, or whatever an endpoint says.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::client::{self, failed};
use super::moto::Moto;
use super::queues::Queue;

/// An SQS: its endpoint, and who it was started by.
#[derive(Debug)]
pub struct Sqs {
    endpoint: String,
    environment: BTreeMap<String, String>,
    client: Client,
    moto: Option<Moto>,
}

impl Sqs {
    /// Starts moto on a free loopback port; `tools` is the virtual environment that it is installed in, or the
    /// folder that has it as `venv`. Dropped, it stops, and its queues are gone.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub async fn start_moto(tools: &Path) -> io::Result<Self> {
        let moto = Moto::start(tools).await?;
        let sqs = Self::at(&moto.endpoint()).await?;
        Ok(Self { moto: Some(moto), ..sqs })
    }

    /// Uses the SQS at `endpoint`. AWS's own is reached with region and keys of this process's environment.
    ///
    /// # Errors
    ///
    /// It does not answer, or refuses the keys.
    pub async fn at(endpoint: &str) -> io::Result<Self> {
        let environment = client::environment(endpoint, |name| env::var(name).ok())?;
        let client = client::client(endpoint, &environment);
        let queues = client.list_queues().max_results(1).send().await;
        queues.map_err(|error| io::Error::other(format!("{endpoint}: {}", failed(error))))?;
        Ok(Self { endpoint: endpoint.to_owned(), environment, client, moto: None })
    }

    /// Value for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client for it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The visibility time-outs that moto was asked for, in order: message id and seconds.
    pub fn visibility_changes(&self) -> Vec<(String, u64)> {
        let change =
            |line: &Value| Some((line["message_id"].as_str()?.to_owned(), line["seconds"].as_u64()?));
        self.asked().iter().filter_map(change).collect()
    }

    /// The calls that asked moto for visibility time-outs, in order: how many messages each named.
    pub fn visibility_calls(&self) -> Vec<u64> {
        self.asked().iter().filter_map(|line| line["changes"].as_u64()).collect()
    }

    /// The calls by which messages of moto's were deleted, in order: how many messages each named.
    pub fn deletions(&self) -> Vec<u64> {
        self.asked().iter().filter_map(|line| line["deletes"].as_u64()).collect()
    }

    fn asked(&self) -> Vec<Value> {
        self.moto.as_ref().map(Moto::asked).unwrap_or_default()
    }

    /// Creates the queue `name` and its dead-letter queue `name-dlq`; `.fifo` is added where it belongs.
    ///
    /// # Errors
    ///
    /// SQS refuses.
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
            looks: Arc::default(),
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
        let asked = self.client.get_queue_attributes().queue_url(&url);
        let answered = asked.attribute_names(QueueAttributeName::QueueArn).send().await.map_err(failed)?;
        let arn = answered.attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn));
        let arn = arn.ok_or_else(|| io::Error::other(format!("the queue {name} has no ARN")))?;
        Ok((url, arn))
    }
}

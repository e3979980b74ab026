//! What a command works with: the queues, the log, and the signal to stop.

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::aws::{self, Stack};
use crate::cli::Settings;
use crate::progress::note;
use crate::queue::Queue;
use crate::stop::Stop;

/// The queue that is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The dead-letter queue of the worker's queue.
    #[default]
    DeadLetters,
    /// The queue of events that EventBridge or the Scheduler could not deliver.
    Undelivered,
}

impl Source {
    /// The output of the stack with the URL of the queue.
    fn output(self) -> &'static str {
        match self {
            Self::DeadLetters => "DeadLetterQueueUrl",
            Self::Undelivered => "UndeliveredQueueUrl",
        }
    }

    /// The command that works on this queue.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::Undelivered => "dead-letters undelivered",
        }
    }
}

/// The connection to AWS.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) source: Source,
    pub(crate) settings: Settings,
    pub(crate) config: SdkConfig,
    pub(crate) stop: Stop,
    stack: OnceCell<Stack>,
}

impl Session {
    pub(crate) async fn open(settings: Settings, source: Source) -> Result<Self> {
        let config = aws::config(&settings).await?;
        let stop = Stop::on_signals(settings.visibility_timeout)?;
        Ok(Self { source, settings, config, stop, stack: OnceCell::new() })
    }

    /// The queue that is read.
    pub(crate) async fn queue(&self) -> Result<Queue> {
        let given = self.settings.queue_url.as_ref();
        let queue = self.queue_of(given, self.source.output(), "--queue-url").await?;
        if queue.dead_letter_target().await?.is_some() {
            bail!(
                "{} has a dead-letter queue, so its messages are not dead, and reading them would count as receives",
                queue.url
            );
        }
        Ok(queue)
    }

    /// Whether the queue that is read is the one for events that no rule of the worker matched. Only the stack says
    /// this: if it cannot be read, the answer is no.
    pub(crate) async fn reads_unmatched_events(&self) -> Result<bool> {
        let Some(url) = &self.settings.queue_url else { return Ok(false) };
        let stack = async { Ok(self.stack().await.ok().flatten()) };
        let stack = self.stop.unless_requested(stack).await?;
        Ok(stack.is_some_and(|stack| stack.outputs.get("UnmatchedQueueUrl") == Some(url)))
    }

    /// The queue that the worker reads. `letters` is the queue that this tool reads. The two must belong together,
    /// because the dead letters of another worker must not be sent to this one.
    pub(crate) async fn event_queue(&self, letters: &Queue) -> Result<Queue> {
        let given = self.settings.event_queue_url.as_ref();
        let events = self.queue_of(given, "EventQueueUrl", "--event-queue-url").await?;
        if letters.url == events.url {
            bail!(
                "{} is given as the event queue and as the dead-letter queue, which cannot be the same queue",
                events.url
            );
        }
        if self.source == Source::DeadLetters
            && events.dead_letter_target().await? != Some(letters.arn().await?)
        {
            bail!("{} is not the dead-letter queue of {}", letters.url, events.url);
        }
        Ok(events)
    }

    /// The log group of the worker, if it is known.
    pub(crate) async fn log_group(&self) -> Result<String> {
        match &self.settings.log_group {
            Some(group) => Ok(group.clone()),
            None => self.output("LogGroup", "--log-group").await,
        }
    }

    /// The name of the caller for the audit file: the ARN from STS, or else the name that was given.
    pub(crate) async fn caller(&self, given: Option<&str>) -> Result<String> {
        match (aws::caller(&self.config).await, given) {
            (Ok(arn), _) => Ok(arn),
            (Err(error), Some(name)) => {
                note(format_args!("note: the audit file names {name} as the caller ({error:#})"));
                Ok(name.to_owned())
            }
            (Err(error), None) => Err(error.context("the caller is not known; give it with --caller NAME")),
        }
    }

    async fn queue_of(&self, given: Option<&String>, output: &str, argument: &str) -> Result<Queue> {
        let url = match given {
            Some(url) => url.clone(),
            None => self.output(output, argument).await?,
        };
        Ok(Queue::new(&self.config, url))
    }

    async fn output(&self, key: &str, argument: &str) -> Result<String> {
        let Some(stack) = self.stack().await? else {
            bail!("neither {argument} nor --stack (or the variable STACK) is given");
        };
        stack.outputs.get(key).cloned().with_context(|| format!("the stack has no output {key}"))
    }

    /// The stack of the worker, if its name is known.
    pub(crate) async fn stack(&self) -> Result<Option<&Stack>> {
        match &self.settings.stack {
            Some(name) => self.stack.get_or_try_init(|| aws::stack(&self.config, name)).await.map(Some),
            None => Ok(None),
        }
    }
}

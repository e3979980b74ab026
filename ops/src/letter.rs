//! What is known about a letter: its event as the worker reads it, its times, and why it is dead.

use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::SqsMessage;
use reservation_worker::job::Job;
use reservation_worker::reason::Reason;
use reservation_worker::reservation::Ending;
use reservation_worker::telemetry::traces::Parent;
use reservation_worker::workflow::steps;
use sqs_batch::{Job as _, Record};

use crate::message::StoredMessage;
use crate::prediction::Verdict;
use crate::reason_code::{self, UNKNOWN};
use crate::refund;
use crate::session::Source;
use crate::time;

/// The message group of an event without a reservation: a FIFO queue requires a group.
const NO_RESERVATION: &str = "none";
/// The longest time from the last processing of a message to its move to the dead-letter queue: SQS hides a message for
/// at most 12 hours, and the worker may have been stopped for some hours.
const MAX_TIME_TO_MOVE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known about a letter, without its body.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) message_id: String,
    pub(crate) source: Source,
    pub(crate) group: Option<String>,
    pub(crate) sha256: String,
    pub(crate) job: Job,
    /// When it was sent to the queue, according to SQS.
    pub(crate) sent: SystemTime,
    /// The earliest time at which the worker may have logged a line about it.
    pub(crate) logged_after: SystemTime,
    pub(crate) first_receive: Option<SystemTime>,
    /// The last receive by the worker, which only its log knows.
    pub(crate) last_receive: Option<SystemTime>,
    pub(crate) receives: u32,
    pub(crate) trace_id: Option<String>,
    pub(crate) reason: Option<Explanation>,
    pub(crate) what_if: Option<Verdict>,
}

/// A number of letters.
pub(crate) fn counted(letters: usize) -> String {
    format!("{letters} {}", if letters == 1 { "letter" } else { "letters" })
}

/// Why a letter is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) code: String,
    pub(crate) text: Option<String>,
    pub(crate) advice: Option<String>,
}

impl Letter {
    /// Reads a message with the worker's own code, as if Lambda had delivered it.
    pub(crate) fn read(message: &StoredMessage, source: Source) -> Self {
        let record = record(message);
        let job = Job::read(&record);
        let in_trace = Parent::producer(&record, job.trace_id());
        let millis = |name| message.attribute(name).and_then(time::from_millis);
        let sent = millis("SentTimestamp").unwrap_or(SystemTime::UNIX_EPOCH);
        // For a FIFO queue, SQS sets the time of sending to the time at which the message was moved to the dead-letter
        // queue.
        let is_fifo = message.attribute("SequenceNumber").is_some();
        let before_sent = if is_fifo { MAX_TIME_TO_MOVE } else { Duration::ZERO };
        Self {
            source,
            group: message.attribute("MessageGroupId").map(str::to_owned),
            sha256: message.digest(),
            sent,
            logged_after: sent.checked_sub(before_sent).unwrap_or(sent),
            first_receive: millis("ApproximateFirstReceiveTimestamp"),
            last_receive: None,
            receives: record.receive_count,
            trace_id: in_trace.map(|parent| parent.span_context(false).trace_id().to_string()),
            reason: match source {
                Source::DeadLetters => unreadable(&job),
                Source::Undelivered => undelivered(message),
            },
            message_id: record.message_id,
            job,
            what_if: None,
        }
    }

    pub(crate) fn event_type(&self) -> &'static str {
        self.job.event_type().map_or(UNKNOWN, |event_type| event_type.as_str())
    }

    pub(crate) fn reservation_id(&self) -> Option<&str> {
        self.job.hold().map(|hold| hold.reservation_id.as_str())
    }

    /// The message group in a FIFO queue.
    pub(crate) fn message_group(&self) -> &str {
        self.group.as_deref().or(self.reservation_id()).unwrap_or(NO_RESERVATION)
    }

    /// The ending of the reservation that the event requests.
    pub(crate) fn requested_ending(&self) -> Option<Ending> {
        let (transition, _) = steps(&self.job.parsed.as_ref().ok()?.event)?;
        Some(transition.to)
    }

    pub(crate) fn reason_code(&self) -> &str {
        self.reason.as_ref().map_or(UNKNOWN, |reason| &reason.code)
    }

    /// The reason code; if a prediction says that a refund is due, the reason code of the prediction.
    pub(crate) fn reason_or_refund(&self) -> &str {
        let code = self.reason_code();
        refund::reason(self.event_type(), code, self.what_if.as_ref()).unwrap_or(code)
    }

    /// Whether the worker may have processed the letter with an unknown result. An event with a delivery error, or one
    /// that no rule matched, never reached the worker; an undelivered event without a reason may have.
    pub(crate) fn is_unexplained(&self) -> bool {
        let had_reached_worker = self.source == Source::DeadLetters || self.reason.is_none();
        had_reached_worker && self.known_reason().is_none()
    }

    /// Whether the recorded reason is that the reservation API rejected the request with this HTTP status.
    pub(crate) fn is_rejected_with(&self, status: u16) -> bool {
        let text = self.reason.as_ref().and_then(|reason| reason.text.as_deref()).unwrap_or_default();
        let rest = text.strip_prefix(&format!("reservation API: {status}"));
        self.known_reason() == Some(Reason::ReservationApiRejected)
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// The reason code, if this version of the worker has it.
    pub(crate) fn known_reason(&self) -> Option<Reason> {
        reason_code::reason(self.reason_code())
    }
}

impl Explanation {
    pub(crate) fn of(reason: Reason, text: String) -> Self {
        let advice = Some(reason.advice());
        Self { code: reason.as_str().to_owned(), text: Some(text), advice }
    }

    /// Why an event is in the queue of events that no rule of the worker matched.
    pub(crate) fn unmatched() -> Self {
        Self {
            code: "unmatched".to_owned(),
            text: Some("no rule of the worker matched the event, so the worker did not get it".to_owned()),
            advice: Some("Follow the section `unmatched` of docs/operations.md.".to_owned()),
        }
    }
}

/// The message as the worker gets it from Lambda.
fn record(message: &StoredMessage) -> Record {
    let json = message.record("");
    let delivered = serde_json::from_value::<SqsMessage>(json).ok().and_then(|sqs| Record::new(0, sqs).ok());
    // Every message of SQS has an id and is a record, so this is only reached with another implementation of SQS.
    delivered.unwrap_or_else(|| Record {
        message_id: message.message_id.clone(),
        receipt_handle: None,
        queue_arn: None,
        body: Some(message.body.clone()),
        receive_count: 1,
        sent: None,
        fifo_group: None,
        xray_trace_header: None,
        message_attributes: Default::default(),
    })
}

/// Why the letter is dead, if its body is not an event. The worker's log is not needed to see this.
fn unreadable(job: &Job) -> Option<Explanation> {
    let error = job.parsed.as_ref().err()?;
    Some(Explanation::of(Reason::InvalidPayload, error.to_string()))
}

/// Why an event was not delivered. EventBridge and the Scheduler write the reason into the attributes of the message.
fn undelivered(message: &StoredMessage) -> Option<Explanation> {
    // They do not use the reason codes of the worker. Such a code must not be taken for what the worker has logged.
    let code = message.text("ERROR_CODE").filter(|code| reason_code::reason(code).is_none())?;
    let sender = message.text("RULE_ARN").or(message.text("SCHEDULE_ARN"));
    let advice = sender.map(|sender| {
        format!(
            "Fix the delivery by {sender}. Then redrive the message with `dead-letters undelivered plan --action redrive`, \
             then `dead-letters undelivered apply plan.json`."
        )
    });
    let text = message.text("ERROR_MESSAGE").map(str::to_owned);
    Some(Explanation { code: code.to_owned(), text, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_at_nine(more: &[(&str, &str)]) -> Letter {
        let attributes = [("SentTimestamp", "1763110800000")].iter().chain(more);
        let message = StoredMessage {
            message_id: "m1".to_owned(),
            body: String::new(),
            attributes: attributes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            message_attributes: Default::default(),
        };
        Letter::read(&message, Source::DeadLetters)
    }

    #[test]
    fn the_http_status_of_a_rejection_is_in_the_recorded_reason() {
        let rejected = |reason, text: &str| {
            let reason = Some(Explanation::of(reason, text.to_owned()));
            Letter { reason, ..sent_at_nine(&[]) }.is_rejected_with(404)
        };
        assert!(rejected(Reason::ReservationApiRejected, "reservation API: 404 RESERVATION_NOT_FOUND"));
        assert!(rejected(Reason::ReservationApiRejected, "reservation API: 404"));
        assert!(!rejected(Reason::ReservationApiRejected, "reservation API: 4040"));
        assert!(!rejected(Reason::ReservationApiRejected, "reservation API: 422 RESERVATION_NOT_FOUND"));
        assert!(!rejected(Reason::ReservationConflict, "reservation API: 404"));
    }

    #[test]
    fn the_log_of_a_letter_in_a_fifo_queue_begins_before_the_letter_counts_as_sent() {
        let day = |letter: Letter| time::rfc3339(letter.logged_after);
        assert_eq!(day(sent_at_nine(&[])), "2025-11-14T09:00:00Z");
        assert_eq!(day(sent_at_nine(&[("SequenceNumber", "1")])), "2025-11-13T09:00:00Z");
    }
}

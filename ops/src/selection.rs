//! Chooses letters: reads the queue, explains the letters, and applies the filters.

use std::ops::ControlFlow;
use std::time::SystemTime;

use anyhow::{Result, bail};
use reservation_worker::event::EventType;
use reservation_worker::reason::Reason;
use strum::VariantArray;

use crate::cli::Selection;
use crate::hidden::HiddenLetters;
use crate::letter::{Explanation, Letter, counted};
use crate::progress::{bar, note};
use crate::reading;
use crate::reason_code::{self, UNKNOWN};
use crate::reasons;
use crate::session::{Session, Source};
use crate::stop::Interrupted;
use crate::what_if::{self, Payments};

/// Another name of the type `reservation.expired` (contract section 2).
const EXPIRED_ALIAS: &str = "reservation.hold.expired";

/// Reads the queue and returns the selected letters, the oldest first. When this returns, all letters are visible to
/// other readers again.
pub(crate) async fn letters(session: &Session, selection: &Selection) -> Result<Vec<Letter>> {
    check(session.source, selection)?;
    let event_types = event_types(selection)?;
    // Wrong addresses of the services are reported before the queue is read.
    let services = if selection.what_if {
        Some(session.stop.unless_requested(what_if::connect(session)).await?)
    } else {
        None
    };
    let mut letters = read(session).await?;
    let payments = Payments::of(&letters);
    if let Some(id) = selection.message.iter().find(|id| !letters.iter().any(|it| it.message_id == **id)) {
        bail!("the letter {id} was not received: it is not in the queue, or it is hidden");
    }
    letters.retain(|letter| selects_message(selection, letter) && selects(&event_types, letter.event_type()));
    match session.source {
        Source::DeadLetters => explain(session, &mut letters).await?,
        Source::Undelivered => explain_unmatched(session, &mut letters).await?,
    }
    // Letters of the same time stay in the order of the queue.
    letters.sort_by_key(|letter| letter.sent);
    letters.retain(|letter| selects_reason(selection, letter));
    if let Some(services) = services {
        what_if::predict(&services, &mut letters, &payments, session, usize::from(selection.concurrency))
            .await?;
        let selects = |letter: &Letter| {
            letter.what_if.as_ref().is_some_and(|verdict| selection.prediction.contains(&verdict.prediction))
        };
        letters.retain(|letter| selection.prediction.is_empty() || selects(letter));
    }
    if letters.is_empty() {
        note("note: no letter is selected");
    }
    Ok(letters)
}

/// The event types to select, as letters show them: an alias is replaced by the type that it stands for.
fn event_types(selection: &Selection) -> Result<Vec<String>> {
    let known = |given: &String| {
        let name = if given == EXPIRED_ALIAS { EventType::ReservationExpired.as_str() } else { given };
        let types = EventType::VARIANTS.iter().map(|event_type| event_type.as_str());
        if name != UNKNOWN && !types.clone().any(|known| known == name) {
            let types = types.collect::<Vec<_>>().join(", ");
            bail!("`{given}` is not an event type; the types are {UNKNOWN}, {types}");
        }
        Ok(name.to_owned())
    };
    selection.event_type.iter().map(known).collect()
}

/// Checks that the reasons exist: with a mistyped reason, no letter would be selected, and nothing would say why.
fn check(source: Source, selection: &Selection) -> Result<()> {
    let is_unknown = |code: &&String| *code != UNKNOWN && reason_code::reason(code).is_none();
    if source == Source::DeadLetters
        && let Some(code) = selection.reason.iter().find(is_unknown)
    {
        let codes: Vec<_> = Reason::VARIANTS.iter().map(|reason| reason.as_str()).collect();
        bail!("`{code}` is not a reason code; the codes are {UNKNOWN}, {}", codes.join(", "));
    }
    Ok(())
}

async fn read(session: &Session) -> Result<Vec<Letter>> {
    let queue = session.queue().await?;
    let hidden_letters = HiddenLetters::new(&queue, session.settings.visibility_timeout);
    let (bar, mut letters) = (bar("reading the queue", 0), Vec::new());
    let reading = async {
        let take = |message| {
            letters.push(Letter::read(&message, session.source));
            Ok(ControlFlow::Continue(()))
        };
        reading::read(&hidden_letters, &session.stop, &bar, take).await?;
        bar.finish_and_clear();
        reading::note_unread(&hidden_letters).await
    };
    hidden_letters.keep_hidden_during(reading).await?;
    Ok(letters)
}

/// Adds to each letter why it is dead, from the worker's log. If the log cannot be searched, a note says so, and only
/// the letters with unreadable bodies have a reason.
async fn explain(session: &Session, letters: &mut [Letter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let logs = aws_sdk_cloudwatchlogs::Client::new(&session.config);
    let bar = bar("searching the log", letters.len());
    let explained = async {
        let group = session.stop.unless_requested(session.log_group()).await?;
        reasons::explain(&logs, &group, letters, &session.stop, &bar).await
    };
    let explained = explained.await;
    bar.finish_and_clear();
    let unexplained = letters.iter().filter(|letter| letter.last_receive.is_none()).count();
    let count = counted(unexplained);
    match explained {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => note(format_args!(
            "note: the worker's log cannot be searched ({error:#}). Without it, only an unreadable body is known as a \
             reason. The log line is missing for {count}."
        )),
        Ok(()) if unexplained > 0 => note(format_args!(
            "note: the worker's log has no line about {count}. The log does not go back far enough, it belongs to another \
             stack, or Lambda refused or ended every invocation that received them."
        )),
        Ok(()) => {}
    }
    Ok(())
}

/// Adds the reason to events that no rule matched, if these are what the queue contains. EventBridge sends them without
/// a reason.
async fn explain_unmatched(session: &Session, letters: &mut [Letter]) -> Result<()> {
    if session.reads_unmatched_events().await? {
        for letter in letters {
            letter.reason.get_or_insert_with(Explanation::unmatched);
        }
    }
    Ok(())
}

fn selects_message(selection: &Selection, letter: &Letter) -> bool {
    let age = SystemTime::now().duration_since(letter.sent).unwrap_or_default();
    selects(&selection.message, &letter.message_id)
        && selects(&selection.reservation, letter.reservation_id().unwrap_or_default())
        && selection.older_than.is_none_or(|limit| age > limit)
        && selection.newer_than.is_none_or(|limit| age < limit)
}

fn selects_reason(selection: &Selection, letter: &Letter) -> bool {
    selects(&selection.reason, letter.reason_code())
}

/// Whether an option with these values selects this value. An option without values selects everything.
fn selects(given: &[String], value: &str) -> bool {
    given.is_empty() || given.iter().any(|given| given == value)
}

//! The command `apply`: does exactly what a plan says.
//!
//! The letters of the plan are received first, so that nobody else acts on them. Each action is in the audit file before and
//! after it. A redriven letter is sent, and then deleted: a crash in between sends it twice, and loses nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::action::Action;
use crate::audit::Audit;
use crate::cli::ApplyArgs;
use crate::files::JsonLines;
use crate::hold::Hold;
use crate::message::StoredMessage;
use crate::pace::Pace;
use crate::plan::{Plan, PlannedLetter};
use crate::progress::{bar, note};
use crate::queue::Poll;
use crate::reading;
use crate::sending;
use crate::session::Session;

mod actions;
mod missing;

use actions::Actions;

/// The largest sum of the bodies that are in memory at once, in bytes.
const WINDOW: usize = 256 * 1024 * 1024;
/// The time between two searches for redriven letters that are dead again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Too many redriven letters were dead again.
const STOPPED: u8 = 3;

pub(crate) async fn run(session: &Session, args: &ApplyArgs) -> Result<ExitCode> {
    let plan = Plan::read(&args.plan)?;
    let queue = session.queue().await?;
    if plan.queue_url != queue.url {
        bail!("the plan is for the queue {}, and not for {}", plan.queue_url, queue.url);
    }
    check(&plan, args)?;
    let has = |action| plan.letters.iter().any(|letter| letter.action == action);
    let event_queue = if has(Action::Redrive) { Some(session.event_queue().await?) } else { None };
    let caller = session.caller(args.audit.caller.as_deref()).await?;
    let audit = Audit::open(args.audit.audit.as_deref(), &args.plan, caller)?;
    let backup = args.backup.as_deref().map(JsonLines::open).transpose()?;
    let hold = Hold::new(&queue, session.settings.visibility_timeout);
    let journal = audit.journal()?;
    let actions = Actions::new(session.source, &hold, event_queue.as_ref(), audit, backup, journal);
    let pending = plan.letters.into_iter().filter(|letter| !actions.is_done(&letter.message_id));
    let pending: BTreeMap<_, _> = pending.map(|letter| (letter.message_id.clone(), letter)).collect();
    let bar = bar("applying", pending.len());
    let mut apply = Apply { session, args, hold: &hold, bar, actions, pending, window: Window::default() };
    let applied = hold.during(apply.run()).await;
    apply.bar.finish_and_clear();
    note(apply.actions.summary());
    match applied? {
        End::Complete if apply.actions.failed == 0 => Ok(ExitCode::SUCCESS),
        End::Complete => Ok(ExitCode::FAILURE),
        End::Stopped => Ok(ExitCode::from(STOPPED)),
    }
}

/// Nothing is done if the plan asks for something that needs a permission or a backup.
fn check(plan: &Plan, args: &ApplyArgs) -> Result<()> {
    let needed: BTreeSet<_> = plan.letters.iter().filter_map(PlannedLetter::needs_permission).collect();
    let refused =
        needed.into_iter().find(|reason| !args.allow_reason.iter().any(|allowed| allowed == reason));
    if let Some(reason) = refused {
        bail!(
            "a refund may be due for letters with the reason {reason}; --allow-reason {reason} redrives them"
        );
    }
    let needs_backup = plan.letters.iter().any(|letter| letter.action != Action::Redrive);
    if needs_backup && args.backup.is_none() {
        bail!("the plan deletes or exports letters; --backup FILE stores them");
    }
    Ok(())
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Stopped,
}

/// The received letters that wait for their action.
#[derive(Debug, Default)]
struct Window {
    letters: VecDeque<StoredMessage>,
    size: usize,
}

struct Apply<'a> {
    session: &'a Session,
    args: &'a ApplyArgs,
    hold: &'a Hold<'a>,
    bar: indicatif::ProgressBar,
    actions: Actions<'a>,
    /// The letters of the plan that were not received yet.
    pending: BTreeMap<String, PlannedLetter>,
    window: Window,
}

impl Apply<'_> {
    async fn run(&mut self) -> Result<End> {
        let mut patience = missing::Patience::new(self.session.settings.visibility_timeout);
        while !self.pending.is_empty() {
            self.fill_window().await?;
            if !self.window.letters.is_empty() {
                if self.work().await? == End::Stopped {
                    return Ok(End::Stopped);
                }
            } else if !patience.may_appear(self.hold, self.pending.len()).await? {
                let missing = std::mem::take(&mut self.pending);
                self.actions.end_missing(missing.into_values(), patience.unread > 0)?;
            } else {
                self.session.stop.check()?;
                sleep(missing::INTERVAL).await;
            }
        }
        Ok(End::Complete)
    }

    /// Receives the letters that are visible.
    async fn fill_window(&mut self) -> Result<()> {
        let hidden = indicatif::ProgressBar::hidden();
        let Self { session, hold, actions, pending, window, .. } = self;
        let take = |message| {
            sort(message, pending, window, actions)?;
            Ok(if window.size < WINDOW { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        reading::read(hold, &session.stop, &hidden, take).await
    }

    /// Acts on the received letters.
    async fn work(&mut self) -> Result<End> {
        let (rate, mut pace, mut watched) = (self.args.rate, Pace::new(self.args.rate), Instant::now());
        loop {
            self.session.stop.check()?;
            let is_fifo = self.hold.queue.is_fifo();
            let batch = sending::next_batch(&mut self.window.letters, Pace::batch(rate), is_fifo);
            if batch.is_empty() {
                self.window = Window::default();
                return Ok(End::Complete);
            }
            pace.wait(batch.len()).await;
            self.bar.inc(batch.len() as u64);
            self.actions.act(batch).await?;
            if watched.elapsed() >= WATCH_INTERVAL {
                watched = Instant::now();
                for message in self.hold.receive(Poll::Short).await?.new {
                    sort(message.into(), &mut self.pending, &mut self.window, &mut self.actions)?;
                }
            }
            if self.actions.came_back > self.args.stop_at {
                self.actions.stop()?;
                return Ok(End::Stopped);
            }
        }
    }
}

/// Decides what a received letter is: one of the plan, one that this command has redriven, or another one, which is only held.
fn sort(
    message: StoredMessage,
    pending: &mut BTreeMap<String, PlannedLetter>,
    window: &mut Window,
    actions: &mut Actions<'_>,
) -> Result<()> {
    actions.notice(&message.message_id)?;
    if let Some(planned) = pending.remove(&message.message_id) {
        if message.digest() == planned.body_sha256 {
            window.size += message.body.len();
            actions.expect(planned);
            window.letters.push_back(message);
        } else {
            actions.changed(&planned).context("the audit file")?;
        }
    }
    Ok(())
}

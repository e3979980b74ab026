//! The command `apply`: does exactly what a plan says.
//!
//! The letters of the plan are received first, so that nobody else acts on them. Each action is in the audit file before and
//! after it. A redriven letter is sent, and then deleted: a crash in between sends it twice, and loses nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::action::Action;
use crate::audit::{self, Audit, Common};
use crate::cli::ApplyArgs;
use crate::files::{self, JsonLines};
use crate::hold::Hold;
use crate::pace::Pace;
use crate::plan::{Plan, PlannedLetter};
use crate::progress::{bar, note};
use crate::queue::{Poll, Queue};
use crate::reading;
use crate::refund;
use crate::sending::Waiting;
use crate::session::{Session, Source};

mod actions;
mod missing;
mod window;

use actions::{Actions, Taken};
use missing::{Missing, Patience};
use window::Window;

/// The time between two searches for redriven letters that are dead again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Too many redriven letters were dead again.
const STOPPED: u8 = 3;

pub(crate) async fn run(session: &Session, args: &ApplyArgs) -> Result<ExitCode> {
    let (plan, plan_sha256) = Plan::read(&args.plan)?;
    let queue = session.queue().await?;
    if plan.queue_url != queue.url {
        bail!("the plan is for the queue {}, and not for {}", plan.queue_url, queue.url);
    }
    refund::check(plan.letters.iter().filter_map(PlannedLetter::needs_permission), &args.allow_reason)?;
    let has = |action| plan.letters.iter().any(|letter| letter.action == action);
    if args.backup.is_none() && (has(Action::Delete) || has(Action::Export)) {
        bail!("the plan deletes or exports letters, so --backup FILE is required");
    }
    let audit_path = args.audit.audit.clone().unwrap_or_else(|| audit::default_path(&args.plan));
    let paths = [Some(args.plan.as_path()), Some(audit_path.as_path()), args.backup.as_deref()];
    files::must_differ(&paths.into_iter().flatten().collect::<Vec<_>>())?;
    let event_queue = if has(Action::Redrive) { Some(session.event_queue(&queue).await?) } else { None };
    let caller = session.caller(args.audit.caller.as_deref()).await?;
    let audit = Audit::open(
        audit_path,
        Common {
            caller,
            plan_sha256: Some(plan_sha256),
            queue_url: Some(queue.url.clone()),
            sent_to: event_queue.as_ref().map(|queue| queue.url.clone()),
        },
    )?;
    let backup = args.backup.as_deref().map(JsonLines::open_private).transpose()?;
    let hold = Hold::new(&queue, session.settings.visibility_timeout);
    let actions = Actions::new(session.source, &hold, event_queue.as_ref(), audit, backup)?;
    let pending = plan.letters.into_iter().filter(|letter| !actions.is_done(&letter.message_id));
    let pending: BTreeMap<_, _> = pending.map(|letter| (letter.message_id.clone(), letter)).collect();
    let bar = bar("applying", pending.len());
    let window =
        Window::new(session.source, queue.is_fifo(), event_queue.as_ref().is_some_and(Queue::is_fifo));
    let mut apply = Apply { session, args, hold: &hold, bar, actions, pending, window };
    let applied = hold.during(apply.run()).await;
    apply.bar.finish_and_clear();
    note(apply.actions.summary());
    if session.source == Source::DeadLetters && apply.actions.has_redriven() {
        note(
            "note: a redriven letter can die for about 21 minutes after it was sent. Then run this command again: it says how \
             many did, and ends with the exit status 3 if they are more than --stop-at.",
        );
    }
    match applied? {
        End::Complete if apply.actions.is_success() => Ok(ExitCode::SUCCESS),
        End::Complete => Ok(ExitCode::FAILURE),
        End::Stopped => Ok(ExitCode::from(STOPPED)),
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Stopped,
}

struct Apply<'a> {
    session: &'a Session,
    args: &'a ApplyArgs,
    hold: &'a Hold<'a>,
    bar: indicatif::ProgressBar,
    actions: Actions<'a>,
    /// The letters of the plan that were not received yet.
    pending: BTreeMap<String, PlannedLetter>,
    /// Those that were received and wait for their action.
    window: Window,
}

impl Apply<'_> {
    async fn run(&mut self) -> Result<End> {
        let (mut patience, mut missing) = (self.patience(), usize::MAX);
        loop {
            self.fill_window().await?;
            if self.came_back_too_often()? {
                return Ok(End::Stopped);
            }
            if self.pending.len() < missing {
                (patience, missing) = (self.patience(), self.pending.len());
            }
            if missing > 0 && self.window.is_incomplete() && self.may_appear(&mut patience).await? {
                continue;
            }
            if self.window.is_empty() {
                return Ok(End::Complete);
            }
            if self.work().await? == End::Stopped {
                return Ok(End::Stopped);
            }
            missing = usize::MAX;
        }
    }

    fn patience(&self) -> Patience {
        Patience::new(self.session.settings.visibility_timeout)
    }

    /// Receives the letters that are visible, as many as it can in a quarter of the hold: the rest of the hold is for acting
    /// on them, however slow the queue and this machine are.
    async fn fill_window(&mut self) -> Result<()> {
        let hidden = indicatif::ProgressBar::hidden();
        let (began, limit) = (Instant::now(), self.session.settings.visibility_timeout / 4);
        let Self { session, hold, actions, pending, window, .. } = self;
        let take = |message| {
            window.sort(message, pending, actions)?;
            let is_enough = window.is_full() || !window.is_incomplete() && began.elapsed() >= limit;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        reading::read(hold, &session.stop, &hidden, take).await
    }

    /// Waits for missing letters. Returns whether they may still appear. Those that will not are ended.
    async fn may_appear(&mut self, patience: &mut Patience) -> Result<bool> {
        let counts = self.hold.queue.counts().await?;
        let unread = (counts.visible + counts.hidden).saturating_sub(self.hold.len());
        let missing = patience.observe(unread);
        if missing == Missing::MayAppear {
            self.session.stop.check()?;
            if patience.is_first() {
                let (count, time) = (self.pending.len(), humantime::format_duration(patience.limit));
                note(format_args!(
                    "note: {count} letters cannot be received now; waiting for them for {time}"
                ));
            }
            sleep(missing::INTERVAL).await;
            return Ok(true);
        }
        let letters = std::mem::take(&mut self.pending);
        self.bar.inc(letters.len() as u64);
        self.actions.end_missing(letters.into_values(), missing)?;
        Ok(false)
    }

    /// Acts on the received letters.
    async fn work(&mut self) -> Result<End> {
        let (rate, mut pace, mut watched) = (self.args.rate, Pace::new(self.args.rate), Instant::now());
        let mut waiting = self.window.take();
        loop {
            self.session.stop.check()?;
            let batch = waiting.next_batch(Pace::batch(rate));
            if batch.is_empty() {
                return Ok(End::Complete);
            }
            pace.wait(batch.len()).await;
            let acted = batch.len();
            let unheld = self.actions.act(batch).await?;
            self.bar.inc((acted - unheld.len()) as u64);
            if !unheld.is_empty() {
                self.receive_again(unheld, waiting).await;
                return Ok(End::Complete);
            }
            if watched.elapsed() >= WATCH_INTERVAL {
                watched = Instant::now();
                for message in self.hold.receive(Poll::Short).await?.new {
                    self.window.sort(message.into(), &mut self.pending, &mut self.actions)?;
                }
            }
            if self.came_back_too_often()? {
                return Ok(End::Stopped);
            }
        }
    }

    /// The hold of some letters has run out, such as on a suspended laptop: somebody else may have received them. All letters
    /// are given back and received again, so that their order does not change.
    async fn receive_again(&mut self, unheld: Vec<PlannedLetter>, waiting: Waiting<Taken>) {
        let waiting = waiting.into_rest().chain(self.window.take().into_rest());
        let letters = unheld.into_iter().chain(waiting.map(|(planned, _)| planned));
        self.pending.extend(letters.map(|planned| (planned.message_id.clone(), planned)));
        self.hold.give_back().await;
    }

    fn came_back_too_often(&mut self) -> Result<bool> {
        let too_often = self.actions.came_back() > self.args.stop_at;
        if too_often {
            self.actions.stop()?;
        }
        Ok(too_often)
    }
}

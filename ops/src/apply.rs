//! The command `apply`: does exactly what a plan says.
//!
//! The letters of the plan are received first, so that nobody else acts on them. Each action is in the audit file
//! before and after it. A redriven letter is sent, and then deleted: a crash in between sends it twice, and loses
//! nothing.

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
use crate::hidden::HiddenLetters;
use crate::letter::counted;
use crate::plan::{Plan, PlannedLetter};
use crate::progress::{bar, note};
use crate::queue::{Poll, Queue};
use crate::rate_limit::RateLimit;
use crate::reading;
use crate::refund;
use crate::sending::OrderedLetters;
use crate::session::{Session, Source};

mod actions;
mod missing;
mod ready;

use actions::{Actions, ReadyLetter};
use missing::{Missing, MissingWait};
use ready::ReadyLetters;

/// The time between two searches for redriven letters that are dead again.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The exit status if too many redriven letters were dead again.
const STOPPED: u8 = 3;

pub(crate) async fn run(session: &Session, args: &ApplyArgs) -> Result<ExitCode> {
    let (plan, plan_sha256) = Plan::read(&args.plan)?;
    let queue = session.queue().await?;
    if plan.queue_url != queue.url {
        bail!("the plan is for the queue {}, and not for {}", plan.queue_url, queue.url);
    }
    refund::check(plan.letters.iter().filter_map(PlannedLetter::needs_permission), &args.allow_reason)?;
    let has = |action| plan.letters.iter().any(|letter| letter.action == action);
    if args.backup.is_none() && (has(Action::Delete) || has(Action::Backup)) {
        bail!("the plan deletes or backs up letters, so --backup FILE is required");
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
    let hidden_letters = HiddenLetters::new(&queue, session.settings.visibility_timeout);
    let actions = Actions::new(session.source, &hidden_letters, event_queue.as_ref(), audit, backup)?;
    let pending = plan.letters.iter().filter(|letter| !actions.is_done(&letter.message_id));
    let pending: BTreeMap<_, _> = pending.map(|letter| (letter.message_id.clone(), letter.clone())).collect();
    let earlier = plan.letters.len() - pending.len();
    if earlier > 0 {
        let all = counted(plan.letters.len());
        note(format_args!("note: an earlier run has completed the actions on {earlier} of {all}"));
    }
    let bar = bar("applying", pending.len());
    let ready =
        ReadyLetters::new(session.source, queue.is_fifo(), event_queue.as_ref().is_some_and(Queue::is_fifo));
    let mut apply = Apply { session, args, hidden_letters: &hidden_letters, bar, actions, pending, ready };
    let applied = hidden_letters.keep_hidden_during(apply.run()).await;
    apply.bar.finish_and_clear();
    if let Ok(End::Stopped) = applied {
        let count = apply.actions.came_back();
        // A finished plan may be replaced at any time, so the same command must not be run again.
        let next = if plan.is_finished(&apply.actions.read_journal()?) {
            format!("make a new plan. Nothing is left to do in {}.", args.plan.display())
        } else {
            "run the command again, which continues and does not count these letters.".to_owned()
        };
        note(format_args!("stopped: {count} redriven letters were dead again. Fix the cause. Then {next}"));
    }
    note(apply.actions.summary());
    if session.source == Source::DeadLetters && apply.actions.has_redriven() {
        note(
            "note: a redriven letter can be dead again until 28 minutes after it was sent. `dead-letters list` shows the \
             letters that are dead again.",
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
    hidden_letters: &'a HiddenLetters<'a>,
    bar: indicatif::ProgressBar,
    actions: Actions<'a>,
    /// The letters of the plan that were not received yet.
    pending: BTreeMap<String, PlannedLetter>,
    /// The letters of the plan that were received and wait for their action.
    ready: ReadyLetters,
}

impl Apply<'_> {
    async fn run(&mut self) -> Result<End> {
        // A new wait for missing letters begins when letters of the plan were received since the last look, and after
        // each action.
        let (mut wait, mut pending_before) = (self.new_wait(), usize::MAX);
        loop {
            self.receive_ready_letters().await?;
            if self.too_many_came_back()? {
                return Ok(End::Stopped);
            }
            if self.pending.len() < pending_before {
                (wait, pending_before) = (self.new_wait(), self.pending.len());
            }
            let is_missing = !self.pending.is_empty() && self.ready.needs_missing_letters();
            if is_missing && self.may_appear(&mut wait).await? {
                continue;
            }
            if self.ready.is_empty() {
                return Ok(End::Complete);
            }
            if self.act_on_ready_letters().await? == End::Stopped {
                return Ok(End::Stopped);
            }
            pending_before = usize::MAX;
        }
    }

    fn new_wait(&self) -> MissingWait {
        MissingWait::new(self.session.settings.visibility_timeout)
    }

    /// Receives the visible letters. Once no missing letter is needed, this takes at most a quarter of the visibility
    /// time-out: the rest of this time is for acting on the letters, however slow the queue and this machine are.
    async fn receive_ready_letters(&mut self) -> Result<()> {
        let no_bar = indicatif::ProgressBar::hidden();
        let (began, limit) = (Instant::now(), self.session.settings.visibility_timeout / 4);
        let Self { session, hidden_letters, actions, pending, ready, .. } = self;
        let take = |message| {
            ready.add_received(message, pending, actions)?;
            let is_enough = ready.is_full() || !ready.needs_missing_letters() && began.elapsed() >= limit;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        reading::read(hidden_letters, &session.stop, &no_bar, take).await
    }

    /// Waits for missing letters. Returns whether they may still appear. If they will not, their actions are ended.
    async fn may_appear(&mut self, wait: &mut MissingWait) -> Result<bool> {
        let counts = self.hidden_letters.queue.counts().await?;
        let unread = (counts.visible + counts.hidden).saturating_sub(self.hidden_letters.len());
        let missing = wait.observe(unread);
        if missing == Missing::MayAppear {
            self.session.stop.check()?;
            if wait.is_first() {
                let (count, time) = (counted(self.pending.len()), humantime::format_duration(2 * wait.limit));
                note(format_args!("note: {count} cannot be received now; waiting for up to {time}"));
            }
            sleep(missing::INTERVAL).await;
            return Ok(true);
        }
        let letters = std::mem::take(&mut self.pending);
        self.bar.inc(letters.len() as u64);
        self.actions.end_missing(letters.into_values(), missing)?;
        Ok(false)
    }

    /// Acts on the letters that are ready.
    async fn act_on_ready_letters(&mut self) -> Result<End> {
        let (rate, mut rate_limit, mut watched) =
            (self.args.rate, RateLimit::new(self.args.rate), Instant::now());
        let mut waiting = self.ready.take();
        loop {
            self.session.stop.check()?;
            let batch = waiting.next_batch(RateLimit::batch_size(rate));
            if batch.is_empty() {
                return Ok(End::Complete);
            }
            rate_limit.wait(batch.len()).await;
            let acted = batch.len();
            let not_hidden = self.actions.act(batch).await?;
            self.bar.inc((acted - not_hidden.len()) as u64);
            if !not_hidden.is_empty() {
                self.receive_again(not_hidden, waiting).await;
                return Ok(End::Complete);
            }
            if watched.elapsed() >= WATCH_INTERVAL {
                watched = Instant::now();
                for message in self.hidden_letters.receive(Poll::Short).await?.new {
                    self.ready.add_received(message.into(), &mut self.pending, &mut self.actions)?;
                }
            }
            if self.too_many_came_back()? {
                return Ok(End::Stopped);
            }
        }
    }

    /// Some letters may be visible again, for example because the computer was suspended, and another reader may have
    /// received them. Makes all letters visible, and puts them back to those that must be received, so that their order
    /// does not change.
    async fn receive_again(&mut self, not_hidden: Vec<PlannedLetter>, waiting: OrderedLetters<ReadyLetter>) {
        let waiting = waiting.into_rest().chain(self.ready.take().into_rest());
        let letters = not_hidden.into_iter().chain(waiting.map(|(planned, _)| planned));
        self.pending.extend(letters.map(|planned| (planned.message_id.clone(), planned)));
        self.hidden_letters.make_visible().await;
    }

    /// Whether more than `--stop-at` redriven letters were dead again. If so, the audit file gets a line that says
    /// this.
    fn too_many_came_back(&mut self) -> Result<bool> {
        let too_many = self.actions.came_back() > self.args.stop_at;
        if too_many {
            self.actions.stop()?;
        }
        Ok(too_many)
    }
}

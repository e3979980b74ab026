//! Whose turn it is.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Turn;
use crate::outcome::{Deferral, Outcome};

pub(super) struct Queue<'a, S> {
    turns: &'a [Turn<'a>],
    settled: S,
    /// Places that wait for nothing any more, first come first.
    ready: VecDeque<usize>,
    /// Of each place: how many places before it are not settled yet, and which come right after it.
    waits_for: Vec<u8>,
    followers: Vec<[Option<usize>; 2]>,
    blocked: HashSet<&'a str>,
    started: Vec<bool>,
    outcomes: Vec<Option<Outcome>>,
}

impl<'a, S: FnMut(usize, &Outcome)> Queue<'a, S> {
    pub(super) fn new(turns: &'a [Turn<'a>], settled: S) -> Self {
        let mut queue = Self {
            turns,
            settled,
            ready: VecDeque::with_capacity(turns.len()),
            waits_for: vec![0; turns.len()],
            followers: vec![[None; 2]; turns.len()],
            blocked: HashSet::new(),
            started: vec![false; turns.len()],
            outcomes: vec![None; turns.len()],
        };
        let (mut lanes, mut groups) = (HashMap::new(), HashMap::new());
        for (place, turn) in turns.iter().enumerate() {
            let before = [
                turn.lane.and_then(|lane| lanes.insert(lane, place)),
                turn.group.and_then(|group| groups.insert(group, place)),
            ];
            for (kind, before) in before.into_iter().enumerate() {
                let Some(before) = before else { continue };
                queue.followers[before][kind] = Some(place);
                queue.waits_for[place] += 1;
            }
            if queue.waits_for[place] == 0 {
                queue.ready.push_back(place);
            }
        }
        queue
    }

    /// Whether nothing can be started.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next place to work on.
    pub(super) fn start(&mut self) -> Option<usize> {
        let place = self.ready.pop_front()?;
        self.started[place] = true;
        Some(place)
    }

    /// Settles what comes next for as long as it needs no work, or there is no time for any.
    pub(super) fn settle_without_work(&mut self, no_time: bool) {
        while let Some(&place) = self.ready.front() {
            let turn = &self.turns[place];
            let outcome = if turn.group.is_some_and(|group| self.blocked.contains(group)) {
                Outcome::Deferred(Deferral::GroupBlocked)
            } else if let Some(outcome) = self.shared(turn) {
                outcome
            } else if no_time {
                Outcome::Deferred(Deferral::NotStarted)
            } else {
                return;
            };
            self.ready.pop_front();
            self.settle(place, outcome);
        }
    }

    pub(super) fn settle(&mut self, place: usize, outcome: Outcome) {
        (self.settled)(place, &outcome);
        let turn = &self.turns[place];
        if !outcome.is_acknowledged() && !turn.is_last_try {
            self.blocked.extend(turn.group);
        }
        self.outcomes[place] = Some(outcome);
        for follower in self.followers[place].into_iter().flatten() {
            self.waits_for[follower] -= 1;
            if self.waits_for[follower] == 0 {
                self.ready.push_back(follower);
            }
        }
    }

    /// The outcomes in order; what the deadline left without one is deferred.
    pub(super) fn finish(mut self) -> Vec<Outcome> {
        let left_over =
            |started| Outcome::Deferred(if started { Deferral::Abandoned } else { Deferral::NotStarted });
        let outcomes = std::mem::take(&mut self.outcomes);
        let finished = outcomes.into_iter().enumerate().map(|(place, outcome)| {
            outcome.unwrap_or_else(|| {
                let outcome = left_over(self.started[place]);
                (self.settled)(place, &outcome);
                outcome
            })
        });
        finished.collect()
    }

    /// The outcome of the same work earlier in the batch, if it was worked on.
    fn shared(&self, turn: &Turn<'_>) -> Option<Outcome> {
        let earlier = std::iter::successors(turn.same_as, |place| self.turns[*place].same_as);
        let mut outcomes = earlier.filter_map(|place| self.outcomes[place].as_ref());
        outcomes.find(|outcome| !matches!(outcome, Outcome::Deferred(_))).cloned()
    }
}

//! Which items of a batch may start, and which wait for others.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::outcome::{Completion, Outcome, blocks_group};

/// What decides when the work on one record may start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WorkItem<'a> {
    /// Items with the same key run one after the other.
    pub(crate) key: Option<&'a str>,
    /// Items of the same group run one after the other, too. After the first returned one that a later delivery may
    /// complete, the rest is returned.
    pub(crate) group: Option<&'a str>,
    /// The queue will not deliver the record again, so it does not block its group.
    pub(crate) is_last_receive: bool,
    /// Index of the nearest earlier item that describes the same work.
    pub(crate) same_as: Option<usize>,
}

/// The items of a batch, and which of them are ready, started and completed.
pub(super) struct Dependencies<'a, O, C> {
    items: &'a [WorkItem<'a>],
    /// Is called once for each item, and may replace its completion.
    on_completed: C,
    /// Items that wait for no other, in the order in which they became ready.
    ready: VecDeque<usize>,
    /// For each item, the number of earlier items that it waits for.
    waits_for: Vec<u8>,
    /// For each item, the next one with its key and the next one of its group.
    followers: Vec<[Option<usize>; 2]>,
    blocked_groups: HashSet<&'a str>,
    started: Vec<bool>,
    completions: Vec<Option<Completion<O>>>,
}

impl<'a, O: Outcome, C: FnMut(usize, Completion<O>) -> Completion<O>> Dependencies<'a, O, C> {
    pub(super) fn new(items: &'a [WorkItem<'a>], on_completed: C) -> Self {
        let mut dependencies = Self {
            items,
            on_completed,
            ready: VecDeque::with_capacity(items.len()),
            waits_for: vec![0; items.len()],
            followers: vec![[None; 2]; items.len()],
            blocked_groups: HashSet::new(),
            started: vec![false; items.len()],
            completions: vec![None; items.len()],
        };
        let (mut last_with_key, mut last_of_group) = (HashMap::new(), HashMap::new());
        for (index, item) in items.iter().enumerate() {
            let earlier = [
                item.key.and_then(|key| last_with_key.insert(key, index)),
                item.group.and_then(|group| last_of_group.insert(group, index)),
            ];
            for (kind, earlier) in earlier.into_iter().enumerate() {
                let Some(earlier) = earlier else { continue };
                dependencies.followers[earlier][kind] = Some(index);
                dependencies.waits_for[index] += 1;
            }
            if dependencies.waits_for[index] == 0 {
                dependencies.ready.push_back(index);
            }
        }
        dependencies
    }

    /// Whether an item can be started now.
    pub(super) fn has_ready_item(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the next ready item and marks it as started. Returns its index.
    pub(super) fn start_next(&mut self) -> Option<usize> {
        let index = self.ready.pop_front()?;
        self.started[index] = true;
        Some(index)
    }

    /// Completes the next ready items as long as they need no work, or all of them if there is no time for work.
    pub(super) fn complete_without_work(&mut self, no_time: bool) {
        while let Some(&index) = self.ready.front() {
            let item = &self.items[index];
            let completion = if item.group.is_some_and(|group| self.blocked_groups.contains(group)) {
                Completion::GroupBlocked
            } else if let Some(completion) = self.shared_with(item) {
                completion
            } else if no_time {
                Completion::NotStarted
            } else {
                return;
            };
            self.ready.pop_front();
            self.complete(index, completion);
        }
    }

    pub(super) fn complete(&mut self, index: usize, completion: Completion<O>) {
        let completion = (self.on_completed)(index, completion);
        let item = &self.items[index];
        if !completion.is_acknowledged() && blocks_group(item.is_last_receive, completion.redelivery()) {
            self.blocked_groups.extend(item.group);
        }
        self.completions[index] = Some(completion);
        for follower in self.followers[index].into_iter().flatten() {
            self.waits_for[follower] -= 1;
            if self.waits_for[follower] == 0 {
                self.ready.push_back(follower);
            }
        }
    }

    /// The completions in order. At the deadline, an item without a completion is abandoned if it was started;
    /// otherwise it counts as not started.
    pub(super) fn into_completions(mut self) -> Vec<Completion<O>> {
        let completions = std::mem::take(&mut self.completions).into_iter().zip(self.started).enumerate();
        let completions = completions.map(|(index, (completion, started))| {
            completion.unwrap_or_else(|| {
                let completion = if started { Completion::Abandoned } else { Completion::NotStarted };
                (self.on_completed)(index, completion)
            })
        });
        completions.collect()
    }

    /// The completion of the nearest earlier item that describes the same work and was handled or panicked.
    fn shared_with(&self, item: &WorkItem<'_>) -> Option<Completion<O>> {
        let earlier = std::iter::successors(item.same_as, |index| self.items[*index].same_as);
        earlier.filter_map(|index| self.completions[index].as_ref()).find_map(|completion| match completion {
            Completion::Handled(outcome) | Completion::Shared(outcome) => {
                Some(Completion::Shared(outcome.clone()))
            }
            Completion::Panicked => Some(Completion::Panicked),
            Completion::NotStarted | Completion::Abandoned | Completion::GroupBlocked => None,
        })
    }
}

//! A breadth-first search, so that the first counterexample is one of the shortest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::world::{Action, Scenario, World};

/// The result of a search.
pub struct SearchResult {
    pub states: usize,
    /// The number of states in which nothing is left to do.
    pub end_states: usize,
    pub counterexample: Option<Counterexample>,
}

/// An invariant that does not hold, and the actions that lead to the state.
pub struct Counterexample {
    pub invariant: &'static str,
    pub actions: Vec<Action>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken invariant: {}", self.invariant)?;
        self.actions
            .iter()
            .enumerate()
            .try_for_each(|(step, action)| writeln!(f, "{:>3}. {action:?}", step + 1))
    }
}

/// Visits every reachable state, until an invariant is broken.
pub fn all_states(scenario: &Scenario) -> SearchResult {
    let start = World::new(scenario);
    let mut seen = HashMap::from([(start.clone(), 0)]);
    let mut visits: Vec<Visit> = vec![(start, 0, None)];
    let (mut visited, mut end_states) = (0, 0);
    while visited < visits.len() {
        let world = visits[visited].0.clone();
        let actions = world.actions(scenario);
        let has_ended = world.has_ended(scenario);
        assert!(has_ended || !actions.is_empty(), "no action is possible: {world:?}");
        end_states += usize::from(has_ended);
        for action in actions {
            let next = world.after(scenario, action);
            if let Some(invariant) = world.broken_by_change_to(&next).or_else(|| next.broken(scenario)) {
                let actions = [path_to(&visits, visited), vec![action]].concat();
                let counterexample = Some(Counterexample { invariant, actions });
                return SearchResult { states: visits.len(), end_states, counterexample };
            }
            if let Entry::Vacant(entry) = seen.entry(next.clone()) {
                entry.insert(visits.len());
                visits.push((next, visited, Some(action)));
            }
        }
        visited += 1;
    }
    SearchResult { states: visits.len(), end_states, counterexample: None }
}

/// A state, the index of the visit that it was reached from, and the action that led to it.
type Visit = (World, usize, Option<Action>);

/// The actions that lead to a visited state.
fn path_to(visits: &[Visit], index: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut index = index;
    while let (_, previous, Some(action)) = &visits[index] {
        actions.push(*action);
        index = *previous;
    }
    actions.reverse();
    actions
}

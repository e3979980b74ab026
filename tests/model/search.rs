//! Breadth first, so that the first story found is among the shortest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::world::{Action, Scenario, World};

/// What a search found.
pub struct Found {
    pub states: usize,
    /// States in which nothing is left to do.
    pub ends: usize,
    pub broken: Option<Broken>,
}

/// An invariant that does not hold, and the shortest way there.
pub struct Broken {
    pub invariant: &'static str,
    pub story: Vec<Action>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not so: {}", self.invariant)?;
        self.story
            .iter()
            .enumerate()
            .try_for_each(|(step, action)| writeln!(f, "{:>3}. {action:?}", step + 1))
    }
}

/// Visits every state that can be reached, until an invariant is broken.
pub fn all(scenario: &Scenario) -> Found {
    let start = World::new(scenario);
    let mut seen = HashMap::from([(start.clone(), 0)]);
    let mut visits: Vec<(World, usize, Option<Action>)> = vec![(start, 0, None)];
    let (mut visited, mut ends) = (0, 0);
    while visited < visits.len() {
        let world = visits[visited].0.clone();
        let actions = world.actions(scenario);
        let ended = world.has_ended(scenario);
        assert!(ended || !actions.is_empty(), "stuck: {world:?}");
        ends += usize::from(ended);
        for action in actions {
            let next = world.after(scenario, action);
            if let Some(invariant) = world.broken_by(&next).or_else(|| next.broken(scenario)) {
                let story = [story(&visits, visited), vec![action]].concat();
                return Found { states: visits.len(), ends, broken: Some(Broken { invariant, story }) };
            }
            if let Entry::Vacant(entry) = seen.entry(next.clone()) {
                entry.insert(visits.len());
                visits.push((next, visited, Some(action)));
            }
        }
        visited += 1;
    }
    Found { states: visits.len(), ends, broken: None }
}

fn story(visits: &[(World, usize, Option<Action>)], end: usize) -> Vec<Action> {
    let mut story = Vec::new();
    let mut at = end;
    while let (_, before, Some(action)) = &visits[at] {
        story.push(*action);
        at = *before;
    }
    story.reverse();
    story
}

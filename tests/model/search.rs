//! A breadth-first search, so that the first counterexample is one of the shortest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use petgraph::algo::astar;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::scenario::Scenario;
use crate::world::{Action, Progress, World};

/// Every reachable state, in the order of the search, and the transitions between them.
pub type StateGraph = DiGraph<World, Transition>;

#[derive(Debug, Clone, Copy)]
pub struct Transition {
    pub action: Action,
    /// The progress that the action makes.
    pub progress: Option<Progress>,
}

/// An invariant that does not hold, and the actions that lead to the state.
pub struct Counterexample {
    pub invariant: &'static str,
    pub actions: Vec<Action>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken invariant: {}", self.invariant)?;
        write_actions(f, 1, &self.actions)
    }
}

/// Writes one numbered line per action.
pub fn write_actions(f: &mut fmt::Formatter<'_>, first: usize, actions: &[Action]) -> fmt::Result {
    (first..).zip(actions).try_for_each(|(number, action)| writeln!(f, "{number:>3}. {action:?}"))
}

/// Visits every reachable state, until an invariant is broken.
pub fn all_states(scenario: &Scenario) -> Result<StateGraph, Counterexample> {
    let mut graph = StateGraph::new();
    let mut seen = HashMap::new();
    let start = World::new(scenario);
    seen.insert(start.clone(), graph.add_node(start));
    let mut visited = 0;
    while visited < graph.node_count() {
        let state = NodeIndex::new(visited);
        let world = graph[state].clone();
        for action in world.actions(scenario) {
            let next = world.after(scenario, action);
            if let Some(invariant) = world.broken_by_change_to(&next).or_else(|| next.broken(scenario)) {
                let actions = [actions_to(&graph, state), vec![action]].concat();
                return Err(Counterexample { invariant, actions });
            }
            let next = match seen.entry(next) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let next = graph.add_node(entry.key().clone());
                    *entry.insert(next)
                }
            };
            graph.add_edge(state, next, Transition { action, progress: world.progress(action) });
        }
        visited += 1;
    }
    Ok(graph)
}

/// The shortest list of actions that lead to a state.
pub fn actions_to(graph: &StateGraph, state: NodeIndex) -> Vec<Action> {
    let path = astar(graph, NodeIndex::new(0), |other| other == state, |_| 1, |_| 0);
    let (_, states) = path.expect("every state was reached from the first one");
    let transition = |pair: &[NodeIndex]| graph.find_edge(pair[0], pair[1]).expect("a transition");
    states.windows(2).map(|pair| graph[transition(pair)].action).collect()
}

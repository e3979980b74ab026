//! A breadth-first search, so that the first counterexample is one of the shortest.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use petgraph::algo::astar;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::scenario::Scenario;
use crate::world::{Action, Progress, World};

/// Every reachable state, in the order of the search, and the transitions between them. The weight of a state says
/// whether it is an end.
pub type StateGraph = DiGraph<bool, Transition>;

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
    let start = World::new(scenario);
    let first = graph.add_node(start.has_ended(scenario));
    let mut seen = HashMap::from([(start.clone(), first)]);
    let mut to_visit = VecDeque::from([(first, start)]);
    while let Some((state, world)) = to_visit.pop_front() {
        for action in world.actions(scenario) {
            let next = world.after(scenario, action);
            if let Some(invariant) = world.broken_by_change_to(&next).or_else(|| next.broken(scenario)) {
                let actions = [actions_to(&graph, state), vec![action]].concat();
                return Err(Counterexample { invariant, actions });
            }
            let next = *seen.entry(next).or_insert_with_key(|next| {
                let state = graph.add_node(next.has_ended(scenario));
                to_visit.push_back((state, next.clone()));
                state
            });
            graph.add_edge(state, next, Transition { action, progress: world.progress(action) });
        }
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

//! Searches for a run that is fair and never ends.
//!
//! An end is a state in which every event that was sent is deleted or a dead letter, and no invocation and no request
//! is left. A run is fair if it makes each [`Progress`] that is possible from some time on without interruption (weak
//! fairness).
//!
//! A run that reaches no end stays, from some time on, in one strongly connected component of the graph without the
//! ends. The component can be a single state, because a run may also stop. The run can be fair exactly if each progress
//! that is possible in all states of the component is made by a transition within it.
//!
//! If no component permits a fair run, a progress leads out of each of them. Therefore an end can be reached from every
//! state by required progress alone.

use std::fmt;

use petgraph::algo::{astar, kosaraju_scc};
use petgraph::graph::{EdgeReference, NodeIndex};
use petgraph::visit::{EdgeRef, NodeFiltered};

use crate::search::{StateGraph, Transition, actions_to, write_actions};
use crate::world::{Action, Progress};

/// A fair run that never ends.
pub struct EndlessRun {
    pub beginning: Vec<Action>,
    /// The actions that repeat for ever. If there are none, nothing has to happen after the beginning.
    pub cycle: Vec<Action>,
}

impl fmt::Display for EndlessRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "an event never ends:")?;
        write_actions(f, 1, &self.beginning)?;
        writeln!(f, "and then for ever:")?;
        write_actions(f, self.beginning.len() + 1, &self.cycle)
    }
}

/// A fair run that never ends, if there is one: the one that reaches its cycle after the fewest actions.
pub fn endless_run(graph: &StateGraph) -> Option<EndlessRun> {
    let without_ends = NodeFiltered::from_fn(graph, |state| !graph[state]);
    kosaraju_scc(&without_ends)
        .into_iter()
        .map(|states| Component::new(graph, states))
        .filter(Component::permits_fair_run)
        .min_by_key(|component| component.states[0])
        .map(|component| component.endless_run())
}

/// A strongly connected component.
struct Component<'a> {
    graph: &'a StateGraph,
    /// In ascending order.
    states: Vec<NodeIndex>,
}

type Edge<'a> = EdgeReference<'a, Transition>;

impl<'a> Component<'a> {
    fn new(graph: &'a StateGraph, mut states: Vec<NodeIndex>) -> Self {
        states.sort_unstable();
        Self { graph, states }
    }

    fn contains(&self, state: NodeIndex) -> bool {
        self.states.binary_search(&state).is_ok()
    }

    /// The transitions from a state of the component to a state of the component.
    fn inner_edges(&self, from: NodeIndex) -> impl Iterator<Item = Edge<'a>> {
        self.graph.edges(from).filter(|edge| self.contains(edge.target()))
    }

    fn progress_in(&self, state: NodeIndex) -> impl Iterator<Item = Progress> {
        self.graph.edges(state).filter_map(|edge| edge.weight().progress)
    }

    fn is_possible(&self, state: NodeIndex, progress: Progress) -> bool {
        self.progress_in(state).any(|other| other == progress)
    }

    /// A transition within the component that makes the progress in this state.
    fn inner_edge(&self, state: NodeIndex, progress: Progress) -> Option<Edge<'a>> {
        self.inner_edges(state).find(|edge| edge.weight().progress == Some(progress))
    }

    /// Whether each progress is impossible in one of the states, or made by one of the inner transitions.
    fn permits_fair_run(&self) -> bool {
        self.progress_in(self.states[0]).all(|progress| {
            self.states.iter().any(|state| {
                !self.is_possible(*state, progress) || self.inner_edge(*state, progress).is_some()
            })
        })
    }

    /// Repeats a walk through the component that makes the run fair: for each progress it visits a state in which
    /// that progress is impossible, or makes it.
    fn endless_run(&self) -> EndlessRun {
        let start = self.states[0];
        let (mut state, mut cycle) = (start, Vec::new());
        for progress in self.progress_in(start) {
            let is_goal =
                |state| !self.is_possible(state, progress) || self.inner_edge(state, progress).is_some();
            state = self.walk(state, is_goal, &mut cycle);
            if self.is_possible(state, progress)
                && let Some(edge) = self.inner_edge(state, progress)
            {
                cycle.push(edge.weight().action);
                state = edge.target();
            }
        }
        self.walk(state, |state| state == start, &mut cycle);
        EndlessRun { beginning: actions_to(self.graph, start), cycle }
    }

    /// Adds the shortest list of actions within the component from a state to a goal. Returns the goal.
    fn walk(
        &self,
        from: NodeIndex,
        is_goal: impl Fn(NodeIndex) -> bool,
        actions: &mut Vec<Action>,
    ) -> NodeIndex {
        let inner = NodeFiltered::from_fn(self.graph, |state| self.contains(state));
        let path = astar(&inner, from, is_goal, |_| 1, |_| 0);
        let (_, states) = path.expect("a component is strongly connected");
        actions.extend(states.windows(2).map(|pair| {
            let edge = self.inner_edges(pair[0]).find(|edge| edge.target() == pair[1]);
            edge.expect("a transition").weight().action
        }));
        states[states.len() - 1]
    }
}

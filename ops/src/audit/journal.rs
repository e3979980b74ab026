//! The state of a plan or of a restored backup, derived from all lines of its audit file.

use std::collections::{BTreeSet, HashMap};

use super::{Line, Step};

/// The state of the letters of a plan, or of a restored backup.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The last step of each letter, by message id.
    steps: HashMap<String, Step>,
    /// The new ids of the letters that were sent. If an earlier run stopped because letters were dead again, their ids
    /// are not included: the user has seen them.
    pub(crate) redriven: BTreeSet<String>,
    /// The new ids of the letters that were dead again since the last stop.
    came_back: Vec<String>,
}

impl Journal {
    pub(crate) fn step(&self, message_id: &str) -> Option<Step> {
        self.steps.get(message_id).copied()
    }

    pub(crate) fn is_done(&self, message_id: &str) -> bool {
        self.step(message_id) == Some(Step::Done)
    }

    /// Whether nothing is left to do with this letter, although it may be gone or have another body.
    pub(crate) fn is_finished(&self, message_id: &str) -> bool {
        matches!(self.step(message_id), Some(Step::Done | Step::Gone | Step::Changed))
    }

    /// Records that a letter was sent with this new id.
    pub(crate) fn record_sent(&mut self, message_id: &str, new_message_id: String) {
        self.steps.insert(message_id.to_owned(), Step::Sent);
        self.redriven.insert(new_message_id);
    }

    fn add(&mut self, line: Line) {
        match line.step {
            Step::CameBack => return self.came_back.push(line.message_id),
            Step::Stopped => {
                for id in self.came_back.drain(..) {
                    self.redriven.remove(&id);
                }
                return;
            }
            _ => self.redriven.extend(line.new_message_id),
        }
        // Another process may work with the same file, so a completed step is not undone by its lines.
        let step = match (self.step(&line.message_id), line.step) {
            (Some(Step::Done), _) | (_, Step::Done) => Step::Done,
            (Some(Step::Sent), _) => Step::Sent,
            (Some(Step::BackedUp | Step::Deleting), step) if !matches!(step, Step::Deleting | Step::Gone) => {
                Step::BackedUp
            }
            (_, step) => step,
        };
        self.steps.insert(line.message_id, step);
    }
}

impl FromIterator<Line> for Journal {
    fn from_iter<T: IntoIterator<Item = Line>>(lines: T) -> Self {
        let mut journal = Self::default();
        lines.into_iter().for_each(|line| journal.add(line));
        journal
    }
}

#[cfg(test)]
mod tests {
    use super::super::Common;
    use super::*;

    fn line(step: Step, message_id: &str, new_message_id: Option<&str>) -> Line {
        Line {
            time: String::new(),
            common: Common::default(),
            action: "redrive".to_owned(),
            step,
            message_id: message_id.to_owned(),
            body_sha256: String::new(),
            new_message_id: new_message_id.map(str::to_owned),
            detail: None,
        }
    }

    #[test]
    fn only_letters_that_were_dead_again_before_the_last_stop_are_forgotten() {
        let lines = [
            line(Step::Sent, "a", Some("a2")),
            line(Step::Sent, "b", Some("b2")),
            line(Step::Sent, "c", Some("c2")),
            line(Step::CameBack, "a2", None),
            line(Step::Stopped, "", None),
            line(Step::CameBack, "b2", None),
        ];
        let journal = Journal::from_iter(lines);
        assert_eq!(journal.redriven, ["b2".to_owned(), "c2".to_owned()].into());
    }

    #[test]
    fn a_completed_step_is_not_undone() {
        let lines = [
            line(Step::Sent, "a", Some("a2")),
            line(Step::Failed, "a", None),
            line(Step::Done, "b", None),
            line(Step::Gone, "b", None),
            line(Step::Failed, "c", None),
        ];
        let journal = Journal::from_iter(lines);
        let steps = ["a", "b", "c", "d"].map(|id| journal.step(id));
        assert_eq!(steps, [Some(Step::Sent), Some(Step::Done), Some(Step::Failed), None]);
    }

    #[test]
    fn a_deletion_that_failed_did_not_delete() {
        let lines = [
            line(Step::BackedUp, "a", None),
            line(Step::Deleting, "a", None),
            line(Step::BackedUp, "b", None),
            line(Step::Deleting, "b", None),
            line(Step::Failed, "b", None),
        ];
        let journal = Journal::from_iter(lines);
        let steps = ["a", "b"].map(|id| journal.step(id));
        assert_eq!(steps, [Some(Step::Deleting), Some(Step::BackedUp)]);
    }
}

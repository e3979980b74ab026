//! The results of a case as text for a terminal of 80 columns.

use reservation_worker_local::expectations::{CaseReport, RecordReport};
use textwrap::Options;

use crate::words::filled;

const WIDTH: usize = 80;
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The text about a case. It has for each record the outcome with its explanation, the calls, and the final state of
/// the reservation; then the differences from the expected results.
pub(super) fn text(name: &str, report: &CaseReport, in_colour: bool) -> String {
    let coloured = |colour, text: &str| match in_colour {
        true => format!("{colour}{text}{PLAIN}"),
        false => text.to_owned(),
    };
    let mut lines = vec![name.to_owned()];
    if report.records.is_empty() {
        lines.push("  (no records)".to_owned());
    }
    for record in &report.records {
        let (colour, expected) = match record {
            RecordReport { is_expected: false, .. } => (RED, ""),
            RecordReport { explanation, .. } if explanation.is_empty() => (GREEN, ""),
            _ => (YELLOW, ", as expected"),
        };
        let outcome = coloured(colour, &format!("{}{expected}", record.outcome));
        lines.push(format!("  {}: {outcome}", record.event_type));
        lines.extend(record.explanation.iter().chain(&record.calls).flat_map(|line| wrapped(line)));
        if let [id, status] = &record.reservation[..] {
            let seats = if record.seats.is_empty() {
                String::new()
            } else {
                format!("; {}", record.seats.join(", "))
            };
            lines.extend(wrapped(&format!("{id} is {status}{seats}")));
        }
    }
    let differences =
        report.differences.iter().flat_map(|difference| wrapped(&format!("DIFFERS: {difference}")));
    lines.extend(differences.map(|line| coloured(RED, &line)));
    lines.join("\n") + "\n\n"
}

/// The lines of a paragraph, indented.
fn wrapped(paragraph: &str) -> Vec<String> {
    let options = Options::new(WIDTH).initial_indent("    ").subsequent_indent("      ");
    filled(paragraph, options).lines().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: &str, is_expected: bool, explanation: &[&str]) -> RecordReport {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        RecordReport {
            message_id: "m1".to_owned(),
            event_type: "payment.approved".to_owned(),
            outcome: outcome.to_owned(),
            is_expected,
            explanation: texts(explanation),
            calls: texts(&[
                "PATCH CONFIRMED -> 200",
                "CommitReservation A-1 A-2 -> FAILED_CONFLICT UNSPECIFIED",
            ]),
            reservation: texts(&["rsv_1", "CONFIRMED"]),
            seats: texts(&["A-1 HOLD", "A-2 HOLD"]),
        }
    }

    #[test]
    fn a_returned_record_shows_its_reason_and_that_it_was_expected_within_80_columns() {
        let reason =
            "commit_rejected: the inventory refused to sell the seats of this reservation: FAILED_CONFLICT";
        let advice =
            "advice: The reservation is paid and confirmed but has no seats. Give the customer other seats.";
        let report =
            CaseReport { records: vec![record("failed", true, &[reason, advice])], differences: Vec::new() };
        let expected = "\
commit-refused
  payment.approved: failed, as expected
    commit_rejected: the inventory refused to sell the seats of this
      reservation: FAILED_CONFLICT
    advice: The reservation is paid and confirmed but has no seats. Give the
      customer other seats.
    PATCH CONFIRMED -> 200
    CommitReservation A-1 A-2 -> FAILED_CONFLICT UNSPECIFIED
    rsv_1 is CONFIRMED; A-1 HOLD, A-2 HOLD

";
        assert_eq!(text("commit-refused", &report, false), expected);
        assert!(expected.lines().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn a_command_is_not_broken_at_a_hyphen() {
        let before = "x".repeat(WIDTH - 12);
        let lines = wrapped(&format!("{before} `dead-letters apply plan.json`"));
        assert_eq!(lines, [format!("    {before}"), "      `dead-letters apply plan.json`".to_owned()]);
    }

    #[test]
    fn differences_and_unexpected_outcomes_are_red() {
        let differences = vec!["m1, outcome: expected \"success\", was \"failed\"".to_owned()];
        let report = CaseReport { records: vec![record("failed", false, &[])], differences };
        let text = text("case", &report, true);
        assert!(text.contains("payment.approved: \x1b[31mfailed\x1b[0m\n"), "{text}");
        assert!(text.contains("\x1b[31m    DIFFERS: m1, outcome: expected"), "{text}");
    }

    #[test]
    fn an_empty_batch_has_no_records() {
        assert_eq!(text("empty-batch", &CaseReport::default(), false), "empty-batch\n  (no records)\n\n");
    }
}

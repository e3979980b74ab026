//! The results of the cases as a table with a width of 160 characters.

use std::fmt::Write;

use reservation_worker_local::expectations::{Case, CaseReport, RecordReport};

const HEADERS: [&str; 7] = ["file", "record", "event", "outcome", "calls", "reservation", "seats"];
/// The widths of the columns, except for the first and the last. The first is as wide as the longest name,
/// and the last one has no limit.
const WIDTHS: [usize; 5] = [8, 22, 15, 44, 14];
const GAP: &str = "  ";

/// The layout of all rows.
pub(super) struct Table {
    name_width: usize,
    in_colour: bool,
}

impl Table {
    pub(super) fn new(cases: &[Case], in_colour: bool) -> Self {
        let name_width = cases.iter().map(|case| case.name().len()).max().unwrap_or_default();
        Table { name_width, in_colour }
    }

    pub(super) fn header(&self) -> String {
        let header = self.lines(&HEADERS.map(|header| vec![header.to_owned()]));
        format!("{header}{}\n", "-".repeat(160))
    }

    /// The rows of a case, followed by the differences from the expected results.
    pub(super) fn rows(&self, case: &Case, report: &CaseReport) -> String {
        let mut text = String::new();
        let mut name = case.name();
        for record in &report.records {
            text += &self.lines(&cells(std::mem::take(&mut name), record));
        }
        if !name.is_empty() {
            text += &self.lines(&[vec![name], vec!["(none)".to_owned()]]);
        }
        for difference in &report.differences {
            let (red, plain) = if self.in_colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            // Writing to a string cannot fail.
            _ = writeln!(text, "{red}  DIFFERS: {difference}{plain}");
        }
        text
    }

    /// The lines of one record. The cell with the most lines determines their number.
    fn lines(&self, cells: &[Vec<String>]) -> String {
        let widths = std::iter::once(self.name_width).chain(WIDTHS).chain([0]);
        let height = cells.iter().map(Vec::len).max().unwrap_or_default();
        let mut text = String::new();
        for line in 0..height {
            let mut columns = String::new();
            for (cell, width) in cells.iter().zip(widths.clone()) {
                let part = cell.get(line).map_or("", String::as_str);
                columns += &format!("{part:width$}{GAP}");
            }
            text += columns.trim_end();
            text.push('\n');
        }
        text
    }
}

fn cells(name: String, record: &RecordReport) -> [Vec<String>; 7] {
    [
        vec![name],
        vec![record.message_id.chars().take(WIDTHS[0]).collect()],
        vec![record.event_type.clone()],
        vec![record.outcome.clone()],
        record.calls.iter().flat_map(|call| wrapped(call)).collect(),
        record.reservation.clone(),
        record.seats.clone(),
    ]
}

/// Splits a call that is too long for its column: the reply goes to a second line.
fn wrapped(call: &str) -> Vec<String> {
    match call.split_once(" -> ") {
        Some((request, reply)) if call.len() > WIDTHS[3] => vec![request.to_owned(), format!("  -> {reply}")],
        _ => vec![call.to_owned()],
    }
}

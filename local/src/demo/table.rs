//! What came of the cases, in 160 columns.

use std::fmt::Write;

use reservation_worker_local::expectations::{Case, Checked, Row};

const HEADS: [&str; 7] = ["file", "record", "event", "outcome", "calls", "reservation", "seats"];
/// Of the columns after the first, whose width is that of the longest name; the last needs none.
const WIDTHS: [usize; 5] = [8, 22, 15, 44, 14];
const GAP: &str = "  ";

/// The layout of all rows.
pub(super) struct Table {
    name_width: usize,
    in_colour: bool,
}

impl Table {
    pub(super) fn of(cases: &[Case], in_colour: bool) -> Self {
        let name_width = cases.iter().map(|case| case.name().len()).max().unwrap_or_default();
        Table { name_width, in_colour }
    }

    pub(super) fn head(&self) -> String {
        let head = self.lines(&HEADS.map(|head| vec![head.to_owned()]));
        format!("{head}{}\n", "-".repeat(160))
    }

    /// The rows of a case, and under them what is not as expected.
    pub(super) fn rows(&self, case: &Case, checked: &Checked) -> String {
        let mut text = String::new();
        let mut name = case.name();
        for row in &checked.rows {
            text += &self.lines(&cells(std::mem::take(&mut name), row));
        }
        if !name.is_empty() {
            text += &self.lines(&[vec![name], vec!["(none)".to_owned()]]);
        }
        for difference in &checked.differences {
            let (red, plain) = if self.in_colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            // Writing to a string cannot fail.
            _ = writeln!(text, "{red}  DIFFERS: {difference}{plain}");
        }
        text
    }

    /// One line for each line of the cell that has most.
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

fn cells(name: String, row: &Row) -> [Vec<String>; 7] {
    [
        vec![name],
        vec![row.message_id.chars().take(WIDTHS[0]).collect()],
        vec![row.event_type.clone()],
        vec![row.outcome.clone()],
        row.calls.iter().flat_map(|call| folded(call)).collect(),
        row.reservation.clone(),
        row.seats.clone(),
    ]
}

/// A call that is too long for its column has its reply on a line of its own.
fn folded(call: &str) -> Vec<String> {
    match call.split_once(" -> ") {
        Some((asked, reply)) if call.len() > WIDTHS[3] => vec![asked.to_owned(), format!("  -> {reply}")],
        _ => vec![call.to_owned()],
    }
}

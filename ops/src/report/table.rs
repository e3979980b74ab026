//! The table, which fits into 80 columns. The letters with the same reason are under one heading, which has the advice.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

use crate::cli::GroupBy;
use crate::letter::{Letter, counted};
use crate::progress::filled;
use crate::report::printable;
use crate::report::rows::GroupRow;
use crate::time::{rfc3339, short};

const WIDTH: usize = 80;
const TYPE: usize = 22;
const RESERVATION: usize = 35;
const GROUP: usize = 29;

pub(super) fn letters(out: &mut impl Write, letters: &[Letter], now: SystemTime) -> io::Result<()> {
    let mut by_reason = BTreeMap::<&str, Vec<&Letter>>::new();
    for letter in letters {
        by_reason.entry(letter.reason_code()).or_default().push(letter);
    }
    for (code, letters) in &by_reason {
        let count = letters.len();
        writeln!(out, "{}", cut(&format!("{code}: {}", counted(count)), WIDTH))?;
        let advice = letters.iter().find_map(|letter| letter.reason.as_ref()?.advice.as_deref());
        wrapped(out, advice.unwrap_or("The reason is unknown."), "  ")?;
        for letter in letters {
            writeln!(out)?;
            write_letter(out, letter, now)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{} in total", counted(letters.len()))
}

fn write_letter(out: &mut impl Write, letter: &Letter, now: SystemTime) -> io::Result<()> {
    let age = short(now.duration_since(letter.sent).unwrap_or_default());
    writeln!(
        out,
        "  {:TYPE$} {:RESERVATION$} {age:>7} old",
        cut(letter.event_type(), TYPE),
        cut(letter.reservation_id().unwrap_or("-"), RESERVATION)
    )?;
    let time = |time: Option<SystemTime>| time.map_or("-".to_owned(), rfc3339);
    let (first, last) = (time(letter.first_receive), time(letter.last_receive));
    writeln!(out, "    receives {}, first {first}, last {last}", letter.receives)?;
    writeln!(out, "    message {}", cut(&letter.message_id, WIDTH - 12))?;
    if let Some(trace) = &letter.trace_id {
        writeln!(out, "    trace {}", cut(trace, WIDTH - 10))?;
    }
    if let Some(text) = letter.reason.as_ref().and_then(|reason| reason.text.as_deref()) {
        wrapped(out, &format!("reason: {text}"), "    ")?;
    }
    if let Some(verdict) = &letter.what_if {
        let code = verdict.reason_code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
        wrapped(out, &format!("now: {}{code}: {}", verdict.prediction.as_str(), verdict.why), "    ")?;
    }
    Ok(())
}

pub(super) fn groups(out: &mut impl Write, by: GroupBy, groups: &[GroupRow]) -> io::Result<()> {
    let heading = match by {
        GroupBy::Reason => "REASON",
        GroupBy::Type => "TYPE",
        GroupBy::Day => "DAY",
    };
    writeln!(out, "{heading:GROUP$} {:>7} {:20} {:20}", "LETTERS", "OLDEST", "NEWEST")?;
    for GroupRow { group, letters, oldest, newest } in groups {
        writeln!(out, "{:GROUP$} {letters:>7} {oldest:20} {newest:20}", cut(group, GROUP))?;
    }
    writeln!(out, "{:GROUP$} {:>7}", "total", groups.iter().map(|group| group.letters).sum::<usize>())
}

/// The text, or its beginning if it is longer than `width` characters.
fn cut(text: &str, width: usize) -> String {
    let text = printable::text(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn wrapped(out: &mut impl Write, text: &str, indent: &str) -> io::Result<()> {
    writeln!(out, "{}", filled(&printable::text(text), indent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_the_width() {
        assert_eq!(cut("rsv_1", 5), "rsv_1");
        assert_eq!(cut("rsv_12", 5), "rsv_…");
        assert_eq!(cut("\u{1b}[2Jx", 5), "[2Jx");
    }
}

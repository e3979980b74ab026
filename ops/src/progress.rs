//! What the user sees on stderr: progress bars if it is a terminal, and notes.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use textwrap::{Options, WordSplitter};

/// The width of a text on a terminal.
const WIDTH: usize = 80;

/// The end of a line in a command that continues in the next line.
const CONTINUATION: &str = " \\";

/// A progress bar. It is hidden if stderr is not a terminal.
pub(crate) fn bar(action: &'static str, total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(total as u64).with_message(action);
    bar.enable_steady_tick(Duration::from_millis(200));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Breaks a text into indented lines of at most 80 columns, only between words, so that no name of an option is broken.
/// If a command between backticks is broken, its lines end with a backslash, so that it can be copied into a shell.
pub(crate) fn filled(text: &str, indent: &str) -> String {
    let options = Options::new(WIDTH - CONTINUATION.len()).initial_indent(indent).subsequent_indent(indent);
    let filled = textwrap::fill(text, options.word_splitter(WordSplitter::NoHyphenation).break_words(false));
    let parts: Vec<_> = filled.split('`').collect();
    // A backtick alone is no command.
    if parts.len() % 2 == 0 {
        return filled;
    }
    let continued = |part: &str| part.replace('\n', &format!("{CONTINUATION}\n"));
    let parts = parts.iter().enumerate();
    let parts = parts.map(|(index, part)| if index % 2 == 0 { (*part).to_owned() } else { continued(part) });
    parts.collect::<Vec<_>>().join("`")
}

/// Prints a line for the user that is not part of the command's result.
pub(crate) fn note(text: impl Display) {
    let (mut stderr, mut text) = (io::stderr(), text.to_string());
    if stderr.is_terminal() {
        text = filled(&text, "");
    }
    // If stderr is closed, the command must still do its work.
    let _ = writeln!(stderr, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_broken_command_end_with_a_backslash() {
        let words = "word ".repeat(12);
        let text = filled(&format!("{words}`dead-letters apply plan.json` {words}`alone`"), "  ");
        let words = words.trim_end();
        assert_eq!(text, format!("  {words} `dead-letters \\\n  apply plan.json` {words}\n  `alone`"));
        let text = filled(&format!("A ` {words} {words}"), "");
        assert!(text.contains('\n') && !text.contains('\\'), "{text}");
    }
}

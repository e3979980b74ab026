//! How values and texts are written.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use textwrap::{Options, WordSplitter};

/// The width if the output is no terminal, or if its width is not known.
const WIDTH: usize = 80;

/// The end of a line in a command that continues in the next line.
const CONTINUATION: &str = " \\";

/// The width of an output in columns.
pub(crate) fn width(output: impl AsFd) -> usize {
    let size = tcgetwinsize(output).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(WIDTH)
}

/// The text for this output. In a terminal, a long line is broken between words, and its indentation is repeated.
pub(crate) fn fitted(text: &str, output: impl AsFd + IsTerminal) -> String {
    if !output.is_terminal() {
        return text.to_owned();
    }
    let indent = &text[..text.len() - text.trim_start().len()];
    filled(text, Options::new(width(output)).subsequent_indent(indent))
}

/// Breaks a text into lines, only between words, so that the addresses and paths in it can be copied. If a command
/// between backticks is broken, its lines end with a backslash, so that it can be copied into a shell.
pub(crate) fn filled(text: &str, options: Options<'_>) -> String {
    let mut options = options.word_splitter(WordSplitter::NoHyphenation).break_words(false);
    options.width = options.width.saturating_sub(CONTINUATION.len());
    let filled = textwrap::fill(text, options);
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

/// A number of things: `1 process`, `2 processes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_broken_command_end_with_a_backslash() {
        let fill = |text| filled(text, Options::new(24).subsequent_indent("  "));
        assert_eq!(
            fill("Delete the message: `plan --reason x --message y`."),
            "\
Delete the message:
  `plan --reason x \\
  --message y`."
        );
        assert_eq!(fill("A ` alone, and words that follow it"), "A ` alone, and words\n  that follow it");
    }

    #[test]
    fn the_number_1_is_followed_by_the_singular() {
        let counted = [0, 1, 2].map(|number| count(number, "process", "processes"));
        assert_eq!(counted, ["0 processes", "1 process", "2 processes"]);
    }
}

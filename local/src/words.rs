//! How values and texts are written.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use textwrap::{Options, WordSplitter};

/// The width if the output is no terminal, or if its width is not known.
const WIDTH: usize = 80;

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
    textwrap::fill(text, wrapping(width(output)).subsequent_indent(indent))
}

/// Options to wrap a text. It is broken only between words, so that the commands, addresses and paths in it can be
/// copied.
pub(crate) fn wrapping(width: usize) -> Options<'static> {
    Options::new(width).word_splitter(WordSplitter::NoHyphenation).break_words(false)
}

/// A number of things: `1 process`, `2 processes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_1_is_followed_by_the_singular() {
        let counted = [0, 1, 2].map(|number| count(number, "process", "processes"));
        assert_eq!(counted, ["0 processes", "1 process", "2 processes"]);
    }
}

//! What the user sees on stderr: progress bars if it is a terminal, and notes.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use textwrap::{Options, WordSplitter};

/// The width of a text on a terminal.
const WIDTH: usize = 80;

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

/// Options to wrap a text into 80 columns. The name of the tool and the options of its commands have hyphens, and are not
/// broken there.
pub(crate) fn wrapping() -> Options<'static> {
    Options::new(WIDTH).word_splitter(WordSplitter::NoHyphenation)
}

/// Prints a line for the user that is not part of the command's result.
pub(crate) fn note(text: impl Display) {
    let (mut stderr, mut text) = (io::stderr(), text.to_string());
    if stderr.is_terminal() {
        text = textwrap::fill(&text, wrapping());
    }
    // If stderr is closed, the command must still do its work.
    let _ = writeln!(stderr, "{text}");
}

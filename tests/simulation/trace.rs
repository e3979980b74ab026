//! The trace of the run in this thread: one line of text for everything that happens. It has nothing to do with the
//! traces that producers send and the function continues.

use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Adds a line.
pub fn line(line: String) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

/// Removes and returns all lines.
pub fn take() -> Vec<String> {
    LINES.take()
}

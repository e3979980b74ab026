//! What happened in this thread's world, line by line.

use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub fn line(line: String) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

/// All lines, which are forgotten.
pub fn take() -> Vec<String> {
    LINES.take()
}

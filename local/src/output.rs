//! What a process prints to stdout and stderr, in one anonymous temporary file.
//!
//! The output goes to a file and not to a pipe for two reasons. A line that the process prints before it
//! sends a response can be read as soon as the response has arrived. And the process never waits for a
//! reader.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use serde_json::Value;

/// The output of one process since the last [`Output::take_json_lines`].
#[derive(Debug)]
pub struct Output {
    file: File,
    /// The number of bytes that were taken.
    taken: u64,
}

impl Output {
    /// Creates an empty file. It is deleted when the last process that has it open ends.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn new() -> io::Result<Self> {
        Ok(Output { file: tempfile::tempfile()?, taken: 0 })
    }

    /// Opens the same file once more. The two values do not share the position up to which lines were taken.
    ///
    /// # Errors
    ///
    /// The limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Output { file: self.file.try_clone()?, taken: self.taken })
    }

    /// The file as an argument of `Command::stdout` or `Command::stderr`.
    ///
    /// # Errors
    ///
    /// The limit of open files is reached.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    /// The complete lines.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// The complete lines that are JSON objects.
    pub fn json_lines(&self) -> Vec<Value> {
        objects(&self.text())
    }

    /// Returns the complete lines that are JSON objects, and does not return them again.
    pub fn take_json_lines(&mut self) -> Vec<Value> {
        let bytes = self.complete_lines().unwrap_or_default();
        self.taken += bytes.len() as u64;
        objects(&String::from_utf8_lossy(&bytes))
    }

    /// The complete lines, or one line with the error if the file cannot be read.
    fn text(&self) -> String {
        match self.complete_lines() {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("cannot read the output: {error}\n"),
        }
    }

    /// The bytes up to the last line break. The process may still be printing the line after it.
    fn complete_lines(&self) -> io::Result<Vec<u8>> {
        let length = self.file.metadata()?.len().saturating_sub(self.taken);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.taken)?;
        let last_break = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(last_break.map_or(0, |index| index + 1));
        Ok(bytes)
    }
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}

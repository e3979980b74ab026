//! What a process prints, stdout and stderr together, kept in a file without a name.
//!
//! A file and not a pipe: a line that was printed before an answer was sent can be read as soon as the
//! answer is here, and nobody has to keep up with the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use serde_json::Value;

/// The output of one process, since the last [`Output::take_json_lines`].
#[derive(Debug)]
pub struct Output {
    file: File,
    taken: u64,
}

impl Output {
    /// An empty file, gone from the disk when the last process that writes to it ends.
    pub fn new() -> io::Result<Self> {
        Ok(Output { file: tempfile::tempfile()?, taken: 0 })
    }

    /// The same file; what is taken here is not taken there.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Output { file: self.file.try_clone()?, taken: self.taken })
    }

    /// For `Command::stdout` or `Command::stderr`.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    /// The lines that are whole.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// The lines that are JSON objects.
    pub fn json_lines(&self) -> Vec<Value> {
        objects(&self.text())
    }

    /// Like [`Output::json_lines`], each line once.
    pub fn take_json_lines(&mut self) -> Vec<Value> {
        let bytes = self.whole_lines().unwrap_or_default();
        self.taken += bytes.len() as u64;
        objects(&String::from_utf8_lossy(&bytes))
    }

    /// A file that cannot be read reads as a line that says so.
    fn text(&self) -> String {
        match self.whole_lines() {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("cannot read the output: {error}\n"),
        }
    }

    /// Without the last line where the process is in the middle of it.
    fn whole_lines(&self) -> io::Result<Vec<u8>> {
        let length = self.file.metadata()?.len().saturating_sub(self.taken);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.taken)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(end.map_or(0, |end| end + 1));
        Ok(bytes)
    }
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}

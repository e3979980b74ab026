//! Files that are written in such a way that a crash loses no line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// The mode of a file that only its owner can read and write, because it can contain bodies of letters.
const OWNER_ONLY: u32 = 0o600;
/// The bits of a mode that are the permissions of everybody except the owner.
const OTHERS: u32 = 0o077;

/// A file of JSON lines to which lines are only appended.
#[derive(Debug)]
pub(crate) struct JsonLines {
    file: File,
    path: PathBuf,
}

impl JsonLines {
    /// Opens or creates the file.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(OWNER_ONLY);
        let mut file = options.open(path).with_context(|| path.display().to_string())?;
        sync_directory(path)?;
        end_last_line(&mut file)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens or creates the file, and makes it readable by its owner only.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created, or belongs to somebody else and can be read by others.
    pub(crate) fn open_private(path: &Path) -> Result<Self> {
        let lines = Self::open(path)?;
        let metadata = lines.file.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & OTHERS != 0 {
            let restricted = lines.file.set_permissions(Permissions::from_mode(OWNER_ONLY));
            restricted.with_context(|| format!("{} can be read by others", path.display()))?;
        }
        Ok(lines)
    }

    /// Adds lines and waits until they are on the disk.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn append<T: Serialize>(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let mut lines = Vec::new();
        for value in values {
            serde_json::to_writer(&mut lines, &value)?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        // One write, so that the lines of two processes do not mix.
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        written.with_context(|| self.path.display().to_string())
    }
}

/// The lines of a file.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    pub(crate) complete: Vec<T>,
    /// The number of other lines. A crash can leave one behind.
    pub(crate) incomplete: usize,
}

/// Reads the lines of a file; none if there is no file.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.with_context(|| path.display().to_string())?,
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut read = Lines { complete: Vec::new(), incomplete: 0 };
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(value) => read.complete.push(value),
            Err(_) => read.incomplete += 1,
        }
    }
    Ok(read)
}

/// The SHA-256 digest, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that no two paths name the same file, because the use of one would damage the other.
///
/// # Errors
///
/// Two paths name the same file, or the directory of a file cannot be found.
pub(crate) fn must_differ(paths: &[&Path]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for path in paths {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(_) => {
                let directory = directory(path).canonicalize();
                let directory = directory.with_context(|| path.display().to_string())?;
                directory.join(path.file_name().unwrap_or_default())
            }
        };
        if let Some(other) = seen.insert(real, path) {
            bail!("{} and {} are the same file", other.display(), path.display());
        }
    }
    Ok(())
}

/// Checks that the file of the option `--out` can be created, before the work for its content is done.
///
/// # Errors
///
/// The file exists already, or its directory does not exist.
pub(crate) fn check_new(path: &Path) -> Result<()> {
    if path.exists() {
        bail!("{} exists already; remove it, or name another file with --out", path.display());
    }
    if !directory(path).is_dir() {
        bail!("{}: the directory does not exist", path.display());
    }
    Ok(())
}

/// Writes a new file.
///
/// # Errors
///
/// The file exists already, or cannot be written.
pub(crate) fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(OWNER_ONLY).open(path);
    file.with_context(|| path.display().to_string())
}

/// Writes the directory entry of a file to the disk, so that a crash does not lose the file.
fn sync_directory(path: &Path) -> Result<()> {
    File::open(directory(path))?.sync_all()?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Ends a line that a crash has left incomplete, so that the next line does not continue it.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

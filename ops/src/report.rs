//! The command `list`: shows letters, or their numbers.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;

use crate::cli::{Format, GroupBy, ListArgs};
use crate::letter::Letter;
use crate::selection;
use crate::session::Session;
use crate::time;

mod printable;
mod rows;
mod table;

use rows::{GroupRow, LetterRow};

pub(crate) async fn run(session: &Session, args: &ListArgs) -> Result<ExitCode> {
    let letters = selection::letters(session, &args.selection).await?;
    let (now, mut out) = (SystemTime::now(), io::BufWriter::new(io::stdout().lock()));
    match (args.group_by, args.output) {
        (None, Format::Table) => table::letters(&mut out, &letters, now)?,
        (None, Format::Json) => json(&mut out, letters.iter().map(|letter| LetterRow::new(letter, now)))?,
        (None, Format::Csv) => csv(&mut out, letters.iter().map(|letter| LetterRow::new(letter, now)))?,
        (Some(by), format) => {
            let groups = groups(&letters, by);
            match format {
                Format::Table => table::groups(&mut out, by, &groups)?,
                Format::Json => json(&mut out, groups.into_iter())?,
                Format::Csv => csv(&mut out, groups.into_iter())?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The number of letters in each group, the largest group first. Days are in chronological order.
fn groups(letters: &[Letter], by: GroupBy) -> Vec<GroupRow> {
    let mut groups = BTreeMap::<String, Vec<SystemTime>>::new();
    for letter in letters {
        let key = match by {
            GroupBy::Reason => letter.reason_code().to_owned(),
            GroupBy::Type => letter.event_type().to_owned(),
            GroupBy::Day => time::day(letter.sent),
        };
        groups.entry(key).or_default().push(letter.sent);
    }
    let mut rows: Vec<_> = groups.into_iter().filter_map(|(key, sent)| GroupRow::new(key, &sent)).collect();
    if by != GroupBy::Day {
        rows.sort_by_key(|row| std::cmp::Reverse(row.letters));
    }
    rows
}

fn json<T: Serialize>(out: &mut impl Write, rows: impl Iterator<Item = T>) -> Result<()> {
    writeln!(out, "{}", printable::json(&serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?))?;
    Ok(())
}

fn csv<T: Serialize + Default>(out: &mut impl Write, rows: impl Iterator<Item = T>) -> Result<()> {
    let mut plain = csv::Writer::from_writer(Vec::new());
    let mut lines = 1;
    for row in rows {
        plain.serialize(row)?;
        lines += 1;
    }
    if lines == 1 {
        // This row adds the header, and only the header is written below.
        plain.serialize(T::default())?;
    }
    let plain = plain.into_inner()?;
    let mut safe = csv::Writer::from_writer(out);
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(&*plain).records().take(lines) {
        safe.write_record(record?.iter().map(printable::field)).map_err(|error| match error.into_kind() {
            // `main` recognises by the kind of this error that the reader of a pipe has ended.
            csv::ErrorKind::Io(error) => anyhow::Error::from(error),
            other => anyhow::anyhow!("{other:?}"),
        })?;
    }
    safe.flush()?;
    Ok(())
}

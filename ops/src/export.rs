//! The command `export`: writes letters to a file and leaves them in the queue.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use crate::backup::BackedUp;
use crate::cli::ExportArgs;
use crate::files;
use crate::hidden::HiddenLetters;
use crate::message::StoredMessage;
use crate::progress::{bar, note};
use crate::reading;
use crate::selection;
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &ExportArgs) -> Result<ExitCode> {
    files::check_new(&args.out)?;
    let selected = selection::letters(session, &args.selection).await?;
    let selected: BTreeMap<_, _> = selected
        .iter()
        .map(|letter| (letter.message_id.clone(), letter.reason_or_refund().to_owned()))
        .collect();
    if selected.is_empty() {
        bail!("no letter is selected");
    }
    let queue = session.queue().await?;
    // The worker derives the type of the queue from the ARN of the event.
    let arn =
        if args.as_lambda_event { session.event_queue(&queue).await?.arn().await? } else { String::new() };
    let mut file = files::create(&args.out)?;
    let (mut found, mut records) = (0, Vec::new());
    let (hidden_letters, bar) =
        (HiddenLetters::new(&queue, session.settings.visibility_timeout), bar("exporting", 0));
    let take = |message: StoredMessage| {
        if let Some(reason_code) = selected.get(&message.message_id) {
            found += 1;
            if args.as_lambda_event {
                records.push(message.record(&arn));
            } else {
                let line = serde_json::to_string(&BackedUp::new(message, session.source, reason_code))?;
                writeln!(file, "{line}")?;
            }
        }
        Ok(if found == selected.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let exported =
        hidden_letters.keep_hidden_during(reading::read(&hidden_letters, &session.stop, &bar, take)).await;
    bar.finish_and_clear();
    let written = exported.and_then(|()| {
        if args.as_lambda_event {
            writeln!(file, "{:#}", json!({ "Records": records }))?;
        }
        Ok(file.sync_all()?)
    });
    if let Err(error) = written {
        fs::remove_file(&args.out)?;
        return Err(error);
    }
    let (all, out) = (selected.len(), args.out.display());
    note(format_args!("{out} contains {found} of {all} selected letters. They are still in the queue."));
    Ok(if found == all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

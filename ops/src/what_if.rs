//! What the worker would do with a letter now, predicted with its own parser and decision tables. Nothing is changed.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use reservation_worker::config::Config;

use crate::aws;
use crate::letter::Letter;
use crate::progress::bar;
use crate::services::ReadOnlyServices;
use crate::session::Session;

mod race;
mod reply;
mod steps;

/// The services, with the variables and the secret of the worker.
pub(crate) async fn connect(session: &Session) -> Result<ReadOnlyServices> {
    let aws_config = session.config.clone();
    let fetch = move |name| aws::secret(aws_config.clone(), name);
    let config = Config::from_sources(|variable| std::env::var(variable).ok(), fetch).await?;
    ReadOnlyServices::new(&config)
}

/// Adds a verdict to each letter, which are in the order in which they were sent.
pub(crate) async fn predict(
    services: &ReadOnlyServices,
    letters: &mut [Letter],
    session: &Session,
    concurrency: usize,
) -> Result<()> {
    let bar = bar("reading the reservations", letters.len());
    stream::iter(letters.iter_mut())
        .for_each_concurrent(concurrency, async |letter| {
            if session.stop.check().is_ok() {
                letter.what_if = Some(steps::verdict(letter, services).await);
                bar.inc(1);
            }
        })
        .await;
    bar.finish_and_clear();
    session.stop.check()?;
    let is_fifo = session.queue().await?.is_fifo();
    let mut by_reservation = BTreeMap::<String, Vec<&mut Letter>>::new();
    for letter in letters {
        if let Some(id) = letter.reservation_id().map(str::to_owned) {
            by_reservation.entry(id).or_default().push(letter);
        }
    }
    by_reservation.values_mut().for_each(|letters| race::decide_between(letters, is_fifo));
    Ok(())
}

//! What the worker would do with a letter now, predicted with its own parser and decision tables. Nothing is changed.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::{FutureExt, StreamExt, stream};
use reservation_worker::config::Config;
use reservation_worker::reservation::Ending;

use crate::aws::{self, Stack};
use crate::letter::Letter;
use crate::progress::{bar, note};
use crate::services::ReadOnlyServices;
use crate::session::Session;

mod race;
mod reply;
mod steps;

/// The services, with the variables and the secret of the worker. Of the variables that are not set here, the stack
/// gives those of [`variable_of`], and the others have their defaults. So `TLS_CA_FILE` must be set here if the worker
/// needs it: the parameter of the stack is a path in Lambda.
pub(crate) async fn connect(session: &Session) -> Result<ReadOnlyServices> {
    let stack = session.stack().await.unwrap_or_else(|error| {
        note(format_args!("note: the addresses of the services are not read from the stack ({error:#})"));
        None
    });
    let lookup = |variable: &str| {
        let here = std::env::var(variable).ok().filter(|value| !value.is_empty());
        here.or_else(|| variable_of(stack?, variable))
    };
    let aws_config = session.config.clone();
    let config = Config::from_sources(lookup, move |name| aws::secret(aws_config.clone(), name)).await?;
    for warning in &config.warnings {
        note(format_args!("note: {warning}"));
    }
    ReadOnlyServices::new(&config)
}

/// The value of a variable of the worker, as `template.yaml` derives it from a parameter.
fn variable_of(stack: &Stack, variable: &str) -> Option<String> {
    let parameter = |name| stack.parameters.get(name).filter(|value| !value.is_empty()).cloned();
    match variable {
        "INVENTORY_GRPC_ADDR" => parameter("InventoryGrpcAddr"),
        "RESERVATION_API_BASE" => parameter("ReservationApiBase"),
        "SECRET_NAME" => parameter("SecretArn"),
        "USE_SECRET_MANAGER" => parameter("SecretArn").map(|_| "true".to_owned()),
        _ => None,
    }
}

/// For each reservation, the number of letters that request to confirm it, because it was paid.
#[derive(Debug)]
pub(crate) struct Payments(BTreeMap<String, usize>);

impl Payments {
    /// `letters` are all letters of the queue. A filter must not hide a payment from the prediction.
    pub(crate) fn of(letters: &[Letter]) -> Self {
        let mut payments = BTreeMap::new();
        for letter in letters.iter().filter(|letter| letter.requested_ending() == Some(Ending::Confirmed)) {
            *payments.entry(letter.reservation_id().unwrap_or_default().to_owned()).or_default() += 1;
        }
        Self(payments)
    }
}

/// Adds a verdict to each of the selected letters.
pub(crate) async fn predict(
    services: &ReadOnlyServices,
    letters: &mut [Letter],
    payments: &Payments,
    session: &Session,
    concurrency: usize,
) -> Result<()> {
    let bar = bar("reading the reservations", letters.len());
    let predicting = stream::iter(letters.iter_mut()).for_each_concurrent(concurrency, async |letter| {
        letter.what_if = Some(steps::verdict(letter, services).await);
        bar.inc(1);
    });
    let predicted = session.stop.unless_requested(predicting.map(Ok)).await;
    bar.finish_and_clear();
    predicted?;
    let mut by_reservation = BTreeMap::<String, Vec<&mut Letter>>::new();
    for letter in letters {
        if let Some(id) = letter.reservation_id().map(str::to_owned) {
            by_reservation.entry(id).or_default().push(letter);
        }
    }
    for (id, letters) in &mut by_reservation {
        let selected =
            letters.iter().filter(|letter| letter.requested_ending() == Some(Ending::Confirmed)).count();
        let all = payments.0.get(id).copied().unwrap_or(0);
        race::decide_between(letters, all > selected);
    }
    Ok(())
}

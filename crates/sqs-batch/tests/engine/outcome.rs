//! What becomes of a record by its completion, and the outcome type `Result`.

use std::time::Duration;

use sqs_batch::{Completion, Outcome, Redelivery};

use crate::script::Scripted;

const AFTER_BACKOFF: Redelivery = Redelivery::AfterBackoff { at_least: Duration::ZERO };
const AFTER_OUTAGE: Redelivery = Redelivery::AfterOutage { cause: "orders", at_least: Duration::ZERO };

#[test]
fn only_an_outcome_of_the_handler_can_acknowledge_a_record() {
    let cases = [
        (Completion::Handled(Scripted::Done), Some(Scripted::Done), true),
        (Completion::Handled(Scripted::Failed), Some(Scripted::Failed), false),
        (Completion::Shared(Scripted::Done), Some(Scripted::Done), true),
        (Completion::Shared(Scripted::Failed), Some(Scripted::Failed), false),
        (Completion::NotStarted, None, false),
        (Completion::Abandoned, None, false),
        (Completion::GroupBlocked, None, false),
        (Completion::Panicked, None, false),
    ];
    for (completion, outcome, acknowledged) in cases {
        assert_eq!(completion.outcome(), outcome.as_ref(), "{completion:?}");
        assert_eq!(completion.is_acknowledged(), acknowledged, "{completion:?}");
    }
}

#[test]
fn a_record_without_an_outcome_is_delivered_again_after_the_back_off() {
    let cases = [
        (Completion::Handled(Scripted::Failed), AFTER_BACKOFF),
        (Completion::Handled(Scripted::Outage), AFTER_OUTAGE),
        (Completion::Shared(Scripted::Outage), AFTER_OUTAGE),
        (Completion::Handled(Scripted::Rejected), Redelivery::Immediate),
        (Completion::Shared(Scripted::Rejected), Redelivery::Immediate),
        (Completion::NotStarted, AFTER_BACKOFF),
        (Completion::Abandoned, AFTER_BACKOFF),
        (Completion::GroupBlocked, AFTER_BACKOFF),
        (Completion::Panicked, AFTER_BACKOFF),
    ];
    for (completion, redelivery) in cases {
        assert_eq!(completion.redelivery(), redelivery, "{completion:?}");
    }
}

#[test]
fn ok_is_acknowledged_and_err_is_delivered_again_after_the_back_off() {
    let (done, failed) = (Ok::<(), &str>(()), Err("failed"));
    assert!(done.is_acknowledged());
    assert!(!failed.is_acknowledged());
    assert_eq!(failed.redelivery(), AFTER_BACKOFF);
}

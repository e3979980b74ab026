//! Variables: any text is accepted or reported as a problem of its variable.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reservation_worker::config::Config;

use crate::config::{NON_DEFAULTS, REQUIRED};

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "-?[0-9]{0,25}",
        "(https?|ftp)://[a-z@:/?#%.\\[\\]]{0,20}",
        "[a-z.:0-9]{0,12}:[0-9]{0,7}",
        Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn any_text_is_accepted_or_reported_as_a_problem_of_its_variable(
        values in prop::collection::vec(value(), NON_DEFAULTS.len()),
    ) {
        let set: BTreeMap<_, _> = NON_DEFAULTS.iter().map(|(name, _)| *name).zip(&values).collect();
        let read = Config::from_lookup(|name| set.get(name).map(|value| (*value).clone()));
        // The error for one variable if all others are unset, except for valid values of the required variables.
        let alone = |name: &str, value: &str| {
            let lookup = |requested: &str| {
                let required = REQUIRED.iter().find(|(name, _)| *name == requested).map(|(_, value)| *value);
                (requested == name).then_some(value).or(required).map(str::to_owned)
            };
            Config::from_lookup(lookup).err()
        };
        let mut invalid: Vec<&str> = Vec::new();
        for (name, value) in &set {
            if let Some(error) = alone(name, value) {
                prop_assert_eq!(error.problems.len(), 1, "{}", error);
                let expected = if *name == "BACKOFF_MAX_MS" { "BACKOFF_M" } else { *name };
                let is_contradiction = error.problems[0].reason == "is greater than BACKOFF_MAX_MS";
                prop_assert!(is_contradiction || error.problems[0].variable.starts_with(expected), "{}", error);
                if !is_contradiction {
                    invalid.push(name);
                }
            }
        }
        let mut reported: Vec<_> =
            read.err().iter().flat_map(|error| error.problems.iter().map(|problem| problem.variable)).collect();
        reported.sort_unstable();
        // `AWS_LAMBDA_LOG_LEVEL` is read only if `LOG_LEVEL` is not set.
        reported.dedup();
        invalid.retain(|name| *name != "AWS_LAMBDA_LOG_LEVEL" || reported.contains(name));
        // Two valid numbers can contradict each other: the base of the back-off must not exceed the maximum.
        let is_base = |name: &&str| *name != "BACKOFF_BASE_MS" || invalid.contains(name);
        if !invalid.contains(&"BACKOFF_MAX_MS") {
            reported.retain(is_base);
        }
        prop_assert_eq!(reported, invalid);
    }
}

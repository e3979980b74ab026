//! Variables: any text is a value or a problem that names its variable.

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
    fn any_text_is_a_value_or_a_problem_of_its_variable(
        values in prop::collection::vec(value(), NON_DEFAULTS.len()),
    ) {
        let set: BTreeMap<_, _> = NON_DEFAULTS.iter().map(|(name, _)| *name).zip(&values).collect();
        let read = Config::from_lookup(|name| set.get(name).map(|value| (*value).clone()));
        // Each variable beside good values of the required ones: what is wrong with it alone.
        let alone = |name: &str, value: &str| {
            let lookup = |asked: &str| {
                let required = REQUIRED.iter().find(|(name, _)| *name == asked).map(|(_, value)| *value);
                (asked == name).then_some(value).or(required).map(str::to_owned)
            };
            Config::from_lookup(lookup).err()
        };
        let mut wrong: Vec<&str> = Vec::new();
        for (name, value) in &set {
            if let Some(error) = alone(name, value) {
                prop_assert_eq!(error.problems.len(), 1, "{}", error);
                prop_assert_eq!(error.problems[0].variable, *name);
                wrong.push(name);
            }
        }
        let mut told: Vec<_> =
            read.err().iter().flat_map(|error| error.problems.iter().map(|problem| problem.variable)).collect();
        told.sort_unstable();
        // Lambda's level counts only where the operator's is not set.
        told.dedup();
        wrong.retain(|name| *name != "AWS_LAMBDA_LOG_LEVEL" || told.contains(name));
        prop_assert_eq!(told, wrong);
    }
}

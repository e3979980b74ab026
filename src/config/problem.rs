//! The errors of a configuration.

use super::secret::SecretError;

/// The configuration cannot be used. The message contains every problem.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid configuration: {}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    /// The problems, in the order in which the variables are read.
    pub problems: Vec<Problem>,
}

/// The configuration could not be loaded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoadError {
    /// A variable is missing or has no usable value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What is wrong with one variable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable}={value}: {reason}")]
pub struct Problem {
    /// The name of the variable.
    pub variable: &'static str,
    /// Its value, or `(unset)`, `(hidden)` or `(in the secret)` if there is none to show.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

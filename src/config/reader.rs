//! Reads one variable at a time and collects the problems.

use std::collections::BTreeMap;

use super::parse::ParseResult;
use super::problem::{ConfigError, Problem};
use super::variables::{DefaultValue, Variable};

/// Reads variables and collects the problems.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that the secret in Secrets Manager sets.
    secret: BTreeMap<&'static str, String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, secret: BTreeMap::new(), problems: Vec::new() }
    }

    /// Uses these values, which come from the secret, instead of the variables of the same name. A problem does not
    /// show such a value.
    pub(super) fn use_secret(&mut self, variables: BTreeMap<&'static str, String>) {
        self.secret = variables;
    }

    /// The configuration, or all problems.
    pub(super) fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        config.filter(|_| self.problems.is_empty()).ok_or(ConfigError { problems: self.problems })
    }

    /// The value of a variable that is required or has a default. `None` means that a problem was recorded.
    pub(super) fn value<T>(
        &mut self,
        variable: &Variable,
        parse: impl Fn(&str) -> ParseResult<T>,
    ) -> Option<T> {
        match (self.text(variable), variable.default) {
            (Some(text), _) => self.checked(variable, parse(&text)),
            (None, DefaultValue::Value(default)) => self.checked(variable, parse(default)),
            (None, _) => self.checked(variable, Err("is required".to_owned())),
        }
    }

    /// The value of a variable that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        variable: &Variable,
        parse: impl Fn(&str) -> ParseResult<T>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        self.checked(variable, parse(&text))
    }

    /// The value of a variable that may be absent and is never shown.
    pub(super) fn optional_hidden<T>(
        &mut self,
        variable: &Variable,
        parse: impl Fn(&str) -> ParseResult<T>,
    ) -> Option<T> {
        let hidden = |reason| Problem { variable: variable.name, value: "(hidden)".to_owned(), reason };
        parse(&self.text(variable)?).map_err(|reason| self.problems.push(hidden(reason))).ok()
    }

    /// Reports a value that cannot be used together with another one.
    pub(super) fn refuse(&mut self, variable: &Variable, reason: &str) {
        self.add_problem(variable, reason.to_owned());
    }

    /// The value, or `None` after its problem was recorded.
    fn checked<T>(&mut self, variable: &Variable, result: ParseResult<T>) -> Option<T> {
        result.map_err(|reason| self.add_problem(variable, reason)).ok()
    }

    fn add_problem(&mut self, variable: &Variable, reason: String) {
        let value = match self.text(variable) {
            None => "(unset)".to_owned(),
            Some(_) if self.secret.contains_key(variable.name) => "(in the secret)".to_owned(),
            Some(text) => unless_sensitive(text),
        };
        self.problems.push(Problem { variable: variable.name, value, reason });
    }

    /// The text of a variable without white space around it, from the secret or else from the environment. An empty
    /// text counts as absent.
    fn text(&self, variable: &Variable) -> Option<String> {
        let texts = [self.secret.get(variable.name).cloned(), (self.lookup)(variable.name)];
        let mut texts = texts.into_iter().flatten().map(|text| text.trim().to_owned());
        texts.find(|text| !text.is_empty())
    }
}

/// The value, or `(hidden)` if it may contain a secret: a URL can have a password, or a token in its query.
fn unless_sensitive(value: String) -> String {
    let is_url = value.contains("://");
    if value.contains('@') || (is_url && value.contains('?')) { "(hidden)".to_owned() } else { value }
}

//! Reads one variable at a time and collects the problems.

use std::collections::BTreeMap;

use super::parse::Parsed;
use super::problem::{ConfigError, Problem};
use super::variables::{DefaultValue, Variable};

pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that the secret sets.
    secret: BTreeMap<&'static str, String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, secret: BTreeMap::new(), problems: Vec::new() }
    }

    /// Uses these values instead of the variables of the same name. A problem does not show such a value.
    pub(super) fn use_secret(&mut self, variables: BTreeMap<&'static str, String>) {
        self.secret = variables;
    }

    /// The configuration, or all problems.
    pub(super) fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        config.filter(|_| self.problems.is_empty()).ok_or(ConfigError { problems: self.problems })
    }

    /// The value of a variable that is required or has a default. `None` means that a problem was recorded.
    pub(super) fn value<T>(&mut self, variable: &Variable, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        match (self.text(variable), variable.default) {
            (Some(text), _) => self.parsed(variable, parse(&text)),
            (None, DefaultValue::Value(default)) => self.parsed(variable, parse(default)),
            (None, _) => self.parsed(variable, Err("is required".to_owned())),
        }
    }

    /// The value of a variable that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        variable: &Variable,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        self.parsed(variable, parse(&text))
    }

    /// The value of a variable that may be absent and is never shown.
    pub(super) fn secret<T>(&mut self, variable: &Variable, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let hidden = |reason| Problem { variable: variable.name, value: "(hidden)".to_owned(), reason };
        parse(&self.text(variable)?).map_err(|reason| self.problems.push(hidden(reason))).ok()
    }

    fn parsed<T>(&mut self, variable: &Variable, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|reason| self.add_problem(variable, reason)).ok()
    }

    fn add_problem(&mut self, variable: &Variable, reason: String) {
        let value = match self.text(variable) {
            None => "(unset)".to_owned(),
            Some(_) if self.secret.contains_key(variable.name) => "(in the secret)".to_owned(),
            Some(text) => shown(text),
        };
        self.problems.push(Problem { variable: variable.name, value, reason });
    }

    fn text(&self, variable: &Variable) -> Option<String> {
        let texts = [self.secret.get(variable.name).cloned(), (self.lookup)(variable.name)];
        let mut texts = texts.into_iter().flatten().map(|text| text.trim().to_owned());
        texts.find(|text| !text.is_empty())
    }
}

/// Hides a value that may contain a secret: a URL can have a password, or a token in its query.
fn shown(value: String) -> String {
    let is_url = value.contains("://");
    if value.contains('@') || (is_url && value.contains('?')) { "(hidden)".to_owned() } else { value }
}

//! What is wrong with settings: each with its key, what it is where that is no secret, and what it may be.

use super::ConfigError;
use config::Value;
use std::fmt;
use std::path::Path;

/// The last names of settings that hold a secret, or a URL that can.
const SECRETS: [&str; 9] = [
    "url",
    "password",
    "sentinel_password",
    "key",
    "next_key",
    "keys",
    "key_pem",
    "tls_key_pem",
    "operator_token",
];
/// So much of a value is shown.
const MOST_SHOWN: usize = 60;

/// One setting that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.reason)
    }
}

impl Fault {
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            reason: reason.into(),
        }
    }

    /// A value, no secret, that its setting cannot have.
    pub fn value(key: &str, value: impl fmt::Display, allowed: impl fmt::Display) -> Self {
        Self::new(key, format!("is {value}, and must be {allowed}"))
    }

    /// What the library says of the first value that does not fit.
    pub fn of(cause: &config::ConfigError, tree: &Value) -> Self {
        let (key, said) = told(cause);
        if let Some(name) = said
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next())
        {
            let known = said.split_once("expected ").map_or("", |(_, known)| known);
            let known = known.trim_start_matches("one of ");
            return Self::new(&below(&key, name), format!("is no setting; there are {known}"));
        }
        let (_, allowed) = said.rsplit_once("expected ").unwrap_or(("", "of another kind"));
        match shown(&key, tree) {
            Some(value) => Self::value(&key, value, allowed),
            None => Self::new(&key, format!("must be {allowed}")),
        }
    }
}

/// All of them, a line each.
pub(super) fn listed(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [one] => format!("the configuration is not valid: {one}"),
        several => format!(
            "the configuration has {} faults:\n  {}",
            several.len(),
            several.join("\n  ")
        ),
    }
}

/// The key of a value, and what is said of it.
fn told(cause: &config::ConfigError) -> (String, String) {
    match cause {
        config::ConfigError::Type { key, expected, .. } => {
            (key.clone().unwrap_or_default(), format!("expected {expected}"))
        }
        config::ConfigError::At { error, key, .. } => {
            let (inner, said) = told(error);
            (key.clone().unwrap_or(inner), said)
        }
        config::ConfigError::NotFound(key) => (key.clone(), "expected to be there".to_owned()),
        config::ConfigError::Message(text) => (String::new(), text.clone()),
        _ => (String::new(), String::new()),
    }
}

fn below(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

/// The value of a setting, cut short; `None` where it is or could be a secret, or no plain value.
fn shown(key: &str, tree: &Value) -> Option<String> {
    let last = key.rsplit('.').next().unwrap_or_default();
    if SECRETS.contains(&last.split('[').next().unwrap_or_default()) {
        return None;
    }
    let (path, index) = match key.strip_suffix(']').and_then(|key| key.rsplit_once('[')) {
        Some((path, index)) => (path, index.parse().ok()),
        None => (key, None),
    };
    let mut value = tree.clone();
    for name in path.split('.') {
        value = value.into_table().ok()?.remove(name)?;
    }
    if let Some(index) = index {
        let items: Vec<Value> = value.into_array().ok()?;
        value = items.into_iter().nth(index)?;
    }
    let text = value.into_string().ok()?;
    let cut: String = text.chars().take(MOST_SHOWN).collect();
    Some(format!("{cut:?}"))
}

/// The text of a file that is TOML; if it is not, the line and what is wrong there, but not what it holds.
pub(super) fn read_toml(path: &Path) -> Result<String, ConfigError> {
    let shown = path.display();
    let text = crate::text::read_file(path)
        .map_err(|cause| ConfigError::Invalid(format!("{shown} cannot be read: {cause}")))?;
    match toml::from_str::<toml::Table>(&text) {
        Ok(_) => Ok(text),
        Err(cause) => {
            let line = cause.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            Err(ConfigError::Invalid(format!(
                "{shown}, line {line}: {}",
                cause.message()
            )))
        }
    }
}

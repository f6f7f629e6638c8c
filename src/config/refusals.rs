//! Telling what is wrong with a configuration, and never what it holds: a value could be a secret.

use super::ConfigError;
use std::path::Path;

/// The text of a file that is TOML; if it is not, the line and what is wrong there, but not what it holds.
pub(super) fn read_toml(path: &Path) -> Result<String, ConfigError> {
    let shown = path.display();
    let text =
        crate::text::read_file(path).map_err(|cause| ConfigError::Invalid(format!("{shown}: {cause}")))?;
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

/// What is wrong, without the value: it could be a secret.
pub(super) fn describe(cause: &config::ConfigError) -> String {
    match cause {
        config::ConfigError::Type { key, expected, .. } => {
            format!("{} must be {expected}", key.as_deref().unwrap_or("a value"))
        }
        config::ConfigError::At { error, key, .. } => {
            format!("{}: {}", key.as_deref().unwrap_or("a value"), describe(error))
        }
        config::ConfigError::NotFound(key) => format!("{key} is missing"),
        config::ConfigError::Message(text)
            if text.starts_with("unknown field") || text.starts_with("missing field") =>
        {
            text.clone()
        }
        config::ConfigError::Message(text) => match text.split_once("expected") {
            Some((_, expected)) => format!("a value is not what is expected:{expected}"),
            None => "a value cannot be read".to_owned(),
        },
        _ => "a value cannot be read".to_owned(),
    }
}

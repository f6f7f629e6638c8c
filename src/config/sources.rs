//! Where settings come from: defaults, then a file, then the environment. What does not fit is put aside and told, so that
//! one look finds all of it.

use super::faults::{Fault, read_toml};
use super::{ConfigError, DEFAULTS, Settings};
use config::builder::DefaultState;
use config::{Config, ConfigBuilder, Environment, File, FileFormat, Map, Value, ValueKind};
use std::path::Path;

const PREFIX: &str = "KUNDEFORHOLD";
/// The settings that are lists.
const LISTS: [&str; 6] = [
    "access.scopes.customer_relationships",
    "access.scopes.account_servicing_provider",
    "access.scopes.write",
    "record.key_files",
    "record.keys",
    "identifiers.synthetic",
];

/// All values of the file and of the environment over the defaults.
pub(super) fn read(file: Option<&Path>) -> Result<Value, ConfigError> {
    let mut builder = defaults();
    if let Some(path) = file {
        builder = builder.add_source(File::from_str(&read_toml(path)?, FileFormat::Toml));
    }
    tree(with_environment(builder)?)
}

/// All values of a text in TOML over the defaults.
pub(super) fn of_text(text: &str) -> Result<Value, ConfigError> {
    tree(defaults().add_source(File::from_str(text, FileFormat::Toml)))
}

fn defaults() -> ConfigBuilder<DefaultState> {
    Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml))
}

fn tree(builder: ConfigBuilder<DefaultState>) -> Result<Value, ConfigError> {
    let built = builder.build();
    built.map(|built| built.cache).map_err(unreadable)
}

fn unreadable(cause: config::ConfigError) -> ConfigError {
    // Never what it holds.
    ConfigError::Invalid(match cause {
        config::ConfigError::FileParse { .. } => "it is not TOML".to_owned(),
        _ => "the environment cannot be read".to_owned(),
    })
}

/// Values are taken as they are written, so that a password of digits stays one. Lists are separated by commas, and an
/// empty text is an empty list.
fn with_environment(
    builder: ConfigBuilder<DefaultState>,
) -> Result<ConfigBuilder<DefaultState>, ConfigError> {
    let start = format!("{}__", PREFIX.to_lowercase());
    let mut builder = builder;
    let mut texts: Map<String, String> = Map::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name
            .to_str()
            .filter(|name| name.to_lowercase().starts_with(&start))
        else {
            continue;
        };
        let refused = || ConfigError::Invalid(format!("{name} in the environment is not UTF-8"));
        let value = value.into_string().map_err(|_| refused())?;
        let key = name[start.len()..].to_lowercase().replace("__", ".");
        match LISTS.contains(&key.as_str()) {
            false => drop(texts.insert(name.to_owned(), value)),
            true => builder = builder.set_override(key, items(&value)).map_err(unreadable)?,
        }
    }
    let environment = Environment::with_prefix(PREFIX)
        .prefix_separator("__")
        .separator("__");
    Ok(builder.add_source(environment.source(Some(texts))))
}

fn items(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|_| !text.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

/// The settings, and everything that does not fit its setting; for those values the settings have the defaults.
pub(super) fn settings(mut tree: Value) -> Result<(Settings, Vec<Fault>), ConfigError> {
    let defaults = self::tree(self::defaults())?;
    let mut faults = Vec::new();
    loop {
        match tree.clone().try_deserialize() {
            Ok(settings) => return Ok((settings, faults)),
            Err(cause) => {
                let fault = Fault::of(&cause, &tree);
                let is_mended = mend(&mut tree, &defaults, &fault.key);
                faults.push(fault);
                if !is_mended {
                    return Err(ConfigError::Faults(faults));
                }
            }
        }
    }
}

/// Puts the default in a value's place, or takes it out; false: it is not there.
fn mend(tree: &mut Value, defaults: &Value, key: &str) -> bool {
    let (mut tree, mut defaults) = (tree, Some(defaults));
    let (path, _) = key.split_once('[').unwrap_or((key, ""));
    let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        let Some(inner) = table_mut(tree).and_then(|table| table.get_mut(section)) else {
            return false;
        };
        tree = inner;
        defaults = defaults.and_then(|defaults| table(defaults)?.get(section));
    }
    let default = defaults.and_then(|defaults| table(defaults)?.get(name)).cloned();
    let Some(table) = table_mut(tree) else {
        return false;
    };
    match default {
        Some(default) => table.insert(name.to_owned(), default).is_some(),
        None => table.remove(name).is_some(),
    }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn table_mut(value: &mut Value) -> Option<&mut Map<String, Value>> {
    match &mut value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

//! What the settings say of the store, of the cache in front of it, and of the record of use beside it.

use super::{CacheSettings, ConfigError, Settings, StoreSettings, read_setting};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;

/// The record of use, beside the register.
const RECORD: &str = "record.sqlite";

impl StoreSettings {
    /// Where the SQLite file is.
    pub fn path(&self) -> Result<PathBuf, ConfigError> {
        sqlite_path("store.url", &self.url)
    }

    /// Where lines are sorted that do not fit into memory: beside the file, unless another place is named.
    pub fn scratch_directory(&self) -> Result<PathBuf, ConfigError> {
        if let Some(directory) = &self.scratch_directory {
            return Ok(directory.clone());
        }
        let path = self.path()?;
        let beside = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        Ok(beside.map_or_else(|| PathBuf::from("."), PathBuf::from))
    }
}

impl Settings {
    /// Where the SQLite file of the record of use is: beside the register, unless another place is named.
    pub fn record_path(&self) -> Result<PathBuf, ConfigError> {
        let register = self.store.path()?;
        let path = match self.record.url.expose_secret() {
            "" => register.with_file_name(RECORD),
            _ => sqlite_path("record.url", &self.record.url)?,
        };
        match path == register {
            false => Ok(path),
            true => Err(ConfigError::Value {
                key: "record.url",
                reason: "must name another file than store.url".to_owned(),
            }),
        }
    }
}

fn sqlite_path(key: &'static str, url: &SecretString) -> Result<PathBuf, ConfigError> {
    let value = |reason: &str| ConfigError::Value {
        key,
        reason: reason.to_owned(),
    };
    match url.expose_secret().split_once(':') {
        Some(("sqlite", "")) => Err(value("names no path after sqlite:")),
        Some(("sqlite", path)) => Ok(PathBuf::from(path)),
        _ => Err(value("must be sqlite:PATH")),
    }
}

impl CacheSettings {
    /// The address of Redis; `None`: there is no cache.
    pub fn url(&self) -> Option<&SecretString> {
        Some(&self.url).filter(|url| !url.expose_secret().is_empty())
    }

    /// The password of Redis where the URL has none, from the environment or its file.
    pub fn password(&self) -> Result<Option<SecretString>, ConfigError> {
        read_password("cache.password_file", &self.password, &self.password_file)
    }

    /// The password of the Sentinels themselves.
    pub fn sentinel_password(&self) -> Result<Option<SecretString>, ConfigError> {
        let (password, file) = (&self.sentinel_password, &self.sentinel_password_file);
        read_password("cache.sentinel_password_file", password, file)
    }

    /// Who vouches for the certificates of Redis, in PEM; `None`: those that the system trusts.
    pub fn ca_certificate(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let read = |path: &PathBuf| read_setting("cache.tls_ca_file", path).map(String::into_bytes);
        self.tls_ca_file.as_ref().map(read).transpose()
    }
}

fn read_password(
    key: &'static str,
    password: &Option<SecretString>,
    file: &Option<PathBuf>,
) -> Result<Option<SecretString>, ConfigError> {
    match (password, file) {
        (Some(password), _) => Ok(Some(password.clone())),
        (None, Some(path)) => {
            let text = read_setting(key, path)?;
            Ok(Some(SecretString::from(text.trim_end().to_owned())))
        }
        (None, None) => Ok(None),
    }
}

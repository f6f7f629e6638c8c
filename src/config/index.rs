//! What the settings say of the index.

use super::{ConfigError, IndexSettings, IndexUrl, read_setting};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait of a lookup for the index that can be set.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A shorter lease could end between two renewals.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

impl IndexSettings {
    pub fn url(&self) -> Result<IndexUrl, ConfigError> {
        let url = self.url.as_ref().ok_or(ConfigError::Missing("index.url"))?;
        let text = url.expose_secret();
        let value = |reason: &str| {
            Err(ConfigError::Value {
                key: "index.url",
                reason: reason.to_owned(),
            })
        };
        match text.split_once(':') {
            Some(("embedded", "")) => value("names no path after embedded:"),
            Some(("embedded", path)) => Ok(IndexUrl::Embedded(PathBuf::from(path))),
            Some((
                "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
                | "rediss-sentinel",
                _,
            )) => Ok(IndexUrl::Redis(url.clone())),
            _ => value(
                "must be redis://HOST:PORT/DB, redis-sentinel://H1:P,H2:P/MASTER, redis-cluster://H1:P,H2:P \
                 (or these with rediss) or embedded:PATH",
            ),
        }
    }

    /// The password of Redis where the URL has none, from the environment or its file.
    pub fn password(&self) -> Result<Option<SecretString>, ConfigError> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(Some(password.clone())),
            (None, Some(path)) => {
                let text = read_setting("index.password_file", path)?;
                Ok(Some(SecretString::from(text.trim_end().to_owned())))
            }
            (None, None) => Ok(None),
        }
    }

    /// Who vouches for the certificates of Redis, in PEM; `None`: those that the system trusts.
    pub fn ca_certificate(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let read = |path: &PathBuf| read_setting("index.tls_ca_file", path).map(String::into_bytes);
        self.tls_ca_file.as_ref().map(read).transpose()
    }

    /// How long a lease holds without being renewed.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds).max(SHORTEST_LEASE)
    }

    /// At most [`LONGEST_TIMEOUT`], since rows of replaced sets are kept no longer than that takes.
    pub fn timeout(&self) -> Result<Duration, ConfigError> {
        let timeout = Duration::from_millis(self.timeout_milliseconds);
        if timeout <= LONGEST_TIMEOUT {
            return Ok(timeout);
        }
        let reason = format!("may be {} at most", LONGEST_TIMEOUT.as_millis());
        Err(ConfigError::Value {
            key: "index.timeout_milliseconds",
            reason,
        })
    }
}

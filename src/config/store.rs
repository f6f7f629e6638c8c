//! What the settings say of the store, of the cache in front of it, and of the record of use beside it.

use super::{CacheSettings, ConfigError, RecordSettings, Settings, StoreSettings, injected, read_setting};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;

/// The record of use, beside the register.
const RECORD: &str = "record.sqlite";
/// Of a URL, what is no name of its own.
const NAMES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl StoreSettings {
    /// Where the SQLite file is; `None`: the register is in PostgreSQL.
    pub fn path(&self) -> Result<Option<PathBuf>, ConfigError> {
        match is_postgres(self.url.expose_secret()) {
            true => Ok(None),
            false => sqlite_path("store.url", &self.url).map(Some),
        }
    }

    /// Where PostgreSQL is. `postgres:` alone is what libpq's variables say.
    pub fn postgres_url(&self) -> SecretString {
        match self.is_of_libpq() {
            true => libpq_url(&injected),
            false => self.url.clone(),
        }
    }

    fn is_of_libpq(&self) -> bool {
        matches!(self.url.expose_secret(), "postgres:" | "postgresql:")
    }

    /// A variable of libpq, where they are read.
    fn of_libpq(&self, name: &str) -> Option<String> {
        self.is_of_libpq().then(|| injected(name)).flatten()
    }

    /// The password of PostgreSQL where the URL has none, from the environment or its file.
    pub fn password(&self) -> Result<Option<SecretString>, ConfigError> {
        let password = read_password("store.password_file", &self.password, &self.password_file)?;
        Ok(password.or_else(|| self.of_libpq("PGPASSWORD").map(SecretString::from)))
    }

    /// Who vouches for the certificate of PostgreSQL, in PEM; `None`: those that the system trusts.
    pub fn ca_certificate(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let path = self.file(&self.tls_ca_file, "PGSSLROOTCERT");
        let read = |path: PathBuf| read_setting("store.tls_ca_file", &path).map(String::into_bytes);
        path.map(read).transpose()
    }

    /// The certificate that this program shows to PostgreSQL, and its key, in PEM.
    pub fn client_certificate(&self) -> Result<Option<(Vec<u8>, SecretString)>, ConfigError> {
        let certificate = self.file(&self.tls_certificate, "PGSSLCERT");
        let key = match (&self.tls_key_pem, self.file(&self.tls_key, "PGSSLKEY")) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(path)) => Some(read_setting("store.tls_key", &path)?.into()),
            (None, None) => None,
        };
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let certificate = read_setting("store.tls_certificate", &certificate)?;
                Ok(Some((certificate.into_bytes(), key)))
            }
            _ => Err(ConfigError::Value {
                key: "store.tls_certificate",
                reason: "and store.tls_key go together".to_owned(),
            }),
        }
    }

    fn file(&self, named: &Option<PathBuf>, variable: &str) -> Option<PathBuf> {
        let of_libpq = || self.of_libpq(variable).map(PathBuf::from);
        named.clone().or_else(of_libpq)
    }

    /// Where lines are sorted that do not fit into memory: unless another place is named, beside the SQLite file, or
    /// where the system has what is temporary.
    pub fn scratch_directory(&self) -> Result<PathBuf, ConfigError> {
        if let Some(directory) = &self.scratch_directory {
            return Ok(directory.clone());
        }
        let Some(path) = self.path()? else {
            return Ok(std::env::temp_dir());
        };
        let beside = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        Ok(beside.map_or_else(|| PathBuf::from("."), PathBuf::from))
    }
}

/// What `PGHOST` and its like say, as one URL. What it lacks is refused like any other.
fn libpq_url(variable: &dyn Fn(&str) -> Option<String>) -> SecretString {
    let named = |name| variable(name).unwrap_or_default();
    let encoded = |text: &str| utf8_percent_encode(text, NAMES).to_string();
    let (hosts, ports, user) = (named("PGHOST"), named("PGPORT"), named("PGUSER"));
    let mut ports = ports.split(',').filter(|port| !port.is_empty()).cycle();
    let hosts = hosts.split(',').map(|host| match ports.next() {
        Some(port) => format!("{}:{port}", encoded(host)),
        None => encoded(host),
    });
    let hosts: Vec<String> = hosts.collect();
    let database = variable("PGDATABASE").unwrap_or_else(|| user.clone());
    let mode = variable("PGSSLMODE").map_or_else(String::new, |mode| format!("?sslmode={}", encoded(&mode)));
    let url = format!(
        "postgres://{}@{}/{}{mode}",
        encoded(&user),
        hosts.join(","),
        encoded(&database)
    );
    SecretString::from(url)
}

impl Settings {
    /// The SQLite file of the record of use: beside the register, unless another place is named. `None`: it is in
    /// PostgreSQL.
    pub fn record_path(&self) -> Result<Option<PathBuf>, ConfigError> {
        let refused = |reason: &str| ConfigError::Value {
            key: "record.url",
            reason: reason.to_owned(),
        };
        let register = self.store.path()?;
        let path = match (self.record.url.expose_secret(), &register) {
            ("", Some(register)) => register.with_file_name(RECORD),
            ("", None) => return Ok(None),
            (url, _) if is_postgres(url) => return Ok(None),
            (_, None) => {
                return Err(refused(
                    "must be postgres://USER@HOST:PORT/DATABASE, or unset, where the store is a database: instances keep nothing",
                ));
            }
            (_, Some(_)) => sqlite_path("record.url", &self.record.url)?,
        };
        match register == Some(path.clone()) {
            false => Ok(Some(path)),
            true => Err(refused("must name another file than store.url")),
        }
    }

    /// The database of the record of use, if it is in PostgreSQL.
    pub fn record_postgres_url(&self) -> SecretString {
        match self.record.url.expose_secret() {
            "" => self.store.postgres_url(),
            _ => self.record.url.clone(),
        }
    }
}

fn is_postgres(url: &str) -> bool {
    matches!(url.split_once(':'), Some(("postgres" | "postgresql", _)))
}

fn sqlite_path(key: &'static str, url: &SecretString) -> Result<PathBuf, ConfigError> {
    let value = |reason: &str| ConfigError::Value {
        key,
        reason: reason.to_owned(),
    };
    match url.expose_secret().split_once(':') {
        Some(("sqlite", "")) => Err(value("names no path after sqlite:")),
        Some(("sqlite", path)) => Ok(PathBuf::from(path)),
        _ => Err(value("must be sqlite:PATH or postgres://USER@HOST:PORT/DATABASE")),
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

impl RecordSettings {
    /// Whether the record of use has keys of its own, which a change of the pseudonym key leaves alone.
    pub fn has_own_keys(&self) -> bool {
        !self.keys.is_empty() || !self.key_files.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        libpq_url(&variable).expose_secret().to_owned()
    }

    #[test]
    fn the_variables_of_libpq_make_a_url() {
        let several = [
            ("PGHOST", "a,b"),
            ("PGPORT", "6,7"),
            ("PGUSER", "k@f"),
            ("PGDATABASE", "r/1"),
            ("PGSSLMODE", "disable"),
        ];
        assert_eq!(url(&several), "postgres://k%40f@a:6,b:7/r%2F1?sslmode=disable");
        assert_eq!(
            url(&[("PGHOST", "a,b"), ("PGPORT", "6"), ("PGUSER", "u")]),
            "postgres://u@a:6,b:6/u"
        );
        let socket = [
            ("PGHOST", "/run/postgresql"),
            ("PGUSER", "u"),
            ("PGDATABASE", "d"),
        ];
        assert_eq!(url(&socket), "postgres://u@%2Frun%2Fpostgresql/d");
    }
}

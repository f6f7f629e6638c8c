//! Where PostgreSQL is, as `store.url` tells it, and how to log in to it.

use super::PostgresOptions;
use super::tls::{ServerName, tls_config};
use crate::store::StoreError;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

const DEFAULT_PORT: u16 = 5432;
/// Longest wait for one host to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A host that is gone without a word is noticed within this time.
const GONE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;

/// What `store.url` and the settings beside it say.
pub(super) struct Target {
    pub(super) config: tokio_postgres::Config,
    /// `None`: without TLS.
    pub(super) tls: Option<MakeRustlsConnect>,
    /// The hosts and the database. Shows no user and no password.
    pub(super) shown: String,
}

impl Target {
    pub(super) fn parse(options: &PostgresOptions) -> Result<Self, StoreError> {
        let url = options.url.expose_secret();
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| unfit("must be postgres://USER@HOST:PORT,HOST:PORT/DATABASE"))?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match place.rsplit_once('@') {
            Some((login, hosts)) => (login, hosts),
            None => ("", place),
        };
        let mut config = tokio_postgres::Config::new();
        let mut names = Vec::new();
        for host in hosts.split(',') {
            let (host, port) = address(host)?;
            names.push(format!("{host}:{port}"));
            config.host(host).port(port);
        }
        log_in(&mut config, login, options)?;
        match decoded(database)?.as_str() {
            "" => return Err(unfit("names no database")),
            database => config.dbname(database),
        };
        let mode = Mode::of(parameters)?;
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Verify(_) => SslMode::Require,
        });
        config
            .application_name("kundeforhold")
            // Of several, the one that takes writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(GONE_AFTER)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVES);
        let shown = format!("{}/{}", names.join(","), config.get_dbname().unwrap_or_default());
        Ok(Self {
            tls: match mode {
                Mode::Disable => None,
                Mode::Verify(name) => Some(MakeRustlsConnect::new(tls_config(options, name)?)),
            },
            config,
            shown,
        })
    }
}

/// How far the server is believed. There is nothing between: TLS whose certificate is not verified keeps nobody out.
#[derive(Clone, Copy)]
enum Mode {
    Disable,
    Verify(ServerName),
}

impl Mode {
    fn of(parameters: &str) -> Result<Self, StoreError> {
        let mut mode = Self::Verify(ServerName::Its);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            mode = match parameter.split_once('=') {
                Some(("sslmode", "disable")) => Self::Disable,
                Some(("sslmode", "verify-full")) => Self::Verify(ServerName::Its),
                Some(("sslmode", "verify-ca")) => Self::Verify(ServerName::Any),
                Some(("sslmode", _)) => {
                    return Err(unfit(
                        "may have sslmode=verify-full (the default), verify-ca or disable",
                    ));
                }
                // What is done anyway.
                Some(("target_session_attrs", "read-write")) => mode,
                _ => return Err(unfit("has a parameter other than sslmode")),
            };
        }
        Ok(mode)
    }
}

/// Never shows the address itself, since a password may be anywhere in one that is malformed.
fn unfit(reason: &str) -> StoreError {
    StoreError::Settings(format!("store.url {reason}"))
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned())
        .map_err(|_| unfit("has a name that is not UTF-8"))
}

/// `host:port`, where an IPv6 address may stand in brackets, and a directory of sockets is percent-encoded.
fn address(text: &str) -> Result<(String, u16), StoreError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse();
            (host, port.map_err(|_| unfit("names a port that is no number"))?)
        }
        _ => (text, DEFAULT_PORT),
    };
    match decoded(host.trim_start_matches('[').trim_end_matches(']'))? {
        host if host.is_empty() => Err(unfit("names no host")),
        host => Ok((host, port)),
    }
}

fn log_in(
    config: &mut tokio_postgres::Config,
    login: &str,
    options: &PostgresOptions,
) -> Result<(), StoreError> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    match decoded(user)?.as_str() {
        "" => return Err(unfit("names no user")),
        user => config.user(user),
    };
    match (password, &options.password) {
        (Some(password), _) => drop(config.password(decoded(password)?)),
        (None, Some(password)) => drop(config.password(password.expose_secret())),
        (None, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use tokio_postgres::config::Host;

    fn parsed(url: &str) -> Result<Target, StoreError> {
        Target::parse(&PostgresOptions {
            url: SecretString::from(url),
            password: Some(SecretString::from("beside")),
            ca_certificate: None,
            client_certificate: None,
            connections: 4,
            migrates: true,
        })
    }

    #[test]
    fn hosts_user_password_and_database_are_read() {
        let target = parsed("postgres://us%40er:p%2Fss@a,[::1]:7/kf?sslmode=disable").unwrap();
        let hosts = ["a", "::1"].map(|host| Host::Tcp(host.to_owned()));
        assert_eq!(target.config.get_hosts(), hosts);
        assert_eq!(target.config.get_ports(), [5432, 7]);
        assert_eq!(target.config.get_user(), Some("us@er"));
        assert_eq!(target.config.get_password(), Some(b"p/ss".as_slice()));
        assert_eq!(target.shown, "a:5432,::1:7/kf");
        assert!(target.tls.is_none());
        let target = parsed("postgresql://u@%2Frun%2Fpostgresql/kf?sslmode=disable").unwrap();
        assert!(matches!(target.config.get_hosts(), [Host::Unix(_)]));
        assert_eq!(target.config.get_password(), Some(b"beside".as_slice()));
    }

    #[test]
    fn the_server_is_verified_unless_there_is_no_tls_at_all() {
        let verified = parsed("postgres://u@h/kf").unwrap();
        assert!(verified.tls.is_some() && verified.config.get_ssl_mode() == SslMode::Require);
        assert!(parsed("postgres://u@h/kf?sslmode=require").is_err());
        let any_name = parsed("postgres://u@h/kf?sslmode=verify-ca").err();
        let told = "sslmode=verify-ca wants store.tls_ca_file";
        assert!(matches!(any_name, Some(StoreError::Settings(said)) if said.contains(told)));
    }

    #[test]
    fn a_url_that_is_refused_is_not_shown() {
        for url in [
            "postgres:s3cret",
            "postgres://u:s3cret@h",
            "postgres://:s3cret@h/kf",
            "postgres://u:s3cret@h:port/kf",
            "postgres://u:s3cret@/kf",
            "postgres://u:s3cret@h/kf?sslmode=prefer",
            "postgres://u:s3cret@h/kf?options=-cx",
            "mysql://u:s3cret@h/kf",
        ] {
            let Err(StoreError::Settings(told)) = parsed(url) else {
                panic!("{url} is accepted");
            };
            assert!(told.contains("store.url") && !told.contains("s3cret"), "{told}");
        }
    }
}

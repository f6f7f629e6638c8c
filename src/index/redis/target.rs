//! Where Redis is, as `index.url` tells it, and how to connect to it.

use super::RedisOptions;
use crate::index::IndexError;
use percent_encoding::percent_decode_str;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// Where a Redis, or a Sentinel, listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `host:port`, where an IPv6 address may stand in brackets.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then_some(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How the Redis servers are arranged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrangement {
    Node(Address),
    Sentinel { sentinels: Vec<Address>, master: String },
    Cluster { seeds: Vec<Address> },
}

/// What a URL of the index says.
pub(super) struct Target {
    pub(super) arrangement: Arrangement,
    pub(super) access: Access,
}

/// How to connect to any of the servers.
#[derive(Clone)]
pub(super) struct Access {
    tls: bool,
    ca_certificate: Option<Vec<u8>>,
    user: Option<String>,
    password: Option<SecretString>,
    database: i64,
}

impl Target {
    pub(super) fn parse(url: &str, options: &RedisOptions) -> Result<Self, IndexError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unfit("has no ://"))?;
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (tls, arrangement) = match scheme {
            "redis" | "rediss" => (scheme == "rediss", node(hosts)?),
            "redis-cluster" | "rediss-cluster" => (scheme == "rediss-cluster", cluster(hosts, path)?),
            "redis-sentinel" | "rediss-sentinel" => (scheme == "rediss-sentinel", sentinel(hosts, path)?),
            _ => {
                return Err(unfit(
                    "must begin with redis, redis-sentinel, redis-cluster, or these with rediss",
                ));
            }
        };
        let database = match (&arrangement, path) {
            (Arrangement::Node(_), path) if !path.is_empty() => path
                .parse()
                .map_err(|_| unfit("ends in a database that is no number"))?,
            _ => 0,
        };
        let (user, password) = credentials.map_or((None, None), parse_credentials);
        let access = Access {
            tls,
            ca_certificate: options.ca_certificate.clone(),
            user: user.or_else(|| options.user.clone()),
            password: password.or_else(|| options.password.clone()),
            database,
        };
        Ok(Self { arrangement, access })
    }
}

fn unfit(reason: &str) -> IndexError {
    IndexError::Unfit(format!("index.url {reason}"))
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, IndexError> {
    let addresses = hosts
        .split(',')
        .map(|host| Address::parse(host.trim(), default_port));
    let addresses: Option<Vec<Address>> = addresses.collect();
    addresses.ok_or_else(|| unfit("names a host without a name, or with a port that is no number"))
}

fn node(hosts: &str) -> Result<Arrangement, IndexError> {
    match addresses(hosts, DEFAULT_PORT)?.as_slice() {
        [address] => Ok(Arrangement::Node(address.clone())),
        _ => Err(unfit(
            "names several hosts; write redis-cluster:// or redis-sentinel:// for that",
        )),
    }
}

fn cluster(hosts: &str, path: &str) -> Result<Arrangement, IndexError> {
    if !matches!(path, "" | "0") {
        return Err(unfit("names a database, which a Cluster does not have"));
    }
    let seeds = addresses(hosts, DEFAULT_PORT)?;
    Ok(Arrangement::Cluster { seeds })
}

fn sentinel(hosts: &str, path: &str) -> Result<Arrangement, IndexError> {
    if path.is_empty() || path.contains('/') {
        return Err(unfit(
            "must end in the name that the Sentinels have for the master, such as /mymaster",
        ));
    }
    Ok(Arrangement::Sentinel {
        sentinels: addresses(hosts, DEFAULT_SENTINEL_PORT)?,
        master: path.to_owned(),
    })
}

fn parse_credentials(text: &str) -> (Option<String>, Option<SecretString>) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let present = |text: &str| (!text.is_empty()).then(|| decode(text));
    (present(user), present(password).map(SecretString::from))
}

impl Access {
    /// Sentinels have neither the databases nor the users of the servers they watch.
    pub(super) fn to_sentinels(&self) -> Self {
        Self {
            user: None,
            password: None,
            database: 0,
            ..self.clone()
        }
    }

    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        let (host, port) = (address.host.clone(), address.port);
        let place = match self.tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose_secret());
        }
        let info = place.into_connection_info()?.set_redis_settings(login);
        if !self.tls {
            return Client::open(info);
        }
        Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls: None,
                root_cert: self.ca_certificate.clone(),
            },
        )
    }

    pub(super) async fn connect(
        &self,
        address: &Address,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let client = self.client(address)?;
        client.get_multiplexed_async_connection_with_config(config).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Target, IndexError> {
        Target::parse(url, &RedisOptions::default())
    }

    fn address(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    #[test]
    fn each_arrangement_has_a_url() {
        let node = parsed("rediss://user:p%40ss@h:1/3").unwrap();
        assert_eq!(node.arrangement, Arrangement::Node(address("h", 1)));
        assert!(node.access.tls);
        assert_eq!(
            (node.access.user.as_deref(), node.access.database),
            (Some("user"), 3)
        );
        assert_eq!(node.access.password.unwrap().expose_secret(), "p@ss");
        let seeds = vec![address("a", 6379), address("::1", 7000)];
        assert_eq!(
            parsed("redis-cluster://a,[::1]:7000").unwrap().arrangement,
            Arrangement::Cluster { seeds }
        );
        let expected = Arrangement::Sentinel {
            sentinels: vec![address("a", 26379), address("b", 1)],
            master: "kf".to_owned(),
        };
        assert_eq!(
            parsed("redis-sentinel://:s@a,b:1/kf").unwrap().arrangement,
            expected
        );
    }

    #[test]
    fn a_url_that_is_refused_is_not_shown() {
        for url in [
            "redis:s3cret",
            "redis://:s3cret@a,b",
            "redis://:s3cret@h:port",
            "redis://:s3cret@h/x",
            "redis-sentinel://:s3cret@a",
            "redis-cluster://:s3cret@a/1",
            "valkey://:s3cret@a",
            "redis://:s3cret@",
        ] {
            let Err(IndexError::Unfit(told)) = parsed(url) else {
                panic!("{url} is accepted");
            };
            assert!(told.contains("index.url") && !told.contains("s3cret"), "{told}");
        }
    }
}

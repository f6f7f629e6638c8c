//! Where Redis is, as `cache.url` tells it, and how to log in to it.

use super::{CacheError, CacheOptions};
use percent_encoding::percent_decode_str;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates, TlsMode,
};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// Where a Redis, or a Sentinel, listens.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// As far as it is known before anything answers. Shows no user and no password.
impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[Address]| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(",")
        };
        match self {
            Self::Node(address) => address.fmt(f),
            Self::Sentinel { sentinels, master } => {
                write!(f, "the master {master} of the Sentinels {}", list(sentinels))
            }
            Self::Cluster { seeds } => write!(f, "the Cluster of {}", list(seeds)),
        }
    }
}

/// What `cache.url` and the settings beside it say.
pub(super) struct Target {
    pub(super) arrangement: Arrangement,
    access: Access,
}

/// How to log in to any of the servers.
struct Access {
    tls: bool,
    ca_certificate: Option<Vec<u8>>,
    user: Option<String>,
    password: Option<SecretString>,
    /// Sentinels have users and passwords of their own.
    sentinel_password: Option<SecretString>,
    database: i64,
}

impl Target {
    pub(super) fn parse(options: &CacheOptions) -> Result<Self, CacheError> {
        let url = options.url.expose_secret();
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
                    "must begin with redis://, redis-sentinel://, redis-cluster://, or these with rediss",
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
            user,
            password: password.or_else(|| options.password.clone()),
            sentinel_password: options.sentinel_password.clone(),
            database,
        };
        let target = Self { arrangement, access };
        target.check()?;
        Ok(target)
    }

    pub(super) fn has_sentinels(&self) -> bool {
        matches!(self.arrangement, Arrangement::Sentinel { .. })
    }

    /// What the library would refuse later is refused now: certificates that cannot be read.
    fn check(&self) -> Result<(), CacheError> {
        let some = Address {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
        };
        self.client(&some)
            .map(drop)
            .map_err(|cause| CacheError::Settings(format!("cache.url or cache.tls_ca_file: {cause}")))
    }

    /// Of the server at an address, with all that is needed to log in.
    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        let access = &self.access;
        let mut login = RedisConnectionInfo::default().set_db(access.database);
        if let Some(user) = &access.user {
            login = login.set_username(user);
        }
        if let Some(password) = &access.password {
            login = login.set_password(password.expose_secret());
        }
        let info = self.place(address).into_connection_info()?;
        let info = info.set_redis_settings(login);
        match access.tls {
            true => Client::build_with_tls(info, access.certificates()),
            false => Client::open(info),
        }
    }

    /// Asks Sentinels where their master is; `None` where there are none.
    pub(super) fn sentinels(&self) -> RedisResult<Option<SentinelClient>> {
        let Arrangement::Sentinel { sentinels, master } = &self.arrangement else {
            return Ok(None);
        };
        let access = &self.access;
        let places = sentinels.iter().map(|sentinel| self.place(sentinel));
        let mut builder = SentinelClientBuilder::new(places, master, SentinelServerType::Master)?;
        if let Some(user) = &access.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &access.password {
            builder = builder.set_client_to_redis_password(password.expose_secret());
        }
        if let Some(password) = &access.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.expose_secret());
        }
        if access.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(access.certificates())
                .set_client_to_sentinel_certificates(access.certificates());
        }
        builder.build().map(Some)
    }

    /// The servers by which the others of a Cluster are found.
    pub(super) fn seeds(&self, seeds: &[Address]) -> RedisResult<Vec<ConnectionInfo>> {
        let seed = |seed| Ok(self.client(seed)?.get_connection_info().clone());
        seeds.iter().map(seed).collect()
    }

    /// Whose certificates are believed, where there is TLS.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        self.access.tls.then(|| self.access.certificates())
    }

    fn place(&self, address: &Address) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        match self.access.tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        }
    }
}

impl Access {
    fn certificates(&self) -> TlsCertificates {
        TlsCertificates {
            client_tls: None,
            root_cert: self.ca_certificate.clone(),
        }
    }
}

/// Never shows the address itself, since a password may be anywhere in one that is malformed.
fn unfit(reason: &str) -> CacheError {
    CacheError::Settings(format!("cache.url {reason}"))
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, CacheError> {
    let addresses = hosts
        .split(',')
        .map(|host| Address::parse(host.trim(), default_port));
    let addresses: Option<Vec<Address>> = addresses.collect();
    addresses.ok_or_else(|| unfit("names a host without a name, or with a port that is no number"))
}

fn node(hosts: &str) -> Result<Arrangement, CacheError> {
    match addresses(hosts, DEFAULT_PORT)?.as_slice() {
        [address] => Ok(Arrangement::Node(address.clone())),
        _ => Err(unfit(
            "names several hosts; write redis-cluster:// or redis-sentinel:// for that",
        )),
    }
}

fn cluster(hosts: &str, path: &str) -> Result<Arrangement, CacheError> {
    if !matches!(path, "" | "0") {
        return Err(unfit("names a database, which a Cluster does not have"));
    }
    let seeds = addresses(hosts, DEFAULT_PORT)?;
    Ok(Arrangement::Cluster { seeds })
}

fn sentinel(hosts: &str, path: &str) -> Result<Arrangement, CacheError> {
    if path.is_empty() || path.contains('/') {
        return Err(unfit(
            "must name the master after the Sentinels: redis-sentinel://HOST:PORT,HOST:PORT/mymaster",
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn options(url: &str) -> CacheOptions {
        CacheOptions {
            url: SecretString::from(url),
            password: Some(SecretString::from("beside")),
            sentinel_password: None,
            ca_certificate: None,
            entry_seconds: 60,
            timeout: Duration::from_millis(50),
            connections: 1,
        }
    }

    fn parsed(url: &str) -> Result<Target, CacheError> {
        Target::parse(&options(url))
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
        let cluster = parsed("redis-cluster://a,[::1]:7000").unwrap();
        assert_eq!(cluster.arrangement, Arrangement::Cluster { seeds });
        assert_eq!(cluster.access.password.unwrap().expose_secret(), "beside");
        let expected = Arrangement::Sentinel {
            sentinels: vec![address("a", 26379), address("b", 1)],
            master: "kf".to_owned(),
        };
        let sentinel = parsed("redis-sentinel://:s@a,b:1/kf").unwrap();
        assert_eq!(sentinel.arrangement, expected);
    }

    #[test]
    fn where_redis_is_can_be_shown() {
        for (url, shown) in [
            ("redis://u:s3cret@h", "h:6379"),
            ("redis-cluster://:s3cret@a,b:1", "the Cluster of a:6379,b:1"),
            (
                "redis-sentinel://:s3cret@a/kf",
                "the master kf of the Sentinels a:26379",
            ),
        ] {
            assert_eq!(parsed(url).unwrap().arrangement.to_string(), shown);
        }
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
            let Err(CacheError::Settings(told)) = parsed(url) else {
                panic!("{url} is accepted");
            };
            assert!(told.contains("cache.url") && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_refused_at_once() {
        let options = CacheOptions {
            ca_certificate: Some(b"-----BEGIN CERTIFICATE-----\n!\n".to_vec()),
            ..options("rediss://h")
        };
        let refused = Target::parse(&options).err().unwrap();
        assert!(refused.to_string().contains("cache.tls_ca_file"), "{refused}");
    }
}

//! Several servers that belong together.

use crate::server::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub const PASSWORD: &str = "of-the-servers";
pub const SENTINEL_PASSWORD: &str = "of-the-sentinels";

/// A master, a replica and a Sentinel. They have passwords, and the Sentinel another one.
pub struct SentinelGroup {
    pub servers: [Server; 2],
    pub sentinel: Server,
}

impl SentinelGroup {
    pub fn start() -> Self {
        let secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
        let master = Server::that_refuses_nothing(&secret);
        let of = format!("127.0.0.1 {}", master.port);
        let replica = Server::that_refuses_nothing(&[&secret[..], &["--replicaof", &of]].concat());
        replica.says(&["INFO", "replication"], "master_link_status:up");
        let configuration = format!(
            "sentinel monitor kf 127.0.0.1 {} 1\nsentinel auth-pass kf {PASSWORD}\n\
             sentinel down-after-milliseconds kf 1000\nsentinel failover-timeout kf 3000",
            master.port
        );
        let sentinel = Server::sentinel(&configuration, SENTINEL_PASSWORD);
        sentinel.says(&["INFO", "sentinel"], "slaves=1");
        Self {
            servers: [master, replica],
            sentinel,
        }
    }

    pub fn url(&self) -> String {
        // One that is not there is passed over.
        format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}/kf", self.sentinel.port)
    }

    /// Makes the replica the master by hand, without any connection of the former being closed.
    pub fn exchange(&self) {
        let [master, replica] = &self.servers;
        let port = replica.port.to_string();
        self.sentinel.command(&["SENTINEL", "REMOVE", "kf"]);
        replica.says(&["REPLICAOF", "NO", "ONE"], "OK");
        master.says(&["REPLICAOF", "127.0.0.1", &port], "OK");
        self.sentinel
            .says(&["SENTINEL", "MONITOR", "kf", "127.0.0.1", &port, "1"], "OK");
        self.sentinel
            .says(&["SENTINEL", "SET", "kf", "auth-pass", PASSWORD], "OK");
    }
}

/// Three primaries.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::of(Server::with)
    }

    /// Known by their host name, which alone is in their certificates.
    pub fn with_tls(certificates: &Certificates) -> Self {
        let named = [
            "--cluster-announce-hostname",
            "localhost",
            "--cluster-preferred-endpoint-type",
            "hostname",
            "--tls-cluster",
            "yes",
            "--requirepass",
            PASSWORD,
        ];
        Self::of(|options| Server::with_tls(certificates.directory.path(), &[options, &named].concat()))
    }

    fn of(start: impl Fn(&[&str]) -> Server) -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
        let nodes: Vec<Server> = (0..3).map(|_| start(&options)).collect();
        for (node, slots) in nodes
            .iter()
            .zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]])
        {
            node.says(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]], "OK");
            let first = nodes[0].port.to_string();
            node.says(&["CLUSTER", "MEET", "127.0.0.1", &first], "OK");
        }
        for node in &nodes {
            for told in [
                "cluster_state:ok",
                "cluster_known_nodes:3",
                "cluster_slots_ok:16384",
            ] {
                node.says(&["CLUSTER", "INFO"], told);
            }
        }
        Self { nodes }
    }

    pub fn url(&self, scheme: &str, host: &str) -> String {
        let seeds: Vec<String> = self.nodes[..2]
            .iter()
            .map(|node| format!("{host}:{}", node.port))
            .collect();
        format!("{scheme}://{}", seeds.join(","))
    }

    pub fn entries(&self) -> Vec<u64> {
        let size = |node: &Server| node.command(&["DBSIZE"]).parse().unwrap();
        self.nodes.iter().map(size).collect()
    }
}

/// An authority of one's own and a server's certificate for `localhost`.
pub struct Certificates {
    directory: TempDir,
    pub authority: Vec<u8>,
}

impl Certificates {
    pub fn make() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        server.distinguished_name.push(DnType::CommonName, "localhost");
        let server = server.signed_by(&key, &issuer).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", &certificate);
        write("server.pem", &server.pem());
        write("server.key", &key.serialize_pem());
        Self {
            authority: certificate.into_bytes(),
            directory,
        }
    }
}

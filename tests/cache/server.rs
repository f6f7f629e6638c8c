//! A `redis-server` on a free loopback port, gone when dropped. It refuses what a managed Redis refuses.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Another process may take the port between finding and using it.
const PORTS_TRIED: usize = 5;
/// So that the bus of a Cluster, 10000 above, has a port too.
const HIGHEST_PORT: u16 = 55_000;
/// What not every Redis lets its users do.
const REFUSED: [&str; 4] = ["CONFIG", "FLUSHALL", "FLUSHDB", "KEYS"];

pub struct Server {
    child: Child,
    pub port: u16,
    /// How `redis-cli` gets to it.
    client: Vec<String>,
    start: Vec<String>,
    pub directory: TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        let refused = REFUSED.map(|command| ["--rename-command", command, ""]);
        Self::that_refuses_nothing(&[refused.as_flattened(), options].concat())
    }

    /// Sentinels want more of the servers they watch than a user has to.
    pub fn that_refuses_nothing(options: &[&str]) -> Self {
        Self::launch(|port, _| {
            let mut start = vec!["--port".to_owned(), port.to_string()];
            start.extend(options.iter().map(|option| (*option).to_owned()));
            (start, option_after(options, "--requirepass"))
        })
    }

    /// Only with TLS.
    pub fn with_tls(certificates: &Path, options: &[&str]) -> Self {
        let file = |name: &str| certificates.join(name).display().to_string();
        Self::launch(|port, _| {
            let mut start = vec!["--port".to_owned(), "0".to_owned()];
            start.extend(["--tls-port".to_owned(), port.to_string()]);
            start.extend(["--tls-cert-file".to_owned(), file("server.pem")]);
            start.extend(["--tls-key-file".to_owned(), file("server.key")]);
            start.extend(["--tls-ca-cert-file".to_owned(), file("ca.pem")]);
            start.extend(["--tls-auth-clients", "no"].map(str::to_owned));
            start.extend(options.iter().map(|option| (*option).to_owned()));
            let mut client = option_after(options, "--requirepass");
            client.extend(["-h", "localhost", "--tls", "--cacert"].map(str::to_owned));
            client.push(file("ca.pem"));
            (start, client)
        })
    }

    /// A Sentinel with a password that is not the one of the servers.
    pub fn sentinel(configuration: &str, password: &str) -> Self {
        Self::launch(|port, directory| {
            let file = directory.join("sentinel.conf");
            let text = format!("port {port}\nrequirepass {password}\n{configuration}\n");
            std::fs::write(&file, text).unwrap();
            let start = vec![file.display().to_string(), "--sentinel".to_owned()];
            (start, vec!["-a".to_owned(), password.to_owned()])
        })
    }

    fn launch(arguments: impl Fn(u16, &Path) -> (Vec<String>, Vec<String>)) -> Self {
        for _ in 0..PORTS_TRIED {
            let directory = tempfile::tempdir().unwrap();
            let port = free_port();
            let (start, client) = arguments(port, directory.path());
            let child = spawn(&start, directory.path());
            let mut server = Self {
                child,
                port,
                client,
                start,
                directory,
            };
            if server.comes_up() {
                return server;
            }
        }
        panic!("redis-server came up on none of {PORTS_TRIED} free ports");
    }

    fn comes_up(&mut self) -> bool {
        let started = Instant::now();
        while self.command(&["PING"]) != "PONG" {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "no redis-server");
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command through `redis-cli`.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("timeout")
            .args([
                "5",
                "redis-cli",
                "--no-auth-warning",
                "-p",
                &self.port.to_string(),
            ])
            .args(&self.client)
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until a command says so.
    pub fn says(&self, arguments: &[&str], expected: &str) {
        let begun = Instant::now();
        loop {
            let told = self.command(arguments);
            if told.contains(expected) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{arguments:?}: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection beside the cache, for what only an operator or an accident does.
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, empty.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.start, self.directory.path());
        assert!(self.comes_up(), "redis-server comes up on its former port");
    }

    /// It neither answers nor closes its connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(start: &[String], directory: &Path) -> Child {
    let is_sentinel = start.iter().any(|option| option == "--sentinel");
    let mut command = Command::new("redis-server");
    command.args(start).stdout(Stdio::null()).stderr(Stdio::null());
    if !is_sentinel {
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]);
    }
    command
        .arg("--dir")
        .arg(directory)
        .spawn()
        .expect("redis-server must be installed (apt-get install redis-server)")
}

fn option_after(options: &[&str], name: &str) -> Vec<String> {
    let place = options.iter().position(|option| *option == name);
    place.map_or_else(Vec::new, |place| {
        vec!["-a".to_owned(), options[place + 1].to_owned()]
    })
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < HIGHEST_PORT {
            return port;
        }
    }
}

//! Redis in each arrangement, started by `deploy/local-redis.sh` on free loopback ports, gone when dropped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for servers to find each other again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon a server that does not answer is replaced.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Servers {
    /// It stops what it started once its stdin ends, even where this process is killed.
    script: Child,
    directory: TempDir,
    url: String,
}

impl Servers {
    /// `node`, `sentinel` or `cluster`.
    pub fn start(kind: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local-redis.sh");
        let mut script = Command::new(script)
            .args([kind, "--until-stdin-ends"])
            .arg(directory.path())
            .env("NODE_TIMEOUT", NODE_TIMEOUT.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(script.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        assert!(
            url.contains("://"),
            "deploy/local-redis.sh {kind} did not come up"
        );
        Self {
            script,
            directory,
            url: url.trim().to_owned(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn place(&self, port: u16) -> PathBuf {
        self.directory.path().join(port.to_string())
    }

    /// The ports of all servers but Sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.started(|start| !start.contains("--sentinel"))
    }

    pub fn sentinels(&self) -> Vec<u16> {
        self.started(|start| start.contains("--sentinel"))
    }

    fn started(&self, which: impl Fn(&str) -> bool) -> Vec<u16> {
        let places = std::fs::read_dir(self.directory.path()).unwrap();
        let port = |place: std::io::Result<std::fs::DirEntry>| {
            let place = place.unwrap();
            let start = std::fs::read_to_string(place.path().join("start")).unwrap();
            which(&start).then(|| place.file_name().to_str().unwrap().parse().unwrap())
        };
        places.filter_map(port).collect()
    }

    /// Runs a command through `redis-cli`.
    pub fn command(&self, port: u16, arguments: &[&str]) -> String {
        let output = Command::new("timeout")
            .args(["2", "redis-cli", "-p", &port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The servers that take themselves for primaries.
    pub fn masters(&self) -> Vec<u16> {
        let is_master = |port: &u16| {
            let told = self.command(*port, &["INFO", "replication"]);
            told.contains("role:master")
        };
        self.ports().into_iter().filter(is_master).collect()
    }

    /// Empties every primary.
    pub fn flush(&self) {
        for port in self.masters() {
            assert_eq!(self.command(port, &["FLUSHALL"]).trim(), "OK");
        }
    }

    pub fn kill(&self, port: u16) {
        self.signal(port, "-KILL");
    }

    /// Starts a killed server again, empty.
    pub fn start_again(&self, port: u16) {
        let started = Command::new("sh").arg(self.place(port).join("start")).status();
        assert!(started.unwrap().success());
    }

    pub fn signal(&self, port: u16, signal: &str) {
        let pid = std::fs::read_to_string(self.place(port).join("pid")).unwrap();
        let sent = Command::new("kill").args([signal, pid.trim()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until every server is up, and every replica level with its primary.
    pub fn wait_until_whole(&self) {
        let begun = Instant::now();
        while !self.is_whole() {
            assert!(
                begun.elapsed() < PATIENCE,
                "the servers do not find each other again"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_whole(&self) -> bool {
        let ports = self.ports();
        let mut masters = 0;
        let mut online = 0;
        for port in &ports {
            let told = self.command(*port, &["INFO", "replication"]);
            if told.contains("role:master") {
                masters += 1;
                online += told.matches("state=online").count();
            } else if !told.contains("master_link_status:up") {
                return false;
            }
        }
        let expected = if ports.len() > 3 { 3 } else { 1 };
        masters == expected && masters + online == ports.len() && self.sentinels_agree(ports.len() - 1)
    }

    /// Every Sentinel knows the master and so many replicas, and finds none of them down.
    fn sentinels_agree(&self, replicas: usize) -> bool {
        let told = |port| self.command(port, &["SENTINEL", "MASTER", "kundeforhold"]);
        let agrees = |port: u16| {
            let told = told(port);
            let told: Vec<&str> = told.lines().collect();
            let value = |name| told.iter().position(|line| *line == name).map(|at| told[at + 1]);
            value("flags") == Some("master") && value("num-slaves") == Some(&replicas.to_string())
        };
        self.sentinels().into_iter().all(agrees)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

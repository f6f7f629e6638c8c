//! Redis servers that are killed, hang, and come back.

use super::servers::Servers;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for servers to find each other again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon a server that does not answer is replaced, as `deploy/local-redis.sh` has it.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);

impl Servers {
    fn place(&self, port: u16) -> PathBuf {
        self.directory.path().join(port.to_string())
    }

    pub fn sentinels(&self) -> Vec<u16> {
        self.started(|start| start.contains("--sentinel"))
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

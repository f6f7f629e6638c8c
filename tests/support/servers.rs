//! Redis in each arrangement, started by `deploy/local-redis.sh` on free loopback ports, gone when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub struct Servers {
    /// It stops what it started once its stdin ends, even where this process is killed.
    script: Child,
    /// Each server has a directory in it, named by its port.
    pub directory: TempDir,
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

    /// The ports of all servers but Sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.started(|start| !start.contains("--sentinel"))
    }

    pub fn started(&self, which: impl Fn(&str) -> bool) -> Vec<u16> {
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
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

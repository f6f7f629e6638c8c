//! An instance beside another: the same Redis, issuer and keys, no journal, a record of use of its own.

use crate::harness::{PROGRAM, Service, free_address};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Second {
    pub address: String,
    pub management: String,
    directory: TempDir,
    child: Child,
}

impl Second {
    pub fn start(first: &Service) -> Self {
        let (address, management) = (free_address(), free_address());
        let directory = tempfile::tempdir().unwrap();
        let configuration = std::fs::read_to_string(first.configuration()).unwrap();
        let mut configuration: toml::Table = configuration.parse().unwrap();
        let audit = directory.path().join("audit").display().to_string();
        for (section, key, value) in [
            ("server", "listen", address.clone()),
            ("server", "management_listen", management.clone()),
            ("journal", "directory", String::new()),
            ("audit", "directory", audit),
        ] {
            configuration[section]
                .as_table_mut()
                .unwrap()
                .insert(key.to_owned(), value.into());
        }
        std::fs::write(
            directory.path().join("kundeforhold.toml"),
            configuration.to_string(),
        )
        .unwrap();
        Self {
            child: spawn(&directory),
            address,
            management,
            directory,
        }
    }

    /// SIGTERM, the end, and a new start.
    pub fn restart(&mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(40), "it did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = spawn(&self.directory);
    }
}

fn spawn(directory: &TempDir) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.path().join("log.jsonl"));
    Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(directory.path().join("kundeforhold.toml"))
        .stdout(log.unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

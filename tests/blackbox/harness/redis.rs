//! A real `redis-server` on a free loopback port.

use super::free_address;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The file that SAVE writes and a start reads.
const DUMP: &str = "dump.rdb";
/// What it says.
const LOG: &str = "log";

pub struct RedisServer {
    directory: TempDir,
    child: Child,
    port: String,
    /// Of `redis-server`.
    options: Vec<String>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options; a configuration file may be the first.
    pub fn start_with(options: &[&str]) -> Self {
        let port = free_address().rsplit_once(':').unwrap().1.to_owned();
        let directory = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Self {
            child: spawn(&port, directory.path(), &options),
            directory,
            port,
            options,
        }
        .wait()
    }

    fn wait(self) -> Self {
        self.wait_until_it_answers();
        self
    }

    fn wait_until_it_answers(&self) {
        let started = Instant::now();
        while self.command(&["PING"]).trim() != "PONG" {
            let log = || std::fs::read_to_string(self.directory.path().join(LOG)).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "redis-server does not answer\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> &str {
        &self.port
    }

    /// Runs a command through `redis-cli`.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port])
            .args(arguments)
            .output();
        String::from_utf8_lossy(&output.expect("redis-cli is installed by tests/run.sh").stdout).into_owned()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty, on the same port.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.port, self.directory.path(), &self.options);
        self.wait_until_it_answers();
    }

    /// Every key, and every field and value of every hash and string.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        let script = "local found = {} for _, key in ipairs(redis.call('KEYS', '*')) do found[#found + 1] = key \
                      if redis.call('TYPE', key).ok == 'hash' then \
                      for _, part in ipairs(redis.call('HGETALL', key)) do found[#found + 1] = part end \
                      else found[#found + 1] = redis.call('GET', key) end end return found";
        let client = ::redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        ::redis::cmd("EVAL")
            .arg(script)
            .arg(0)
            .query(&mut connection)
            .unwrap()
    }

    /// Writes all it holds to `dump.rdb` in a directory.
    pub fn save(&self, directory: &Path) {
        assert_eq!(self.command(&["SAVE"]).trim(), "OK");
        std::fs::copy(self.directory.path().join(DUMP), directory.join(DUMP)).unwrap();
        std::fs::remove_file(self.directory.path().join(DUMP)).unwrap();
    }

    /// Starts it again, on the same port, with what was [saved](Self::save).
    pub fn start_again_from(&mut self, directory: &Path) {
        std::fs::copy(directory.join(DUMP), self.directory.path().join(DUMP)).unwrap();
        self.child = spawn(&self.port, self.directory.path(), &self.options);
        self.wait_until_it_answers();
    }

    /// `-STOP` and `-CONT`, for a Redis that hangs.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

fn spawn(port: &str, directory: &Path, options: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(LOG));
    Command::new("redis-server")
        .args(options)
        .arg("--dir")
        .arg(directory)
        .args([
            "--port",
            port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
        ])
        .stdout(log.unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed by tests/run.sh")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A real `redis-server` on a free loopback port.

use super::{free_address, send_signal};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The file that SAVE writes and a start reads.
const DUMP: &str = "dump.rdb";
/// What it says.
const LOG: &str = "log";

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

pub struct RedisServer {
    directory: TempDir,
    child: Child,
    port: String,
    /// Of `redis-server`.
    options: Vec<String>,
    /// "": it asks for none.
    password: String,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options; a configuration file may be the first.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_secured(options, "")
    }

    /// The same, where the options demand a password.
    pub fn start_secured(options: &[&str], password: &str) -> Self {
        let port = free_address().rsplit_once(':').unwrap().1.to_owned();
        let directory = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Self {
            child: spawn(&port, directory.path(), &options),
            directory,
            port,
            options,
            password: password.to_owned(),
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
        let mut command = Command::new("redis-cli");
        if !self.password.is_empty() {
            command.env("REDISCLI_AUTH", &self.password);
        }
        let output = command.args(["-p", &self.port]).args(arguments).output();
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

    /// Every entry: its key and its value.
    pub fn entries(&self) -> Vec<Entry> {
        let mut connection = self.connection();
        let keys: Vec<Vec<u8>> = ::redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let value = |key: Vec<u8>| {
            let value: Option<Vec<u8>> = ::redis::cmd("GET").arg(&key).query(&mut connection).ok()?;
            Some((key, value?))
        };
        keys.into_iter().filter_map(value).collect()
    }

    /// Writes entries over those that there are.
    pub fn write(&self, entries: &[Entry]) {
        let mut connection = self.connection();
        for (key, value) in entries {
            let set = ::redis::cmd("SET").arg(key).arg(value).exec(&mut connection);
            set.unwrap();
        }
    }

    /// Gives every key the value of another one, or one that no program wrote.
    pub fn mix_up(&self) {
        const GARBAGE: [&[u8]; 3] = [b"", b"what is this", &[0xff; 300]];
        let entries = self.entries();
        let others = entries.iter().cycle().skip(1);
        let mixed = entries.iter().zip(others).enumerate();
        let mixed = mixed.map(|(at, ((key, _), (_, other)))| match at % 4 {
            3 => (key.clone(), GARBAGE[at % GARBAGE.len()].to_vec()),
            _ => (key.clone(), other.clone()),
        });
        self.write(&mixed.collect::<Vec<_>>());
    }

    fn connection(&self) -> ::redis::Connection {
        let client = ::redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// Every key, and every field and value of every hash and string.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        let script = "local found = {} for _, key in ipairs(redis.call('KEYS', '*')) do found[#found + 1] = key \
                      if redis.call('TYPE', key).ok == 'hash' then \
                      for _, part in ipairs(redis.call('HGETALL', key)) do found[#found + 1] = part end \
                      else found[#found + 1] = redis.call('GET', key) end end return found";
        let mut connection = self.connection();
        let found = ::redis::cmd("EVAL").arg(script).arg(0).query(&mut connection);
        found.unwrap()
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
        send_signal(self.child.id(), signal);
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

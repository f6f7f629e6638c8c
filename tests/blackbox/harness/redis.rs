//! A real `redis-server` on a free loopback port.

use super::free_address;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct RedisServer {
    child: Child,
    port: String,
}

impl RedisServer {
    pub fn start() -> Self {
        let port = free_address().rsplit_once(':').unwrap().1.to_owned();
        Self {
            child: spawn(&port),
            port,
        }
        .wait()
    }

    fn wait(self) -> Self {
        let started = Instant::now();
        while self.command(&["PING"]).trim() != "PONG" {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "redis-server does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
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
        self.child = spawn(&self.port);
        let started = Instant::now();
        while self.command(&["PING"]).trim() != "PONG" {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "redis-server does not answer"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(port: &str) -> Child {
    Command::new("redis-server")
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
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed by tests/run.sh")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

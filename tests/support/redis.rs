//! A real `redis-server` on a free loopback port, without persistence, gone when dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Another process may take the port between finding and using it.
const PORTS_TRIED: usize = 5;

pub struct RedisServer {
    child: Child,
    port: u16,
    /// Where the server would write, did it persist.
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..PORTS_TRIED {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            if let Some(child) = spawn(port, &directory) {
                return Self {
                    child,
                    port,
                    directory,
                };
            }
        }
        panic!("redis-server came up on none of {PORTS_TRIED} free ports");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A connection beside the index, for what only an operator or an accident does.
    pub fn connection(&self) -> redis::Connection {
        connect(self.port).unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty, on the same port.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.directory).expect("redis-server comes up on its former port");
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

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(port: u16) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0"))?;
    client.get_connection_with_timeout(Duration::from_secs(1))
}

/// `None` when the server ended before it answered.
fn spawn(port: u16, directory: &TempDir) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .expect(
            "redis-server must be installed: these tests run on a real one (apt-get install redis-server)",
        );
    let started = Instant::now();
    while !answers(port, child.id()) {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(started.elapsed() < START_TIMEOUT, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(child)
}

/// The process that answers on the port is the one that was started.
fn answers(port: u16, process: u32) -> bool {
    let info = connect(port)
        .and_then(|mut connection| redis::cmd("INFO").arg("server").query::<String>(&mut connection));
    info.is_ok_and(|info| info.lines().any(|line| line == format!("process_id:{process}")))
}

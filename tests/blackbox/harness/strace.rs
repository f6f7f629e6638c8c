//! System calls of the service that fail or take long, by `strace`.

use super::Service;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What SQLite calls to read, to write, and to bring what was written to the disk.
pub const READ: &str = "read,pread64";
pub const WRITE: &str = "write,pwrite64";
pub const SYNC: &str = "fsync,fdatasync";

/// As long as it is there, calls on some files, by default those of the store, are tampered with.
pub struct Tampered {
    strace: Child,
    pid: u32,
}

impl Tampered {
    /// `how` as strace has it: `error=EIO`, `error=ENOSPC:when=3+`, `delay_enter=2000000`. Counted for each thread.
    pub fn begin(service: &Service, calls: &str, how: &str) -> Self {
        Self::begin_on(service, &service.store_files(), calls, how)
    }

    /// The same on other files.
    pub fn begin_on(service: &Service, files: &[PathBuf], calls: &str, how: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-o", "/dev/null", "-p", &service.pid().to_string()]);
        command.args(["-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:{how}")]);
        for file in files {
            command.arg("-P").arg(file);
        }
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let tampered = Self {
            strace: strace.expect("strace is installed by tests/run.sh"),
            pid: service.pid(),
        };
        tampered.wait_until(true);
        tampered
    }

    /// All is as it was.
    pub fn end(mut self) {
        self.detach();
        self.wait_until(false);
    }

    /// Until each thread of the service is traced, or none is.
    fn wait_until(&self, traced: bool) {
        let started = Instant::now();
        while threads(self.pid).any(|is_traced| is_traced != traced) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "strace cannot attach: it needs the right to trace"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn detach(&mut self) {
        let pid = self.strace.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.strace.wait();
    }
}

impl Drop for Tampered {
    fn drop(&mut self) {
        if matches!(self.strace.try_wait(), Ok(None)) {
            self.detach();
        }
    }
}

/// Whether each thread of a process is traced.
fn threads(pid: u32) -> impl Iterator<Item = bool> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    tasks.filter_map(|task| {
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
        Some(tracer.trim() != "0")
    })
}

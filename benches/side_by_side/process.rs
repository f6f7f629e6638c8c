//! Started processes and what they use.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a process to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Of `/proc/PID/stat`, on Linux whatever the machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that ends with its handle.
pub struct Process(Child);

impl Process {
    /// Starts a command; what it says goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let started = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self(started.unwrap_or_else(|cause| panic!("{command:?}: {cause}")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Seconds of processor time so far, of all its threads.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.0.id().to_string())
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A service flushes and ends by itself; what does not is killed.
        let id = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let since = Instant::now();
        while asked.is_ok() && since.elapsed() < Duration::from_secs(10) {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds of processor time of a process, all its threads, by its name in `/proc`.
pub fn cpu_seconds_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// What keeps a command on one processor.
pub fn on_processor(processor: usize) -> Vec<String> {
    vec!["taskset".to_owned(), "-c".to_owned(), processor.to_string()]
}

/// A command on one processor, or on any.
pub fn command(program: impl AsRef<Path>, processor: Option<usize>) -> Command {
    command_under(&processor.map(on_processor).unwrap_or_default(), program)
}

/// A command that another one runs.
pub fn command_under(under: &[String], program: impl AsRef<Path>) -> Command {
    match under {
        [] => Command::new(program.as_ref()),
        [first, rest @ ..] => {
            let mut run = Command::new(first);
            run.args(rest).arg(program.as_ref());
            run
        }
    }
}

/// This very program.
pub fn this_program() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// A free loopback address.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

pub fn port_of(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

/// Waits until somebody listens there.
pub fn wait_for(address: &str, process: &mut Process) {
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(process.is_running(), "{address}: the process ended");
        assert!(since.elapsed() < START_TIMEOUT, "{address}: nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}

//! What processes with keys hold in memory is for nobody else.

use crate::harness::{Caching, PROGRAM, Service};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const NOBODY: u32 = 65_534;

/// `Max core file size`, soft and hard.
fn core_limits(process: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    line.unwrap()["Max core file size".len()..]
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn the_service_writes_no_core_file() {
    let service = Service::start(Caching::Without).await;
    assert_eq!(core_limits(service.pid()), "0 0");
}

/// Files in /proc of a process whose memory may be dumped belong to its user, and of another one to root.
#[test]
fn a_command_with_keys_lets_nobody_look_into_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("kundeforhold");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["issuer", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if rustix::process::getuid().is_root() {
        open_to_all(directory.path());
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut issuer = Killed(command.spawn().unwrap());
    let mut told = String::new();
    BufReader::new(issuer.0.stdout.take().unwrap())
        .read_line(&mut told)
        .unwrap();
    assert!(!told.is_empty(), "the issuer did not start");
    let process = issuer.0.id();
    assert_eq!(core_limits(process), "0 0");
    let owner = std::fs::metadata(format!("/proc/{process}/environ"))
        .unwrap()
        .uid();
    assert_eq!(owner, 0);
}

fn open_to_all(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! The disk of the record fills up, goes away, becomes read-only or blocks, while agencies keep asking.

use super::load::{Ledger, verify};
use crate::harness::ask::Ask;
use crate::harness::issuer::AGENCY;
use crate::harness::store::Away;
use crate::harness::strace::{SYNC, Tampered, WRITE};
use crate::harness::{Caching, Service};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_millis(500);
/// An answer takes at most the timeout and this, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// The service is back this soon after the end of a fault.
const RECOVERY: Duration = Duration::from_secs(10);
const FAULT_LASTS: Duration = Duration::from_secs(3);
const SETTLING: Duration = Duration::from_secs(30);

fn configuration(file: Option<&Path>) -> String {
    let url = file.map_or(String::new(), |path| {
        format!("url = \"sqlite:{}\"\n", path.display())
    });
    format!("[record]\ntimeout_milliseconds = {}\n{url}", TIMEOUT.as_millis())
}

/// Lookups before, during and after a fault: none is answered unrecorded or late, readiness is off while the
/// fault lasts, and the service comes back by itself, without being asked anything.
async fn survives(service: &Service, begin: impl FnOnce(), end: impl FnOnce()) {
    let ledger = Ledger::default();
    let fault = async {
        ledger.wait_for_another(200, Duration::from_secs(10)).await;
        begin();
        ledger.wait_for_another(503, SETTLING).await;
        wait_until_nothing_is_answered(service, &ledger).await;
        let answered = ledger.count(200);
        tokio::time::sleep(FAULT_LASTS).await;
        assert!(!service.is_ready().await, "ready during the fault");
        assert_eq!(ledger.count(200), answered, "answered during the fault");
        ledger.stop();
    };
    tokio::join!(fault, ledger.keep_asking(service));
    end();
    let ended = Instant::now();
    while !service.is_ready().await {
        assert!(ended.elapsed() < RECOVERY, "not ready after the fault");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "back {:.1} s after the end of the fault",
        ended.elapsed().as_secs_f64()
    );
    let answered = ledger.count(200);
    ledger.ask_once(service).await;
    assert_eq!(ledger.count(200), answered + 1);
    let slowest = ledger
        .answers
        .borrow()
        .iter()
        .map(|answer| answer.elapsed)
        .max()
        .unwrap();
    assert!(slowest < TIMEOUT + SLACK, "an answer took {slowest:?}");
    assert!(
        ledger
            .answers
            .borrow()
            .iter()
            .all(|answer| [200, 503].contains(&answer.status))
    );
    ledger.assert_recorded(service);
    verify(service, &[]);
}

/// A disk that fills up may have room for a few more small entries.
async fn wait_until_nothing_is_answered(service: &Service, ledger: &Ledger) {
    let started = Instant::now();
    loop {
        let answered = ledger.count(200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        if ledger.count(200) == answered && !service.is_ready().await {
            return;
        }
        assert!(started.elapsed() < SETTLING, "still answered during the fault");
    }
}

/// Runs everywhere: no file may grow, which is how a quota and a limit on file sizes show themselves.
#[tokio::test]
async fn files_that_may_not_grow_are_survived() {
    let service = Service::start_on_file(Caching::Without, &configuration(None)).await;
    let pid = service.pid().to_string();
    let limit = |bytes: &str| {
        let limit = format!("--fsize={bytes}:unlimited");
        assert!(
            Command::new("prlimit")
                .args(["--pid", &pid, &limit])
                .status()
                .unwrap()
                .success()
        );
    };
    survives(&service, || limit("1"), || limit("unlimited")).await;
}

#[tokio::test]
async fn a_record_that_is_moved_away_and_back_is_survived() {
    let service = Service::start_on_file(Caching::Without, &configuration(None)).await;
    let away = RefCell::new(None);
    let take = || drop(away.replace(Some(Away::take(service.record_files()))));
    survives(&service, take, || away.take().unwrap().bring_back()).await;
}

#[tokio::test]
async fn a_refusal_that_cannot_be_recorded_is_told_of_in_the_log() {
    let service = Service::start_on_file(Caching::Without, &configuration(None)).await;
    let _away = Away::take(service.record_files());
    let told = || service.log().matches("cannot be recorded").count();
    let other_scope = service.issuer.token(AGENCY, "bits:other");
    let before = told();
    assert_eq!(
        Ask::relationships(&service)
            .token(&other_scope)
            .send()
            .await
            .status,
        503
    );
    assert_eq!(told(), before + 1);
    let deliveries = service.url("/v2/financialInstitutions/210011013/deliveries");
    let refused = service.http.get(deliveries).bearer_auth(&other_scope);
    assert_eq!(refused.send().await.unwrap().status(), 503);
    assert_eq!(told(), before + 2);
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "none"]);
    let service = Service::start_on_file(Caching::Without, &configuration(Some(&mount.file()))).await;
    let filler = mount.0.path().join("filler");
    let fill = || {
        assert!(
            std::fs::write(&filler, vec![1; 16 << 20]).is_err(),
            "it is not full"
        )
    };
    survives(&service, fill, || std::fs::remove_file(&filler).unwrap()).await;
}

/// What an open file of a file system says that has become read-only, and a disk that fails.
#[tokio::test]
async fn a_disk_that_becomes_read_only_or_fails_is_survived() {
    for (calls, how) in [(WRITE, "error=EROFS"), (WRITE, "error=EIO"), (SYNC, "error=EIO")] {
        let service = Service::start_on_file(Caching::Without, &configuration(None)).await;
        let tampered = RefCell::new(None);
        let begin = || {
            let files = service.record_files();
            tampered.replace(Some(Tampered::begin_on(&service, &files, calls, how)));
        };
        survives(&service, begin, || tampered.take().unwrap().end()).await;
    }
}

#[tokio::test]
async fn a_disk_that_blocks_is_survived() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(32 << 20).unwrap();
    run("mkfs.ext4", &["-q", image.path().to_str().unwrap()]);
    let mount = Mount::new(&["-o", "loop", image.path().to_str().unwrap()]);
    let service = Service::start_on_file(Caching::Without, &configuration(Some(&mount.file()))).await;
    let path = mount.0.path().to_str().unwrap();
    survives(
        &service,
        || run("fsfreeze", &["-f", path]),
        || run("fsfreeze", &["-u", path]),
    )
    .await;
}

/// A file system of its own. These tests need the right to mount; they fail without it.
pub struct Mount(TempDir);

impl Mount {
    pub fn new(arguments: &[&str]) -> Self {
        let point = tempfile::tempdir().unwrap();
        run("mount", &[arguments, &[point.path().to_str().unwrap()]].concat());
        Self(point)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("record.sqlite")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whichever of these a failed test left to do.
        let _ = Command::new("fsfreeze").arg("-u").arg(self.0.path()).output();
        for _ in 0..2 {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?} (to be run as root, in a container with CAP_SYS_ADMIN): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

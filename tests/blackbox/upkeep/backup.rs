//! The journal in one file and back, with the commands, while the service serves.

use super::{BANK, whole_set};
use crate::commands::{done, program, refused, run};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service};
use crate::secrecy::canaries::Canaries;
use reqwest::Method;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn backup(service: &Service, to: &Path) -> Output {
    let configuration = service.configuration();
    let arguments = [
        "backup",
        "--json",
        "--config",
        text(&configuration),
        "--to",
        text(to),
    ];
    run(&arguments)
}

fn restore(service: &Service, from: &Path) -> Output {
    let configuration = service.configuration();
    let arguments = [
        "restore",
        "--json",
        "--config",
        text(&configuration),
        "--from",
        text(from),
    ];
    run(&arguments)
}

/// The place of the journals.
fn journals(service: &Service) -> PathBuf {
    service.directory.path().join("journal")
}

/// Whole sets and KFR calls, one after the other, until told to end; tells what was acknowledged.
async fn deliver_on(service: &Service, acknowledged: &RefCell<Vec<String>>, end: &Cell<bool>) {
    for (round, customer) in people().skip(5_000).enumerate() {
        if end.get() {
            return;
        }
        let added = service.kfr(Method::POST, BANK, &customer).send().await.unwrap();
        assert_eq!(added.status(), 201, "{}", service.log());
        acknowledged.borrow_mut().push(customer);
        if round.is_multiple_of(3) {
            let from = format!("2019-01-{:02}", 1 + round % 28);
            assert_eq!(service.put_set(BANK, "KAR", whole_set(&from)).await.status(), 200);
        }
    }
}

async fn assert_answers(service: &Service, acknowledged: &[String]) {
    service.wait_until_ready().await;
    for customer in acknowledged {
        assert!(
            service
                .is_listed_on(customer, crate::harness::world::today())
                .await,
            "{customer}"
        );
    }
    let last = people().take(3_000).last().unwrap();
    assert!(service.is_listed_on(&last, "2020-06-01").await);
}

#[tokio::test]
async fn a_backup_made_while_banks_deliver_answers_what_was_acknowledged_before_it() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        assert_eq!(
            service
                .put_set(BANK, "KAR", whole_set("2019-01-01"))
                .await
                .status(),
            200
        );
        let (acknowledged, end) = (RefCell::new(Vec::new()), Cell::new(false));
        let file = service.directory.path().join("journal.kfb");
        let back_up = async {
            while acknowledged.borrow().len() < 8 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let before = acknowledged.borrow().clone();
            let configuration = service.configuration();
            let to = file.clone();
            let made = tokio::task::spawn_blocking(move || {
                let arguments = [
                    "backup",
                    "--json",
                    "--config",
                    text(&configuration),
                    "--to",
                    text(&to),
                ];
                run(&arguments)
            });
            let told: Value = serde_json::from_str(&done(made.await.unwrap())).unwrap();
            assert!(
                told["entries"].as_u64().unwrap() > 10 && told["bodies"].as_u64().unwrap() > 1,
                "{told}"
            );
            end.set(true);
            before
        };
        let (before, ()) = tokio::join!(back_up, deliver_on(&service, &acknowledged, &end));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        // Elsewhere, where nothing of it was before.
        let mut other = Service::start(engine).await;
        other.terminate();
        fs::copy(
            service.directory.path().join("pseudonym.key"),
            other.directory.path().join("pseudonym.key"),
        )
        .unwrap();
        fs::remove_dir_all(other.directory.path().join("audit")).unwrap();
        fs::remove_dir_all(journals(&other)).unwrap();
        let _ = fs::remove_file(other.directory.path().join("index.redb"));
        if let Some(redis) = &other.redis {
            redis.command(&["FLUSHALL"]);
        }
        done(restore(&other, &file));
        other.start_again();
        assert_answers(&other, &before).await;

        // In its own place, before an index that has seen what came after.
        service.terminate();
        fs::remove_dir_all(journals(&service)).unwrap();
        done(restore(&service, &file));
        service.start_again();
        assert_answers(&service, &before).await;
        assert_eq!(
            service
                .put_set(BANK, "KAR", whole_set("2019-03-01"))
                .await
                .status(),
            200
        );
        service.terminate();
        let configuration = service.configuration();
        done(run(&["index", "verify", "--config", text(&configuration)]));
    }
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_with_a_sentence_and_leaves_nothing() {
    let mut service = Service::start(Engine::Embedded).await;
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2019-01-01"))
            .await
            .status(),
        200
    );
    let file = service.directory.path().join("journal.kfb");
    done(backup(&service, &file));
    let said = refused(restore(&service, &file));
    assert!(said.contains("is not empty"), "{said}");
    service.terminate();
    fs::remove_dir_all(journals(&service)).unwrap();
    let intact = fs::read(&file).unwrap();
    let refused_as = |bytes: &[u8], sentence: &str| {
        fs::write(&file, bytes).unwrap();
        let said = refused(restore(&service, &file));
        assert!(said.contains(sentence), "{said}");
        let names = fs::read_dir(journals(&service)).unwrap();
        let names: Vec<_> = names.map(|item| item.unwrap().file_name()).collect();
        assert!(names.is_empty(), "{names:?}");
    };
    refused_as(&intact[..intact.len() - 100], "it was cut");
    refused_as(b"something else", "not a backup");
    let mut flipped = intact.clone();
    flipped[intact.len() / 2] ^= 4;
    refused_as(&flipped, "");
    let (key, other) = (
        service.directory.path().join("pseudonym.key"),
        service.directory.path().join("other.key"),
    );
    done(run(&["key", "new", text(&other)]));
    let right = fs::read(&key).unwrap();
    fs::write(&key, fs::read(&other).unwrap()).unwrap();
    refused_as(&intact, "another pseudonym key");
    fs::write(&key, right).unwrap();
    fs::write(&file, &intact).unwrap();
    done(restore(&service, &file));
    let said = refused(restore(&service, &service.directory.path().join("none.kfb")));
    assert!(
        said.contains("none.kfb") || said.contains("is not empty"),
        "{said}"
    );
}

#[tokio::test]
async fn a_backup_goes_through_a_pipe_and_a_file_that_is_there_is_replaced() {
    let mut service = Service::start(Engine::Embedded).await;
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2019-01-01"))
            .await
            .status(),
        200
    );
    let file = service.directory.path().join("journal.kfb");
    fs::write(&file, "a former one").unwrap();
    done(backup(&service, &file));
    assert!(fs::read(&file).unwrap().starts_with(b"KFBACKUP\x01"));
    let configuration = service.configuration();
    let mut sending = program(&["backup", "--config", text(&configuration), "--to", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let piped = tempfile::tempdir().unwrap();
    let place = piped.path().join("journal");
    let mut receiving = program(&["restore", "--config", text(&configuration), "--from", "-"]);
    receiving.env("KUNDEFORHOLD__JOURNAL__DIRECTORY", &place);
    receiving.stdin(sending.stdout.take().unwrap());
    let said = done(receiving.output().unwrap());
    assert!(said.contains("restored and proved"), "{said}");
    assert!(sending.wait().unwrap().success());
    assert!(place.join("current").exists());
    let nowhere = refused(backup(
        &service,
        &service.directory.path().join("no/such/folder/file"),
    ));
    assert!(nowhere.contains("no/such/folder/file"), "{nowhere}");
    service.terminate();
}

#[tokio::test]
async fn no_identifier_is_in_a_backup_in_clear() {
    let service = Service::start(Engine::Embedded).await;
    let canaries = Canaries::new(&service.issuer, BANK);
    // Once in a body of its own, and once within an entry.
    let set = canaries.records() + &whole_set("2019-01-01");
    assert_eq!(service.put_set(BANK, "KAR", set).await.status(), 200);
    for customer in canaries.customers() {
        let added = service.kfr(Method::POST, BANK, customer).send().await.unwrap();
        assert_eq!(added.status(), 201);
    }
    let file = service.directory.path().join("journal.kfb");
    done(backup(&service, &file));
    let bytes = fs::read(&file).unwrap();
    canaries.assert_absent(&bytes, "the backup");
    let inside = zstd::decode_all(&bytes[9..]).unwrap();
    assert!(inside.len() > 80_000, "{}", inside.len());
    canaries.assert_absent(&inside, "what the backup unpacks to");
}

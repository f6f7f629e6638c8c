//! A backup beside the running service, and what agencies and banks get after it was restored.

use super::{BANK, call, is_listed, line, whole_set};
use crate::deliveries::{change, conflict, published, put};
use crate::harness::ask::Ask;
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::metrics::value_of;
use crate::harness::{Caching, EITHER_WAY, Service, make_key};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Longest that anybody waits beside a backup.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

fn archive(service: &Service) -> PathBuf {
    service.directory.path().join("backup.tar")
}

/// What a command says why it does nothing.
fn refusal(refused: &Output) -> String {
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    String::from_utf8_lossy(&refused.stderr).into_owned()
}

fn of_json(done: &Output) -> Value {
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Runs a command beside what the test does.
async fn beside(service: &Service, arguments: &[&str]) -> tokio::task::JoinHandle<Output> {
    let mut command = std::process::Command::new(crate::harness::PROGRAM);
    command
        .args(arguments)
        .arg("--config")
        .arg(service.configuration());
    spawn_blocking(move || command.output().unwrap())
}

async fn last_delivery(service: &Service) -> Value {
    let told = Ask::participants(service).send().await.body();
    let banks = told["participants"].as_array().unwrap();
    let bank = banks.iter().find(|told| told["organizationID"] == BANK).unwrap();
    bank["lastDelivery"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_beside_lookups_and_calls_and_is_told() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service.deliver_world().await;
        assert_eq!(
            service
                .put_set(BANK, "KAR", whole_set("2019-01-01"))
                .await
                .status(),
            200
        );
        assert_eq!(service.metric("kundeforhold_backup_timestamp_seconds").await, 0.0);
        let file = archive(&service);
        // So slow that much happens meanwhile.
        let slow = service.directory.path().join("slow.toml");
        let text = std::fs::read_to_string(service.configuration()).unwrap();
        let slowly = text.replace("[store]", "[store]\ncopy_megabytes_per_second = 1");
        std::fs::write(&slow, slowly).unwrap();
        let mut command = std::process::Command::new(crate::harness::PROGRAM);
        command
            .arg("backup")
            .arg(&file)
            .args(["--json", "--config"])
            .arg(&slow);
        let making = spawn_blocking(move || command.output().unwrap());
        let mut calls = 0;
        for customer in people().skip(5_000) {
            let asked = Instant::now();
            assert_eq!(call(&service, Method::POST, &customer).await, 201);
            assert!(is_listed(&service, &customer).await);
            assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
            calls += 1;
            if making.is_finished() {
                break;
            }
        }
        assert!(calls > 1, "none was answered meanwhile");
        let told = of_json(&making.await.unwrap());
        let parts = told["manifest"]["parts"].as_array().unwrap().iter();
        let names: Vec<_> = parts.map(|part| part["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["register.sqlite", "record.sqlite"]);
        assert_eq!(told["bytes"], std::fs::metadata(&file).unwrap().len());
        service
            .wait_until_metrics(|metrics| value_of(metrics, "kundeforhold_backup_timestamp_seconds") > 1.7e9)
            .await;
        let bytes = service.metric("kundeforhold_backup_bytes").await;
        assert_eq!(told["bytes"], bytes as u64);
        service.assert_store_is_sound();
        // What it holds is one moment of all that.
        let proved = of_json(&service.command(&["restore", file.to_str().unwrap(), "--check", "--json"]));
        assert_eq!(proved["manifest"], told["manifest"], "{caching:?}");
        assert!(refusal(&service.command(&["backup", file.to_str().unwrap()])).contains("stands already"));
        let restoring = ["restore", file.to_str().unwrap(), "--replace"];
        assert!(refusal(&service.command(&restoring)).contains("in use by another process"));
    }
}

#[tokio::test]
async fn banks_find_themselves_where_they_were_when_the_backup_was_made() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().take(3).collect();
        let numbered = |service: &Service, number: &str| {
            let call = service.v2(Method::POST, BANK, "relationships/changes?register=KAR");
            crate::deliveries::send(call.body("").header("Delivery-Sequence", number))
        };
        published(put(&service, BANK, "?register=KAR", line(&who[0], "2019-01-01", "")).await);
        published(numbered(&service, "1").await);
        let (file, before) = (archive(&service), last_delivery(&service).await);
        let made = service.command(&["backup", file.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        // What is lost.
        let lost = json!({"put": {"customerID": who[1], "role": "owner", "fromDate": "2019-01-01"}});
        let gone = published(change(&service, BANK, "?register=KAR", &[lost]).await);
        published(numbered(&service, "2").await);
        assert!(is_listed(&service, &who[1]).await);
        assert!(service.terminate().success());
        let restored = service.command(&["restore", file.to_str().unwrap(), "--replace", "--json"]);
        let told = of_json(&restored);
        assert!(!told["setAside"].as_array().unwrap().is_empty(), "{told}");
        service.start_again();
        service.wait_until_ready().await;
        assert!(is_listed(&service, &who[0]).await && !is_listed(&service, &who[1]).await);
        assert!(service.command(&["audit", "verify"]).status.success());
        assert_eq!(last_delivery(&service).await, before, "{caching:?}");
        let lost = service.v2(Method::GET, BANK, &format!("deliveries/{gone}"));
        assert_eq!(lost.send().await.unwrap().status(), 404);
        let (parameter, reason) = conflict(numbered(&service, "3").await);
        assert_eq!(
            (parameter.as_str(), reason),
            ("Delivery-Sequence", "Delivery-Sequence 2 is expected.".to_owned())
        );
        published(numbered(&service, "2").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_amid_a_whole_set_has_the_former_one_and_the_delivery_is_abandoned_in_it() {
    let mut service = Service::start(Caching::Without).await;
    let (old, new) = (whole_set("2019-01-01"), whole_set("2021-01-01"));
    assert_eq!(service.put_set(BANK, "KAR", old).await.status(), 200);
    let (pieces, body) = streamed();
    let put = service.put(BANK, "?register=KAR").body(body).send();
    let file = archive(&service);
    let backing_up = async {
        let (first, rest) = new.split_at(new.len() / 2);
        pieces.send(Ok(first.to_owned())).await.unwrap();
        let receiving = || {
            let all = "SELECT count(*) FROM deliveries WHERE state = 0";
            service
                .open_store()
                .query_row(all, [], |row| row.get::<_, u64>(0))
        };
        service.wait_until(|| receiving() == Ok(1)).await;
        let made = beside(&service, &["backup", file.to_str().unwrap()]).await;
        assert!(made.await.unwrap().status.success());
        pieces.send(Ok(rest.to_owned())).await.unwrap();
        drop(pieces);
    };
    let (put, ()) = tokio::join!(put, backing_up);
    assert_eq!(put.unwrap().status(), 200, "{}", service.log());
    let customer = people().next().unwrap();
    assert!(!service.is_listed_on(&customer, "2019-06-01").await);
    assert!(service.terminate().success());
    service.restore(&file);
    service.start_again();
    service.wait_until_ready().await;
    assert!(service.is_listed_on(&customer, "2019-06-01").await);
    crate::deliveries::newest(&service, BANK, "abandoned").await;
    service.wait_until_swept().await;
    let verified = service.command(&["store", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn what_was_killed_is_backed_up_and_another_key_restores_nothing() {
    let mut service = Service::start(Caching::Without).await;
    let who: Vec<String> = people().take(2).collect();
    assert_eq!(call(&service, Method::POST, &who[0]).await, 201);
    service.kill();
    let file = archive(&service);
    service.back_up(&file);
    let key = service.directory.path().join("pseudonym.key");
    let kept = service.directory.path().join("kept.key");
    std::fs::rename(&key, &kept).unwrap();
    make_key(&key);
    let standing = std::fs::read(service.store()).unwrap();
    let restoring = ["restore", file.to_str().unwrap(), "--replace"];
    assert!(refusal(&service.command(&restoring)).contains("another pseudonym key"));
    assert_eq!(std::fs::read(service.store()).unwrap(), standing);
    std::fs::rename(&kept, &key).unwrap();
    let elsewhere = service.store().with_extension("gone");
    std::fs::rename(service.store(), elsewhere).unwrap();
    // Where nothing stands, nothing has to be said of it.
    assert!(
        refusal(&service.command(&["restore", file.to_str().unwrap()]))
            .contains("record.sqlite stands already")
    );
    let restored = service.command(&["restore", file.to_str().unwrap(), "--only", "register"]);
    assert!(restored.status.success(), "{restored:?}");
    service.start_again();
    service.wait_until_ready().await;
    assert!(is_listed(&service, &who[0]).await && !is_listed(&service, &who[1]).await);
}

#[tokio::test]
async fn a_record_of_use_that_was_changed_makes_no_backup() {
    let mut service = Service::start(Caching::Without).await;
    let who = people().next().unwrap();
    assert_eq!(call(&service, Method::POST, &who).await, 201);
    assert!(is_listed(&service, &who).await);
    assert!(service.terminate().success());
    let record = rusqlite::Connection::open(service.record()).unwrap();
    let changed = "UPDATE entries SET entry = entry || x'00' WHERE place = (SELECT min(place) FROM entries)";
    assert_eq!(record.execute(changed, []), Ok(1));
    drop(record);
    let file = archive(&service);
    let said = refusal(&service.command(&["backup", file.to_str().unwrap()]));
    assert!(
        said.contains("record.sqlite") && said.contains("entry 1"),
        "{said}"
    );
    assert!(!file.exists());
}

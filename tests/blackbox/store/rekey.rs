//! The register is brought under another pseudonym key beside the service, which answers and takes deliveries meanwhile.

use super::{BANK, call, is_listed, line, whole_set};
use crate::harness::identifiers::people;
use crate::harness::keys::section;
use crate::harness::{Caching, EITHER_WAY, Service, make_key};
use kundeforhold::domain::identifiers::{CustomerId, IdentifierRules};
use kundeforhold::pseudonym::{MasterKey, Pseudonyms};
use reqwest::Method;
use std::path::Path;
use std::time::Duration;

async fn deliver(service: &Service, set: String) {
    let put = service.put(BANK, "?register=KAR&confirmShrink=true").body(set);
    assert_eq!(put.send().await.unwrap().status(), 200, "{}", service.log());
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lookups_calls_and_whole_sets_go_on_while_the_key_changes() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        deliver(&service, whole_set("2015-01-01")).await;
        let who: Vec<String> = people().take(3_010).collect();
        for number in 0..20 {
            assert!(is_listed(&service, &who[number * 100]).await);
        }
        service.name_next_key();
        service.restart().await;
        let rekey = service.begin_rekey();
        // One is registered, one ends, one is in no set; all the others stay.
        let mut number = 0;
        while !rekey.is_finished() || number < 20 {
            let customer = &who[number * 7 % 3_000];
            assert!(is_listed(&service, customer).await, "{number}");
            assert!(!is_listed(&service, &who[3_009]).await);
            let added = call(&service, Method::POST, &who[3_000 + number % 5]).await;
            assert!(matches!(added, 200 | 201), "{added}: {}", service.log());
            if number == 10 {
                deliver(&service, whole_set("2016-01-01")).await;
            }
            number += 1;
        }
        let done = rekey.await.unwrap();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(
            String::from_utf8_lossy(&done.stdout).trim(),
            r#"{"state":"done"}"#
        );
        let all_stand = async |service: &Service, moment: &str| {
            for customer in who[..3_000].iter().step_by(97).chain(&who[3_000..3_005]) {
                assert!(is_listed(service, customer).await, "{moment}");
            }
            assert!(!is_listed(service, &who[3_009]).await, "{moment}");
        };
        all_stand(&service, "with both keys").await;
        service.name_next_key_only();
        service.restart().await;
        all_stand(&service, "with the next key only").await;
        assert_eq!(call(&service, Method::DELETE, &who[3_001]).await, 204);
        service.assert_store_is_sound();
    }
}

/// Whether the file of the store, or one beside it, holds what a key makes of a customer.
fn names(service: &Service, key: &Path, customer: &str) -> bool {
    let pseudonyms = Pseudonyms::new(&MasterKey::read(key).unwrap());
    let customer = CustomerId::parse(customer, &IdentifierRules::SYNTHETIC).unwrap();
    let sealed = pseudonyms.customer(&customer);
    let holds = |file| {
        std::fs::read(file).is_ok_and(|file| memchr::memmem::find(&file, sealed.tag_bytes()).is_some())
    };
    service.store_files().into_iter().any(holds)
}

/// With the former key, which somebody has, and the 30 million numbers there can be, the file names nobody any longer.
#[tokio::test]
async fn a_file_that_is_stolen_after_a_rekey_names_nobody_to_the_former_key() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    let former = service.directory.path().join("pseudonym.key");
    deliver(&service, whole_set("2015-01-01")).await;
    let who: Vec<String> = people().take(40).collect();
    assert_eq!(call(&service, Method::POST, &who[0]).await, 201);
    assert!(who.iter().all(|customer| names(&service, &former, customer)));
    service.name_next_key();
    service.restart().await;
    let done = service.rekey().await;
    assert!(done.status.success(), "{done:?}");
    assert!(!who.iter().any(|customer| names(&service, &former, customer)));
    assert!(service.terminate().success());
    assert!(!who.iter().any(|customer| names(&service, &former, customer)));
}

#[tokio::test]
async fn a_rekey_that_is_killed_goes_on_with_the_service() {
    let mut service = Service::start(Caching::Without).await;
    deliver(&service, whole_set("2015-01-01")).await;
    let customer = people().next().unwrap();
    service.name_next_key();
    service.restart().await;
    let rekey = service.begin_rekey();
    tokio::time::sleep(Duration::from_millis(300)).await;
    service.kill_and_restart().await;
    assert!(is_listed(&service, &customer).await);
    assert!(rekey.await.unwrap().status.success());
    assert!(is_listed(&service, &customer).await);
}

/// Whether instances run on a database is not known, so there one has to have the next key.
#[tokio::test]
async fn without_a_service_on_its_file_the_command_does_it_itself() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    deliver(&service, whole_set("2015-01-01")).await;
    let customer = people().next().unwrap();
    service.name_next_key();
    service.terminate();
    let done = service.rekey().await;
    assert!(done.status.success(), "{done:?}");
    service.name_next_key_only();
    service.start_again();
    service.wait_until_ready().await;
    assert!(is_listed(&service, &customer).await);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let mut service = Service::start(Caching::Without).await;
    deliver(&service, line(&people().next().unwrap(), "2015-01-01", "")).await;
    let unset = service.rekey().await;
    assert!(
        said(&unset).contains("pseudonym.next_key_file is not set"),
        "{unset:?}"
    );
    service.name_next_key();
    let unknown = service.rekey().await;
    assert!(
        said(&unknown).contains("start it again with pseudonym.next_key_file"),
        "{unknown:?}"
    );
    service.restart().await;
    let done = service.rekey().await;
    assert!(done.status.success(), "{done:?}");

    // The former key alone, and a foreign one.
    service.terminate();
    service.configure(|table| drop(section(table, "pseudonym").remove("next_key_file")));
    let check = crate::commands::run(&["check", "--config", service.configuration().to_str().unwrap()]);
    assert!(said(&check).contains("another pseudonym key"), "{check:?}");
    // The next key is the present one.
    let key = service
        .directory
        .path()
        .join("pseudonym.key")
        .display()
        .to_string();
    service.configure(|table| {
        drop(section(table, "pseudonym").insert("next_key_file".to_owned(), key.into()));
    });
    let same = service.rekey().await;
    assert!(said(&same).contains("is the same key"), "{same:?}");
    // The record of use would lose its own.
    let next = service.directory.path().join("other.key");
    make_key(&next);
    service.configure(|table| {
        section(table, "record").remove("key_files");
        section(table, "pseudonym").insert("next_key_file".to_owned(), next.display().to_string().into());
    });
    let lost = service.rekey().await;
    assert!(said(&lost).contains("needs record.key_files"), "{lost:?}");
}

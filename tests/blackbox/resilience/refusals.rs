//! What the service refuses to start or go on with, and how it says so.

use super::{GRANSKAUEN, is_listed, run};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service, make_key, world};
use reqwest::Method;

/// A service with one registration, and of whom it is.
async fn with_a_registration(caching: Caching) -> (Service, String) {
    let service = Service::start_on_file(caching, "").await;
    let customer = people().next().unwrap();
    let answer = service.kfr(Method::POST, GRANSKAUEN, &customer).send().await;
    assert_eq!(answer.unwrap().status(), 201);
    (service, customer)
}

/// The same, stopped.
async fn stopped_with_a_registration(caching: Caching) -> Service {
    let (mut service, _) = with_a_registration(caching).await;
    service.terminate();
    service
}

/// `serve` ends at once with exit code 1, and one sentence.
fn refusal(service: &Service) -> String {
    let output = run(service, &["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let sentences: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("kundeforhold: "))
        .collect();
    assert_eq!(sentences.len(), 1, "{said}");
    sentences[0].to_owned()
}

async fn starts_again(mut service: Service) {
    service.start_again();
    service.wait_until_ready().await;
    assert!(is_listed(&service, &people().next().unwrap()).await);
}

#[tokio::test]
async fn a_store_that_is_no_store_is_not_served_and_left_alone() {
    for caching in EITHER_WAY {
        let service = stopped_with_a_registration(caching).await;
        let sound = std::fs::read(service.store()).unwrap();
        for damaged in [
            [&[0xff; 100], &sound[100..]].concat(),
            b"what is this".repeat(1_000),
            sound[..sound.len() / 2].to_vec(),
        ] {
            std::fs::write(service.store(), &damaged).unwrap();
            let said = refusal(&service);
            assert!(said.contains("store"), "{said}");
            assert!(
                std::fs::read(service.store()).unwrap() == damaged,
                "{caching:?}: changed"
            );
        }
        std::fs::write(service.store(), sound).unwrap();
        starts_again(service).await;
    }
}

#[tokio::test]
async fn a_store_of_a_later_program_is_refused() {
    let service = stopped_with_a_registration(Caching::Without).await;
    let execute = |sql: &str| service.open_store().execute(sql, []).unwrap();
    execute("INSERT INTO schema_versions (number, oldest, at) VALUES (99, 99, 0)");
    let said = refusal(&service);
    assert!(said.contains("schema 99"), "{said}");
    execute("DELETE FROM schema_versions WHERE number = 99");
    starts_again(service).await;
}

#[tokio::test]
async fn another_pseudonym_key_is_refused() {
    for caching in EITHER_WAY {
        let service = stopped_with_a_registration(caching).await;
        let key = service.directory.path().join("pseudonym.key");
        let right = service.directory.path().join("right.key");
        std::fs::rename(&key, &right).unwrap();
        make_key(&key);
        let said = refusal(&service);
        assert!(said.contains("pseudonym key"), "{said}");
        std::fs::remove_file(&key).unwrap();
        let said = refusal(&service);
        assert!(
            said.contains("kundeforhold key new"),
            "says how to make one: {said}"
        );
        std::fs::rename(&right, &key).unwrap();
        starts_again(service).await;
    }
}

#[tokio::test]
async fn a_participants_file_that_drops_a_bank_with_records_is_refused_at_start() {
    for caching in EITHER_WAY {
        let service = stopped_with_a_registration(caching).await;
        let file = service.directory.path().join("participants.toml");
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, without(&whole, GRANSKAUEN)).unwrap();
        let said = refusal(&service);
        assert!(said.contains(GRANSKAUEN) && said.contains("records"), "{said}");
        std::fs::write(
            &file,
            without(&whole, "210011013").replace("210011013", "210077073"),
        )
        .unwrap();
        starts_again(service).await;
    }
}

#[tokio::test]
async fn a_participants_file_that_is_no_good_is_refused_at_reload_and_the_former_stays() {
    for caching in EITHER_WAY {
        let (service, customer) = with_a_registration(caching).await;
        let whole = world::participants();
        let refused = "what it said before stays in force";
        for bad in [
            without(&whole, GRANSKAUEN),
            "[[participant]]\nname = 1".to_owned(),
            "{".to_owned(),
            String::new(),
        ] {
            service.replace_participants(&bad, refused).await;
            assert!(is_listed(&service, &customer).await, "{caching:?}");
            assert_eq!(
                service
                    .kfr_own(GRANSKAUEN, &customer)
                    .send()
                    .await
                    .unwrap()
                    .status(),
                200
            );
        }
        assert!(
            service.log().contains(&format!("{GRANSKAUEN}/KFR has records")),
            "{caching:?}"
        );
        let renamed = whole.replace("Granskauen Bank", "Granskogen Bank");
        service
            .replace_participants(&renamed, "a file was read again")
            .await;
        assert_eq!(
            service.listed(&customer).await[0]["bankName"],
            "Granskogen Bank",
            "{caching:?}"
        );
    }
}

/// The file without one bank.
fn without(participants: &str, bank: &str) -> String {
    let kept: Vec<&str> = participants
        .split("[[participant]]")
        .filter(|entry| !entry.contains(&format!("organizationID = \"{bank}\"")))
        .collect();
    assert!(kept.len() < participants.split("[[participant]]").count());
    kept.join("[[participant]]")
}

//! What the service refuses to start or go on with, and how it says so.

use super::{GRANSKAUEN, is_listed, lose_the_index, run};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, PROGRAM, Service, world};
use reqwest::Method;
use std::path::PathBuf;
use std::process::Command;

/// A service with one registration, stopped.
async fn stopped_with_a_registration(engine: Engine) -> Service {
    let mut service = Service::start(engine).await;
    let customer = people().next().unwrap();
    assert_eq!(
        service
            .kfr(Method::POST, GRANSKAUEN, &customer)
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
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

fn journal_segment(service: &Service) -> PathBuf {
    let files = std::fs::read_dir(service.journal_in_force()).unwrap();
    let mut segments: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|p| p.is_file() && p.metadata().unwrap().len() > 0)
        .collect();
    segments.sort();
    segments.remove(0)
}

#[tokio::test]
async fn a_damaged_journal_is_not_served() {
    for engine in ENGINES {
        let service = stopped_with_a_registration(engine).await;
        let segment = journal_segment(&service);
        let sound = std::fs::read(&segment).unwrap();
        let mut outcomes = 0;
        for at in [3, sound.len() / 3, sound.len() / 2] {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&segment, damaged).unwrap();
            let said = refusal(&service);
            assert!(
                said.contains("journal") && said.contains("segment"),
                "{at}: {said}"
            );
            outcomes += 1;
        }
        assert_eq!(outcomes, 3);
        std::fs::write(&segment, sound).unwrap();
        starts_again(service).await;
    }
}

#[tokio::test]
async fn a_damaged_body_is_not_served() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        assert_eq!(
            service
                .put_set(super::BLABAERLIA, "KAR", super::large_set(4_000))
                .await
                .status(),
            200
        );
        service.terminate();
        let bodies = service.journal_in_force().join("bodies");
        let body = std::fs::read_dir(bodies).unwrap().next().unwrap().unwrap().path();
        let sound = std::fs::read(&body).unwrap();
        let mut damaged = sound.clone();
        damaged[sound.len() / 2] ^= 1;
        std::fs::write(&body, &damaged).unwrap();
        lose_the_index(&service);
        service.start_again();
        service.wait_until(|| service.log().contains("damaged")).await;
        assert!(!service.is_ready().await, "{engine:?}");
        let today = world::today().to_string();
        let lookup = service
            .relationships(&people().next().unwrap(), &today, &today)
            .send()
            .await
            .unwrap();
        assert_eq!(lookup.status(), 503, "{engine:?}");
        std::fs::write(&body, &sound).unwrap();
        service.wait_until_ready().await;
        assert!(
            is_listed(&service, &people().next().unwrap()).await,
            "{engine:?}: mended while running"
        );
    }
}

#[tokio::test]
async fn another_pseudonym_key_is_refused() {
    for engine in ENGINES {
        let service = stopped_with_a_registration(engine).await;
        let key = service.directory.path().join("pseudonym.key");
        let right = service.directory.path().join("right.key");
        std::fs::rename(&key, &right).unwrap();
        assert!(
            Command::new(PROGRAM)
                .args(["key", "new"])
                .arg(&key)
                .output()
                .unwrap()
                .status
                .success()
        );
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
    for engine in ENGINES {
        let service = stopped_with_a_registration(engine).await;
        let file = service.directory.path().join("participants.toml");
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, without(&whole, GRANSKAUEN)).unwrap();
        let said = refusal(&service);
        assert!(said.contains(GRANSKAUEN) && said.contains("records"), "{said}");
        // The journal knows of them also when the index is empty.
        lose_the_index(&service);
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
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let customer = people().next().unwrap();
        assert_eq!(
            service
                .kfr(Method::POST, GRANSKAUEN, &customer)
                .send()
                .await
                .unwrap()
                .status(),
            201
        );
        let whole = world::participants();
        let refused = "what it said before stays in force";
        for bad in [
            without(&whole, GRANSKAUEN),
            "[[participant]]\nname = 1".to_owned(),
            "{".to_owned(),
            String::new(),
        ] {
            service.replace_participants(&bad, refused).await;
            assert!(is_listed(&service, &customer).await, "{engine:?}");
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
            "{engine:?}"
        );
        let renamed = whole.replace("Granskauen Bank", "Granskogen Bank");
        service
            .replace_participants(&renamed, "a file was read again")
            .await;
        assert_eq!(
            service.listed(&customer).await[0]["bankName"],
            "Granskogen Bank",
            "{engine:?}"
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

#[tokio::test]
async fn somebody_elses_index_file_is_refused_and_left_alone() {
    let other = stopped_with_a_registration(Engine::Embedded).await;
    let mut service = stopped_with_a_registration(Engine::Embedded).await;
    let file = |service: &Service| service.directory.path().join("index.redb");
    std::fs::rename(file(&service), service.directory.path().join("own.redb")).unwrap();
    std::fs::copy(file(&other), file(&service)).unwrap();
    service.start_again();
    service
        .wait_until(|| service.log().contains("belongs to another register"))
        .await;
    assert!(!service.is_ready().await);
    let today = world::today().to_string();
    let customer = people().next().unwrap();
    let lookup = service
        .relationships(&customer, &today, &today)
        .send()
        .await
        .unwrap();
    assert_eq!(lookup.status(), 503);
    // A bank that never delivered stands at position 0 in both.
    let post = service
        .kfr(Method::POST, "210132120", &customer)
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), 503);
    service.kill();
    std::fs::rename(service.directory.path().join("own.redb"), file(&service)).unwrap();
    starts_again(service).await;
}

//! `GET /v2/participants`.

use super::*;
use crate::harness::ask::PARTICIPANTS;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Registers a bank that has not delivered yet.
pub async fn register_newcomer(service: &Service) {
    let entry = "[[participant]]\norganizationID = \"988077917\"\nname = \"Ny\"\nregisters = [\"KFR\"]\nstaleAfter = \"1d\"\n\n";
    edit(service, "[[participant]]", &format!("{entry}[[participant]]")).await;
}

async fn states(service: &Service) -> Vec<(String, String)> {
    let told = answered(Ask::participants(service)).await;
    let body = told.body();
    let participants = body["participants"].as_array().unwrap();
    let text = |bank: &Value, name: &str| bank[name].as_str().unwrap().to_owned();
    participants
        .iter()
        .map(|bank| (text(bank, "organizationID"), text(bank, "state")))
        .collect()
}

async fn state(service: &Service, bank: &str) -> String {
    let states = states(service).await;
    states.into_iter().find(|(number, _)| number == bank).unwrap().1
}

/// Puts another participants file in force and waits until it is.
async fn edit(service: &Service, from: &str, to: &str) {
    let path = service.directory.path().join("participants.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    let reloads = || service.log().matches("a file was read again").count();
    let before = reloads();
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    service.signal("-HUP");
    for _ in 0..250 {
        if reloads() > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not reloaded:\n{}", service.log());
}

#[tokio::test]
async fn every_bank_is_listed_in_order_with_its_registers_and_how_far_it_reaches_back() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let told = answered(Ask::participants(&service)).await;
        let participants = told.body()["participants"].take();
        let participants = participants.as_array().unwrap();
        assert_eq!(participants.len(), 13);
        assert!(
            participants
                .iter()
                .map(|bank| bank["organizationID"].as_str())
                .is_sorted()
        );
        let bank = participants
            .iter()
            .find(|bank| bank["organizationID"] == "210110100")
            .unwrap();
        let covers_from = world::fill_in("{today-6y}");
        assert_eq!(
            (
                &bank["bankName"],
                &bank["registers"],
                &bank["state"],
                &bank["coversFrom"]
            ),
            (
                &json!("Bjørkelund Privatbank"),
                &json!(["KAR", "KFR"]),
                &json!("current"),
                &json!(covers_from)
            )
        );
        let last = DateTime::parse_from_rfc3339(bank["lastDelivery"].as_str().unwrap()).unwrap();
        assert!((Utc::now() - last.to_utc()).abs() < TimeDelta::minutes(1));
        let bank = participants
            .iter()
            .find(|bank| bank["organizationID"] == "210011013")
            .unwrap();
        assert_eq!(
            members(bank),
            ["bankName", "lastDelivery", "organizationID", "registers", "state"]
        );
    }
}

#[tokio::test]
async fn before_a_delivery_a_bank_is_not_loaded_and_has_no_last_one() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let told = answered(Ask::participants(&service)).await;
        for bank in told.body()["participants"].as_array().unwrap() {
            assert!(bank.get("lastDelivery").is_none());
            assert!(
                bank["state"] == "notLoaded" || bank["state"] == "merged",
                "{bank}"
            );
        }
        // In both registers, and only one is there.
        let set = world::sets()
            .into_iter()
            .find(|(bank, register, _)| bank == "210099093" && register == "KAR");
        let (bank, register, records) = set.unwrap();
        assert_eq!(service.put_set(&bank, &register, records).await.status(), 200);
        assert_eq!(state(&service, "210099093").await, "notLoaded");
    }
}

#[tokio::test]
async fn each_state_is_told_in_its_word() {
    let mut service = with_world(Caching::With).await;
    service.deliver_long_ago("210011013").await;
    edit(&service, "paused = false", "paused = true").await;
    register_newcomer(&service).await;
    let states = states(&service).await;
    let expected = [
        ("210011013", "stale"),
        ("210022023", "merged"),
        ("210033033", "merged"),
        ("210044043", "current"),
        ("210055053", "merged"),
        ("210066063", "merged"),
        ("210077073", "current"),
        ("210088083", "current"),
        ("210099093", "current"),
        ("210110100", "current"),
        ("210121110", "paused"),
        ("210132120", "current"),
        ("210143130", "current"),
        ("988077917", "notLoaded"),
    ];
    assert_eq!(
        states,
        expected.map(|(bank, state)| (bank.to_owned(), state.to_owned()))
    );
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes_and_a_wrong_one_changes_nothing() {
    let service = with_world(Caching::Without).await;
    edit(&service, "Nøtteskrika Nettbank", "Nøtteskrika Bank").await;
    let told = answered(Ask::participants(&service)).await;
    assert!(told.text.contains("Nøtteskrika Bank"));
    let path = service.directory.path().join("participants.toml");
    std::fs::write(&path, "[[participant]]\norganizationID = \"210011013\"\n").unwrap();
    service.signal("-HUP");
    let refused = || service.log().contains("a file is refused");
    for _ in 0..250 {
        if refused() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused());
    assert_eq!(states(&service).await.len(), 13);
}

#[tokio::test]
async fn the_list_takes_no_parameter_and_is_there_under_the_newer_path_only() {
    let service = Service::start(Caching::Without).await;
    let told = Ask::participants(&service).query("state", "stale").send().await;
    assert_eq!((told.status, told.error_code().as_str()), (400, "ERR-005"));
    let older = PARTICIPANTS.replace("/v2", "/kar-ws/api/v1");
    assert_eq!(Ask::participants(&service).path(&older).send().await.status, 404);
    let konto = service.issuer.token("974761076", "bits:kundeforhold.konto");
    assert_eq!(Ask::participants(&service).token(&konto).send().await.status, 403);
}

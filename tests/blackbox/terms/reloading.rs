//! Terms that change while the service runs, and `check`.

use super::{Ask, start, start_with, wait_for_log};
use crate::harness::{Caching, EITHER_WAY, PROGRAM, Service};
use std::process::Command;
use std::time::{Duration, Instant};

/// A service whose terms are a file of their own: SRF's, and the path of the file.
async fn with_file(caching: Caching) -> (Service, std::path::PathBuf) {
    let service = start_with(caching, "").await;
    let path = service.directory.path().join("dsop-services.toml");
    (service, path)
}

fn service_of(name: &str, consumer: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nconsumer = \"{consumer}\"\nendpoints = \"customerRelationships\"\n\
         mandate = \"*\"\ncustomer = \"person\"\nperiod = \"any\"\nonly_primary_owner = \"either\"\n"
    )
}

async fn wait_for(service: &Service, ask: &Ask, status: u16) {
    let started = Instant::now();
    while ask.status(service).await != status {
        assert!(started.elapsed() < Duration::from_secs(15), "{}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn terms_are_put_in_force_by_sighup_and_when_their_file_changes() {
    for caching in EITHER_WAY {
        let (service, path) = with_file(caching).await;
        let ask = Ask::vergekontroll();
        ask.assert_outside(&service, "consumer").await;

        std::fs::write(&path, service_of("Trial", super::SRF)).unwrap();
        service.signal("-HUP");
        wait_for(&service, &ask, 200).await;
        // A service of any mandate is never put in force quietly.
        assert!(service.log().contains("ADMITS ANY MANDATE OR ANY PERIOD"));

        std::fs::write(&path, service_of("Other", super::POLITI)).unwrap();
        wait_for(&service, &ask, 403).await;
    }
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_line_and_the_former_terms_stay() {
    for caching in EITHER_WAY {
        let (service, path) = with_file(caching).await;
        std::fs::write(&path, service_of("Trial", super::SRF)).unwrap();
        service.signal("-HUP");
        let ask = Ask::vergekontroll();
        wait_for(&service, &ask, 200).await;
        for (bad, says) in [
            (
                service_of("Trial", super::SRF).replace("person", "nobody"),
                "line 6",
            ),
            (
                service_of("Trial", super::SRF).replace("period =", "periode ="),
                "line 7",
            ),
            (String::new(), "no service at all"),
        ] {
            std::fs::write(&path, bad).unwrap();
            service.signal("-HUP");
            wait_for_log(&service, says).await;
            assert_eq!(ask.status(&service).await, 200);
        }
        std::fs::remove_file(&path).unwrap();
        service.signal("-HUP");
        wait_for_log(&service, "cannot be read").await;
        assert_eq!(ask.status(&service).await, 200);
    }
}

#[tokio::test]
async fn a_service_does_not_start_with_bad_terms_and_check_says_why() {
    let mut service = start(Caching::Without).await;
    service.terminate();
    let check = |service: &Service| {
        let output = Command::new(PROGRAM)
            .args(["check", "--config"])
            .arg(service.configuration())
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(told).unwrap())
    };
    let (code, told) = check(&service);
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("service terms: 6 services, 1 switched off\n"),
        "{told}"
    );

    let path = service.directory.path().join("dsop-services.toml");
    let configuration = std::fs::read_to_string(service.configuration()).unwrap();
    let with_file = configuration.replace("services_file = \"\"", &format!("services_file = {path:?}"));
    assert_ne!(configuration, with_file);
    std::fs::write(service.configuration(), with_file).unwrap();
    let (code, told) = check(&service);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("FOR TEST CONSUMERS ONLY: Test"), "{told}");

    std::fs::write(&path, service_of("Trial", "974761077")).unwrap();
    let (code, told) = check(&service);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("line 3"), "{told}");
    let serve = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(service.configuration())
        .output()
        .unwrap();
    assert_eq!(serve.status.code(), Some(1));
}

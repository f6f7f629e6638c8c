//! `kundeforhold rekey`, with the service running and without.

use super::{BLABAERLIA, load::Questions};
use super::{fingerprint, key_file, make_key, next_key_file, relationships, start};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, PROGRAM, Service};
use serde_json::Value;
use std::process::{Command, Output};

/// The command beside a running service, which a blocked thread would starve.
async fn rekey(service: &Service, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["60", PROGRAM, "rekey", "--config"])
        .arg(service.configuration());
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_follows_a_running_service_and_says_what_to_do_next() {
    for engine in ENGINES {
        let service = start(engine).await;
        let put = service.put_set(BLABAERLIA, "KAR", relationships(500)).await;
        assert_eq!(put.status(), 200);
        let customers: Vec<String> = people().take(20).collect();
        let questions = Questions::about(&service, &customers, &[]).await;
        let output = rekey(&service, &[]).await;
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("mv "), "{}", said(&output));
        assert!(questions.all_are_right().await);
        let again = rekey(&service, &["--json"]).await;
        assert!(again.status.success(), "{}", said(&again));
        let done: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(done["inForce"], fingerprint(&next_key_file(&service)));
        assert_eq!(done["state"], "idle");
    }
}

#[tokio::test]
async fn without_a_service_the_command_does_the_work() {
    for engine in ENGINES {
        let mut service = start(engine).await;
        let put = service.put_set(BLABAERLIA, "KAR", relationships(500)).await;
        assert_eq!(put.status(), 200);
        let customers: Vec<String> = people().take(20).collect();
        let questions = Questions::about(&service, &customers, &[]).await;
        service.terminate();
        for _ in 0..2 {
            let output = rekey(&service, &[]).await;
            assert!(output.status.success(), "{engine:?}: {}", said(&output));
        }
        std::fs::rename(next_key_file(&service), key_file(&service)).unwrap();
        service.start_again();
        service.wait_until_ready().await;
        assert!(questions.all_are_right().await, "{engine:?}");
        assert_eq!(
            service.log().matches("was built from the journal").count(),
            1,
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn the_key_does_not_change_while_the_record_of_use_hangs_on_it() {
    let service = Service::start(Engine::Embedded).await;
    let output = rekey(&service, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("key_files = ["), "{}", said(&output));
    assert!(!next_key_file(&service).exists());
    make_key(&next_key_file(&service));
    service
        .wait_until(|| service.log().contains("the pseudonym key is not changed yet"))
        .await;
    assert!(service.log().contains("audit.key_files"));
}

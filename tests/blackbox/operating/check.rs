//! `check`: all that is wrong at once.

use crate::commands::{done, program, refused};
use crate::harness::keys::section;
use crate::harness::{Caching, Service};

fn check(service: &Service) -> std::process::Output {
    let configuration = service.configuration();
    let mut command = program(&["check", "--config", configuration.to_str().unwrap()]);
    command.output().unwrap()
}

#[tokio::test]
async fn all_settings_outside_their_range_are_told_at_once() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    let listen = service.address.clone();
    service.configure(|table| {
        let mut set = |name: &str, key: &str, value: toml::Value| {
            section(table, name).insert(key.to_owned(), value);
        };
        set("server", "max_lookups_per_worker", 0.into());
        set("server", "management_listen", listen.as_str().into());
        set("retention", "closed_years", 0.into());
        set("delivery", "shrink_percent", 101.into());
        set("traces", "sampled_percent", 200.into());
        set("traces", "otlp_endpoint", "collector:4318/v1/traces".into());
        set("delivery", "pause_seconds", "soon".into());
        set("server", "wrokers", 1.into());
    });
    let said = refused(check(&service));
    for (key, value) in [
        ("server.max_lookups_per_worker", "is 0"),
        ("server.management_listen", listen.as_str()),
        ("retention.closed_years", "is 0"),
        ("delivery.shrink_percent", "is 101, and must be 0 to 100"),
        ("traces.sampled_percent", "200"),
        ("traces.otlp_endpoint", "http://"),
        ("delivery.pause_seconds", "\"soon\""),
        ("server.wrokers", "is no setting"),
    ] {
        let line = said.lines().find(|line| line.trim_start().starts_with(key));
        assert!(line.is_some_and(|line| line.contains(value)), "{key}: {said}");
    }
    // `serve` refuses the same.
    let configuration = service.configuration();
    let served = program(&["serve", "--config", configuration.to_str().unwrap()]).output();
    let (_, faults) = said.split_once('\n').unwrap();
    assert_eq!(refused(served.unwrap()).split_once('\n').unwrap().1, faults);
}

#[tokio::test]
async fn faults_of_files_and_of_others_are_told_together() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    done(check(&service));
    let participants = service.directory.path().join("participants.toml");
    let terms = service.directory.path().join("dsop-services.toml");
    std::fs::write(&participants, "").unwrap();
    std::fs::write(&terms, "[[service]]\n").unwrap();
    service.configure(|table| {
        section(table, "cache").insert("url".to_owned(), "redis://127.0.0.1:1".into());
    });
    let said = refused(check(&service));
    for fault in [
        "participants_file: no bank is registered",
        "access.services_file: ",
        "127.0.0.1:1",
    ] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
    let nameless = "[[participant]]\norganizationID = \"210011013\"\nname = \"\"\nregisters = [\"KAR\"]\nstaleAfter = \"36h\"\n";
    std::fs::write(&participants, nameless).unwrap();
    assert!(refused(check(&service)).contains("210011013 has no name"));
}

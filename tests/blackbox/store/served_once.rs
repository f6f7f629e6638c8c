//! One process serves a file; commands that read go beside it.

use super::{call, is_listed};
use crate::harness::identifiers::people;
use crate::harness::{Caching, PROGRAM, Service, free_address};
use reqwest::Method;
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(arguments: &[&str], configuration: &PathBuf) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["20", PROGRAM])
        .args(arguments)
        .arg("--config")
        .arg(configuration);
    command.output().unwrap()
}

/// The configuration of another process on the same file, with all else its own.
fn of_another(service: &Service) -> PathBuf {
    let text = std::fs::read_to_string(service.configuration()).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let mut set = |section: &str, key: &str, value: String| {
        let section = table[section].as_table_mut().unwrap();
        section.insert(key.to_owned(), value.into());
    };
    set("server", "listen", free_address());
    set("server", "management_listen", free_address());
    let record = service.directory.path().join("another-record.sqlite");
    set("record", "url", format!("sqlite:{}", record.display()));
    let file = service.directory.path().join("another.toml");
    std::fs::write(&file, table.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_second_process_that_would_serve_the_same_file_is_refused_with_a_sentence() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    let who: Vec<String> = people().take(2).collect();
    assert_eq!(call(&service, Method::POST, &who[0]).await, 201);
    let another = of_another(&service);
    let refused = run(&["serve"], &another);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("register.sqlite") && said.contains("in use by another process"),
        "{said}"
    );
    assert_eq!(said.matches("kundeforhold: ").count(), 1, "{said}");
    // The first one is as it was.
    assert!(is_listed(&service, &who[0]).await);
    assert_eq!(call(&service, Method::POST, &who[1]).await, 201);
    // Also after a kill the file is free, whatever is left beside it.
    service.kill_and_restart().await;
    assert!(is_listed(&service, &who[1]).await);
}

#[tokio::test]
async fn a_configuration_is_checked_beside_the_service() {
    for caching in [Caching::Without, Caching::With] {
        let service = Service::start_on_file(caching, "").await;
        service.deliver_world().await;
        let checked = run(&["check"], &service.configuration());
        assert!(checked.status.success(), "{checked:?}");
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(said.contains("store: 15 sets"), "{said}");
    }
}

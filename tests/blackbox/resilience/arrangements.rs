//! A Redis that does not fit `index.url`: refused at start, with the line to change.

use super::run;
use crate::harness::Service;
use crate::harness::redis::RedisServer;

/// What `serve` says when it ends at once.
async fn refusal(index: &str) -> String {
    let mut service = Service::launch_on(index, "").await;
    service.kill();
    let output = run(&service, &["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[tokio::test]
async fn a_database_that_others_use_is_refused_and_left_alone() {
    let redis = RedisServer::start();
    redis.command(&["SET", "session:1", "theirs"]);
    let said = refusal(&redis.url()).await;
    assert!(
        said.contains("a database of its own") && said.contains("index.url"),
        "{said}"
    );
    assert_eq!(redis.command(&["DBSIZE"]).trim(), "1");
}

#[tokio::test]
async fn a_node_of_a_cluster_under_the_url_of_a_node_is_refused() {
    let redis = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let said = refusal(&redis.url()).await;
    assert!(
        said.contains(&format!("redis-cluster://{}", redis.address())),
        "{said}"
    );
}

#[tokio::test]
async fn a_node_under_the_url_of_a_cluster_is_refused() {
    let redis = RedisServer::start();
    let said = refusal(&format!("redis-cluster://{}", redis.address())).await;
    assert!(said.contains("write redis://"), "{said}");
}

#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let master = RedisServer::start();
    let file = directory.path().join("sentinel.conf");
    let watched = format!("sentinel monitor theirs 127.0.0.1 {} 1\n", master.port());
    std::fs::write(&file, watched).unwrap();
    let sentinel = RedisServer::start_with(&[file.to_str().unwrap(), "--sentinel"]);
    let said = refusal(&format!("redis-sentinel://{}/ours", sentinel.address())).await;
    assert!(
        said.contains("sentinel monitor") && said.contains("index.url"),
        "{said}"
    );
}

#[tokio::test]
async fn an_index_of_another_format_is_refused() {
    let redis = RedisServer::start();
    let mut service = Service::start_on(&redis.url(), "").await;
    assert!(service.terminate().success());
    redis.command(&["SETRANGE", "{kf}marker", "0", "\u{7f}"]);
    let output = run(&service, &["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("index.url"), "{said}");
}

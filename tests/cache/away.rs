//! While Redis is away nobody waits, and it is used again once it answers.

use crate::bench::{
    AT, Bench, KEY, collect_logs, eventually, expected, logged, options, relationships, sealed,
};
use crate::server::Server;
use kundeforhold::cache::{Cache, CacheError, CacheOptions};
use secrecy::SecretString;
use std::time::{Duration, Instant};

/// Of the lookups of these tests.
const SHORT: Duration = Duration::from_millis(250);
/// What the machine may take on top, since it is shared.
const SLACK: Duration = Duration::from_millis(500);

async fn filled(server: &Server) -> Bench {
    let options = CacheOptions {
        timeout: SHORT,
        ..options(&server.url())
    };
    let bench = Bench::start(&options).await;
    bench.fill(1..2).await;
    assert_eq!(bench.found(1).await, expected(1));
    bench
}

/// Many lookups one after the other, none of which waits.
async fn nobody_waits(bench: &Bench) {
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(bench.found(1).await, None);
    }
    let took = begun.elapsed();
    assert!(took < 8 * SHORT, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_waited_for_once_and_then_left_alone_until_it_answers() {
    collect_logs();
    let server = Server::start();
    let bench = filled(&server).await;
    server.freeze();
    let at_once = (0..20).map(|_| async {
        let asked = Instant::now();
        (bench.found(1).await, asked.elapsed())
    });
    for (found, took) in futures_util::future::join_all(at_once).await {
        assert_eq!(found, None);
        assert!(took < SHORT + SLACK, "{took:?}");
    }
    assert!(!bench.cache.is_reachable() && !bench.is_told_reachable());
    nobody_waits(&bench).await;
    // A probe that is not answered changes nothing.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    nobody_waits(&bench).await;
    let [hits, misses, refused, errors] = bench.lookups();
    assert_eq!([hits, misses, refused, errors], [1, 0, 0, 120]);
    bench.keep(2, AT, &relationships(2));
    assert_eq!(bench.fills(), [1, 1, 0]);
    server.thaw();
    bench.comes_back().await;
    assert_eq!(bench.found(1).await, expected(1));
    assert!(bench.is_told_reachable());
    let told = logged(server.port);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("WARN") && told[0].contains("no answer in time"),
        "{told:?}"
    );
    assert!(
        told[1].contains("INFO") && told[1].contains("is back"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_ends_is_noticed_without_a_lookup_and_found_when_it_comes_again() {
    let mut server = Server::start();
    let bench = filled(&server).await;
    server.kill();
    eventually("it is noticed", || !bench.cache.is_reachable()).await;
    nobody_waits(&bench).await;
    server.start_again();
    bench.comes_back().await;
    assert_eq!(bench.found(1).await, None);
    bench.fill(1..2).await;
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_redis_closes_are_made_anew() {
    let server = Server::start();
    let bench = filled(&server).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("it is noticed", || !bench.cache.is_reachable()).await;
    bench.comes_back().await;
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_begin_without_redis_and_the_program_does_not_wait_for_it() {
    let mut server = Server::start();
    server.kill();
    let begun = Instant::now();
    let bench = Bench::begin(&options(&server.url()), &KEY);
    nobody_waits(&bench).await;
    assert!(begun.elapsed() < 8 * SHORT);
    let checked = bench.cache.check().await.unwrap_err().to_string();
    assert!(
        checked.contains(&format!("127.0.0.1:{}", server.port)),
        "{checked}"
    );
    server.start_again();
    bench.comes_back().await;
    bench.cache.check().await.unwrap();
    bench.fill(1..2).await;
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_refused_is_told_once_and_not_shown() {
    collect_logs();
    let server = Server::with(&["--requirepass", "r1ght"]);
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port);
    let wrong = Bench::begin(&options(&with("wr0ng")), &KEY);
    eventually("it is told", || !logged(server.port).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let told = logged(server.port);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("WARN") && !told[0].contains("wr0ng"), "{told:?}");
    assert!(!wrong.cache.is_reachable());
    let checked = wrong.cache.check().await.unwrap_err();
    assert!(!checked.to_string().contains("wr0ng"), "{checked}");
    let right = Bench::start(&options(&with("r1ght"))).await;
    right.fill(1..2).await;
    assert_eq!(right.found(1).await, expected(1));
    let beside = CacheOptions {
        password: Some(SecretString::from("r1ght")),
        ..options(&server.url())
    };
    assert_eq!(Bench::start(&beside).await.found(1).await, expected(1));
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_at_once_and_not_shown() {
    let refused = Cache::new(&options("redis://:s3cret@h:port"), &KEY)
        .err()
        .unwrap();
    assert!(matches!(refused, CacheError::Settings(_)), "{refused}");
    assert!(!refused.to_string().contains("s3cret"), "{refused}");
}

/// As the workers of the service: each has a runtime of its own, and they do not end together.
#[tokio::test(flavor = "multi_thread")]
async fn lookups_do_not_depend_on_who_else_looks_up() {
    let server = Server::start();
    let bench = filled(&server).await;
    for _ in 0..4 {
        let cache = bench.cache.clone();
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(async move { cache.relationships(&sealed(1)).await })
        });
        assert_eq!(worker.join().unwrap(), expected(1));
    }
    assert_eq!(bench.found(1).await, expected(1));
    assert_eq!(bench.lookups(), [6, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_lookups_go_to_the_store() {
    let server = Server::start();
    let cache = Cache::new(&options(&server.url()), &KEY).unwrap();
    let end = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(cache.clone().run(end.clone()));
    eventually("Redis is asked", || cache.is_reachable()).await;
    end.cancel();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .unwrap()
        .unwrap();
    assert!(!cache.is_reachable());
    assert_eq!(cache.relationships(&sealed(1)).await, None);
}

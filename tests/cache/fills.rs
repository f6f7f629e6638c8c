//! Nobody waits for the cache to be filled, whatever hinders it.

use crate::bench::{AT, Bench, expected, options, relationships};
use crate::server::Server;
use kundeforhold::cache::MOST_ROWS;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_has_no_room_for_is_dropped_without_waiting() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    server.freeze();
    let begun = Instant::now();
    for customer in 0..3_000 {
        bench.keep(customer, AT, &relationships(customer));
    }
    let took = begun.elapsed();
    let [_, dropped, _] = bench.fills();
    assert!(bench.cache.is_reachable(), "the queue was not filled in time");
    assert!((1_500..3_000).contains(&dropped), "{dropped}");
    assert!(took < Duration::from_millis(900), "{took:?}");
    server.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_long_is_not_cached() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    let row = relationships(1)[0];
    bench.keep(1, AT, &vec![row; MOST_ROWS + 1]);
    bench.keep(2, AT, &vec![row; MOST_ROWS]);
    bench.fill(3..4).await;
    assert_eq!(bench.found(1).await, None);
    assert_eq!(bench.found(2).await.unwrap().held.len(), MOST_ROWS);
    assert_eq!(bench.fills(), [2, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_and_what_it_does_not_take_is_counted() {
    let master = Server::start();
    let port = master.port.to_string();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    replica.says(&["INFO", "replication"], "master_link_status:up");
    let writer = Bench::start(&options(&master.url())).await;
    writer.fill(1..2).await;
    replica.says(&["DBSIZE"], "1");
    let reader = Bench::start(&options(&replica.url())).await;
    assert_eq!(reader.found(1).await, expected(1));
    reader.fill(2..4).await;
    assert_eq!(reader.fills(), [0, 0, 2]);
    assert_eq!(reader.found(2).await, None);
    // A probe has passed by now.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(reader.found(1).await, expected(1));
    assert_eq!(reader.lookups(), [2, 1, 0, 0]);
    reader.cache.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_still_read() {
    let server = Server::with(&["--maxmemory", "0"]);
    let bench = Bench::start(&options(&server.url())).await;
    bench.fill(1..2).await;
    drop(server);
    let full = Server::with(&["--maxmemory", "1kb", "--maxmemory-policy", "noeviction"]);
    let bench = Bench::start(&options(&full.url())).await;
    bench.fill(1..2).await;
    assert_eq!(bench.fills(), [0, 0, 1]);
    assert_eq!(bench.found(1).await, None);
    assert_eq!(bench.lookups(), [0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_evicted_is_missed() {
    let server = Server::with(&["--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"]);
    let bench = Bench::start(&options(&server.url())).await;
    for first in (0..12_000).step_by(500) {
        bench.fill(first..first + 500).await;
    }
    let mut found = 0;
    for customer in 0..12_000 {
        if let Some(cached) = bench.found(customer).await {
            assert_eq!(Some(cached), expected(customer));
            found += 1;
        }
    }
    assert!((100..11_900).contains(&found), "{found}");
    assert_eq!(bench.lookups(), [found, 12_000 - found, 0, 0]);
}

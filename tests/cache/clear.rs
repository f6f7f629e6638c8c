//! Clearing removes what is ours, wherever it is, and nothing else.

use crate::bench::{Bench, KEY, expected, options};
use crate::server::Server;
use kundeforhold::cache::Cache;
use redis::Commands;

#[tokio::test(flavor = "multi_thread")]
async fn only_our_entries_are_removed_and_counted() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    bench.keep_accounts(1);
    for first in (0..3_000).step_by(500) {
        bench.fill(first..first + 500).await;
    }
    let mut redis = server.connection();
    for other in ["kf10:c:1", "kf:1", "session:kf1:c", "KF1:c:1"] {
        redis.set::<_, _, ()>(other, "of another").unwrap();
    }
    // As the command does it, where nothing else runs.
    let cache = Cache::new(&options(&server.url()), &KEY).unwrap();
    assert_eq!(cache.clear().await, Ok(3_001));
    assert_eq!(server.command(&["DBSIZE"]), "4");
    assert_eq!(bench.found(1).await, None);
    assert_eq!(cache.clear().await, Ok(0));
    bench.fill(1..2).await;
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_cannot_be_cleared_and_says_so() {
    let master = Server::start();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let bench = Bench::start(&options(&master.url())).await;
    bench.fill(1..2).await;
    replica.says(&["DBSIZE"], "1");
    let cache = Cache::new(&options(&replica.url()), &KEY).unwrap();
    let refused = cache.clear().await.unwrap_err().to_string();
    assert!(refused.contains(&replica.port.to_string()), "{refused}");
    assert_eq!(bench.found(1).await, expected(1));
}

//! Sentinel groups and Clusters.

use crate::bench::{AT, Bench, KEY, eventually, expected, options, relationships};
use crate::group::{Certificates, Cluster, PASSWORD, SENTINEL_PASSWORD, SentinelGroup};
use kundeforhold::cache::{Cache, CacheOptions};
use secrecy::SecretString;
use std::time::{Duration, Instant};

fn of_sentinels(group: &SentinelGroup) -> CacheOptions {
    CacheOptions {
        password: Some(SecretString::from(PASSWORD)),
        sentinel_password: Some(SecretString::from(SENTINEL_PASSWORD)),
        ..options(&group.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_that_sentinels_name_is_used_and_the_next_one_after_it() {
    let mut group = SentinelGroup::start();
    let bench = Bench::start(&of_sentinels(&group)).await;
    bench.fill(1..3).await;
    assert_eq!(bench.found(1).await, expected(1));
    assert_eq!(group.servers[0].command(&["DBSIZE"]), "2");
    group.servers[1].says(&["DBSIZE"], "2");
    group.servers[0].kill();
    eventually("it is noticed", || !bench.cache.is_reachable()).await;
    bench.comes_back().await;
    assert_eq!(bench.found(1).await, expected(1));
    bench.fill(3..4).await;
    assert_eq!(bench.fills(), [3, 0, 0]);
    assert_eq!(bench.found(3).await, expected(3));
    assert_eq!(bench.cache.clear().await, Ok(3));
    assert_eq!(group.servers[1].command(&["DBSIZE"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_became_a_replica_is_read_until_the_new_one_is_found() {
    let group = SentinelGroup::start();
    let bench = Bench::start(&of_sentinels(&group)).await;
    bench.fill(1..2).await;
    group.servers[1].says(&["DBSIZE"], "1");
    group.exchange();
    let begun = Instant::now();
    let mut customer = 2;
    while bench.count("fills", "stored") < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", bench.fills());
        bench.fill(customer..customer + 1).await;
        assert!(bench.cache.is_reachable());
        customer += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(bench.count("fills", "error") > 0);
    assert_eq!(group.servers[1].command(&["DBSIZE"]), "2");
    assert_eq!(bench.found(customer - 1).await, expected(customer - 1));
    assert_eq!(bench.count("lookups", "error"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_want_their_own_password_and_the_name_of_their_master() {
    let group = SentinelGroup::start();
    let right = of_sentinels(&group);
    Cache::new(&right, &KEY).unwrap().check().await.unwrap();
    let without = CacheOptions {
        sentinel_password: None,
        ..right.clone()
    };
    let of_servers = CacheOptions {
        sentinel_password: right.password.clone(),
        ..right.clone()
    };
    let another = CacheOptions {
        url: SecretString::from(group.url().replace("/kf", "/other")),
        ..right
    };
    for wrong in [without, of_servers, another] {
        let refused = Cache::new(&wrong, &KEY).unwrap().check().await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(&group.sentinel.port.to_string()), "{refused}");
        assert!(!refused.contains(PASSWORD), "{refused}");
    }
}

async fn fills_and_clears(cluster: &Cluster, options: &CacheOptions) {
    let bench = Bench::start(options).await;
    bench.fill(0..300).await;
    assert_eq!(bench.fills(), [300, 0, 0]);
    for customer in 0..300 {
        assert_eq!(bench.found(customer).await, expected(customer));
    }
    assert_eq!(bench.found(300).await, None);
    assert_eq!(bench.lookups(), [300, 1, 0, 0]);
    let entries = cluster.entries();
    assert!(entries.iter().all(|entries| *entries > 50), "{entries:?}");
    for node in &cluster.nodes {
        // Each takes one of the keys of another; the others are of other nodes.
        for other in ["other:0", "other:1", "other:4", "other:5"] {
            node.command(&["SET", other, "value"]);
        }
    }
    let others = cluster.entries().iter().sum::<u64>() - 300;
    assert!(others > 0);
    bench.cache.check().await.unwrap();
    let cache = Cache::new(options, &KEY).unwrap();
    assert_eq!(cache.clear().await, Ok(300));
    assert_eq!(cluster.entries().iter().sum::<u64>(), others);
    assert_eq!(bench.found(1).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_filled_read_and_cleared_on_all_its_primaries() {
    let cluster = Cluster::start();
    fills_and_clears(&cluster, &options(&cluster.url("redis-cluster", "127.0.0.1"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_tls_host_names_and_a_password_is_used_like_any_other() {
    let certificates = Certificates::make();
    let cluster = Cluster::with_tls(&certificates);
    let right = CacheOptions {
        password: Some(SecretString::from(PASSWORD)),
        ca_certificate: Some(certificates.authority.clone()),
        ..options(&cluster.url("rediss-cluster", "localhost"))
    };
    fills_and_clears(&cluster, &right).await;
    let of_nobody = CacheOptions {
        ca_certificate: None,
        ..right.clone()
    };
    let by_address = CacheOptions {
        url: SecretString::from(cluster.url("rediss-cluster", "127.0.0.1")),
        ..right
    };
    for wrong in [of_nobody, by_address] {
        assert!(Cache::new(&wrong, &KEY).unwrap().check().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_tls_is_believed_by_its_certificate_only() {
    let certificates = Certificates::make();
    let cluster = Cluster::with_tls(&certificates);
    let node = &cluster.nodes[0];
    let options = CacheOptions {
        password: Some(SecretString::from(PASSWORD)),
        ca_certificate: Some(certificates.authority.clone()),
        ..options(&format!("rediss://localhost:{}", node.port))
    };
    // That it is of a Cluster is seen once it is believed.
    let told = Cache::new(&options, &KEY).unwrap().check().await;
    let told = told.unwrap_err().to_string();
    assert!(told.contains("redis-cluster://"), "{told}");
    let of_nobody = CacheOptions {
        ca_certificate: None,
        ..options
    };
    let told = Cache::new(&of_nobody, &KEY).unwrap().check().await;
    let told = told.unwrap_err().to_string();
    assert!(!told.contains("redis-cluster://"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_a_primary_is_left_alone_until_it_is_whole() {
    // Each of those that are not needed to find the others.
    for lost in [1, 2] {
        loses_and_gets_back(lost).await;
    }
}

async fn loses_and_gets_back(lost: usize) {
    let mut cluster = Cluster::start();
    let options = CacheOptions {
        timeout: Duration::from_millis(250),
        ..options(&cluster.url("redis-cluster", "127.0.0.1"))
    };
    let bench = Bench::start(&options).await;
    bench.fill(0..100).await;
    cluster.nodes[lost].kill();
    let asked = (0..100).map(|customer| {
        let bench = &bench;
        async move {
            let begun = Instant::now();
            bench.found(customer).await;
            begun.elapsed()
        }
    });
    for took in futures_util::future::join_all(asked).await {
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
    eventually("it is noticed", || !bench.cache.is_reachable()).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!bench.cache.is_reachable());
    bench.keep(1, AT, &relationships(1));
    cluster.nodes[lost].start_again();
    bench.comes_back().await;
    bench.fill(0..100).await;
    for customer in 0..100 {
        assert_eq!(bench.found(customer).await, expected(customer));
    }
}

//! What is found, what is not, and what is refused though it is there.

use crate::bench::{AT, Bench, KEY, accounts, customer_key, expected, options, relationships, sealed};
use crate::server::Server;
use kundeforhold::cache::Cached;
use kundeforhold::domain::delivery::PublicationId;
use kundeforhold::pseudonym::{MasterKey, Sealed};
use redis::Commands;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_found_and_what_was_not_is_missed() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    assert_eq!(bench.found(1).await, None);
    assert_eq!(bench.cache.accounts(&sealed(1)).await, None);
    bench.fill(1..3).await;
    assert_eq!(bench.found(1).await, expected(1));
    assert_eq!(bench.found(2).await, expected(2));
    assert_eq!(bench.found(3).await, None);
    assert_eq!(bench.cache.accounts(&sealed(1)).await, None);
    assert_eq!(bench.lookups(), [2, 4, 0, 0]);
    assert_eq!(bench.fills(), [2, 0, 0]);
    assert!(bench.is_told_reachable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_and_an_account_of_the_same_bytes_are_two() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    bench.keep_accounts(1);
    bench.fill(1..2).await;
    let cached = bench.cache.accounts(&sealed(1)).await;
    let held = accounts(1);
    assert_eq!(cached, Some(Cached { at: AT, held }));
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_nothing_is_cached_too_and_what_is_newer_stands() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    let newer = PublicationId { number: 8, ..AT };
    bench.keep(1, AT, &relationships(1));
    bench.keep(1, newer, &[]);
    bench.fill(2..3).await;
    let nothing = Cached {
        at: newer,
        held: Vec::new(),
    };
    assert_eq!(bench.found(1).await, Some(nothing));
    assert_eq!(bench.lookups(), [1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_changed_or_copied_is_refused_and_counted() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    bench.fill(1..3).await;
    let mut redis = server.connection();
    let genuine: Vec<u8> = redis.get(customer_key(1)).unwrap();
    let other: Vec<u8> = redis.get(customer_key(2)).unwrap();
    let mut put = |entry: &[u8]| redis.set::<_, _, ()>(customer_key(1), entry).unwrap();
    let mut refused = 0;
    for place in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[place] ^= 1;
        put(&forged);
        assert_eq!(bench.found(1).await, None, "byte {place}");
        refused += 1;
    }
    for forged in [&other[..], &genuine[..genuine.len() - 1], b"", b"not ours"] {
        put(forged);
        assert_eq!(bench.found(1).await, None);
        refused += 1;
    }
    assert_eq!(bench.lookups(), [0, 0, refused, 0]);
    put(&genuine);
    assert_eq!(bench.found(1).await, expected(1));
    assert!(bench.cache.is_reachable());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_share_a_key_do_not_get_each_others_entry() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    bench.fill(1..2).await;
    let mut bytes = sealed(1).as_bytes().to_vec();
    bytes[16] ^= 1;
    let alike = Sealed::from_bytes(&bytes).unwrap();
    assert_eq!(bench.cache.relationships(&alike).await, None);
    assert_eq!(bench.lookups(), [0, 0, 1, 0]);
    assert_eq!(bench.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_made_with_another_key_is_refused() {
    let server = Server::start();
    let ours = Bench::start(&options(&server.url())).await;
    ours.fill(1..2).await;
    let theirs = Bench::begin(&options(&server.url()), &MasterKey::generate().unwrap());
    let again = Bench::begin(&options(&server.url()), &KEY);
    theirs.comes_back().await;
    again.comes_back().await;
    assert_eq!(theirs.found(1).await, None);
    assert_eq!(theirs.lookups(), [0, 0, 1, 0]);
    assert_eq!(again.found(1).await, expected(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_at_all_is_refused_and_redis_is_still_asked() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    let mut redis = server.connection();
    redis.rpush::<_, _, ()>(customer_key(1), "a list").unwrap();
    assert_eq!(bench.found(1).await, None);
    assert_eq!(bench.lookups(), [0, 0, 1, 0]);
    assert!(bench.cache.is_reachable());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_expire() {
    let server = Server::start();
    let bench = Bench::start(&options(&server.url())).await;
    bench.fill(1..2).await;
    let left: i64 = server.connection().ttl(customer_key(1)).unwrap();
    assert!((500..=600).contains(&left), "{left}");
}

//! A Redis that is emptied, killed, frozen or badly set up: an error, never an empty answer.

use crate::bench::{
    Answer, Bench, LOOKUP_TIMEOUT, Readers, Store, account_key, connect, held, kar, marker, puts, rows,
    sought, sought_account, state,
};
use crate::redis_server::RedisServer;
use kundeforhold::domain::overview::HeldRelationship;
use kundeforhold::domain::relationship::Role;
use kundeforhold::index::layout::SetState;
use kundeforhold::index::lease::Claim;
use kundeforhold::index::{Index, IndexError};
use std::time::{Duration, Instant};

/// What the machine may take on top of a timeout, since it is shared.
const SLACK: Duration = Duration::from_millis(500);

/// An index of one customer's rows.
async fn built() -> (Index, RedisServer, Vec<HeldRelationship>) {
    let bench = Bench::redis();
    bench.complete().await;
    let rows = rows(1, 0..30, Role::Owner);
    bench.load(kar(0), 1, &rows).await;
    let Store::Redis(server) = bench.store else {
        unreachable!()
    };
    (bench.index, server, held(kar(0), &rows))
}

fn whole_or_refused(
    expected: Vec<HeldRelationship>,
) -> impl Fn(Answer) -> &'static str + Clone + Send + 'static {
    move |answer| match answer {
        Ok(found) if found == expected => "whole",
        Ok(found) if found.is_empty() => "empty",
        Ok(_) => "part",
        Err(IndexError::NotBuilt) => "not built",
        Err(_) => "another error",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_emptied_in_the_middle_of_lookups_is_refused_until_it_is_complete() {
    let (index, server, expected) = built().await;
    let another = Index::Redis(connect(&server));
    let readers =
        [&index, &another].map(|index| Readers::start(index, 1, whole_or_refused(expected.clone())));
    for build in 2..22 {
        redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
        for index in [&index, &another] {
            assert_eq!(
                index.find_relationships(&sought(1)).await,
                Err(IndexError::NotBuilt)
            );
            assert_eq!(
                index.find_accounts(&sought_account(account_key(1, 1))).await,
                Err(IndexError::NotBuilt)
            );
            assert_eq!(
                index.find_in_set(kar(0), &sought(1)).await,
                Err(IndexError::NotBuilt)
            );
        }
        for readers in &readers {
            readers.see("not built").await;
        }
        // As a rebuild does it, row by row.
        index.clear().await.unwrap();
        for row in rows(1, 0..30, Role::Owner) {
            index.write(kar(0), 1, puts(&[row]), None).await.unwrap();
        }
        index.write(kar(0), 1, Vec::new(), Some(state(1))).await.unwrap();
        assert_eq!(
            index.find_relationships(&sought(1)).await,
            Err(IndexError::NotBuilt)
        );
        index.complete(marker(build)).await.unwrap();
        for readers in &readers {
            readers.see("whole").await;
        }
        assert_eq!(index.find_relationships(&sought(1)).await.unwrap().len(), 30);
    }
    for readers in readers {
        assert_eq!(readers.stop().await, ["not built", "whole"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_written_when_another_instance_began_a_build_is_not_vouched_for() {
    let (index, server, _) = built().await;
    let another = Index::Redis(connect(&server));
    another.refresh().await.unwrap();
    let begun = SetState {
        vouched: another.lineup(),
        ..state(2)
    };
    let rows = rows(1, 0..30, Role::Owner);
    another.write(kar(0), 2, puts(&rows[..15]), None).await.unwrap();
    index.clear().await.unwrap();
    let rest = puts(&rows[15..]);
    another.write(kar(0), 2, rest, Some(begun)).await.unwrap();
    index.complete(marker(2)).await.unwrap();
    for index in [&index, &another] {
        assert!(!index.refresh().await.unwrap().is_vouched());
    }
    let whole = SetState {
        vouched: another.lineup(),
        ..state(3)
    };
    another.write(kar(0), 3, puts(&rows), Some(whole)).await.unwrap();
    for index in [&index, &another] {
        assert!(index.refresh().await.unwrap().is_vouched());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_is_an_error_in_time_and_one_that_comes_back_empty_is_not_built() {
    let (index, mut server, expected) = built().await;
    server.kill();
    for _ in 0..20 {
        let asked = Instant::now();
        let answer = index.find_relationships(&sought(1)).await;
        assert!(
            matches!(answer, Err(IndexError::TimedOut | IndexError::Unavailable(_))),
            "{answer:?}"
        );
        assert!(asked.elapsed() < LOOKUP_TIMEOUT + SLACK, "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    server.start_again();
    let restarted = Instant::now();
    loop {
        match index.find_relationships(&sought(1)).await {
            Err(IndexError::NotBuilt) => break,
            Err(IndexError::TimedOut | IndexError::Unavailable(_)) => {
                assert!(
                    restarted.elapsed() < Duration::from_secs(10),
                    "the connection does not come back"
                );
            }
            answer => panic!("{answer:?}"),
        }
    }
    index.clear().await.unwrap();
    let rows = puts(&rows(1, 0..30, Role::Owner));
    index.write(kar(0), 1, rows, Some(state(1))).await.unwrap();
    assert_eq!(
        index.find_relationships(&sought(1)).await,
        Err(IndexError::NotBuilt)
    );
    index.complete(marker(2)).await.unwrap();
    let found = index.find_relationships(&sought(1)).await.unwrap();
    assert_eq!(crate::bench::sorted(found), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_keeps_no_lookup_waiting_beyond_its_time_however_many_there_are() {
    let (index, server, expected) = built().await;
    server.freeze();
    for pause in [Duration::ZERO, Duration::from_millis(400)] {
        // The second time the state has grown old, and all lookups want it read anew.
        tokio::time::sleep(pause).await;
        let lookups = (0..20).map(|_| {
            let index = index.clone();
            tokio::spawn(async move {
                let asked = Instant::now();
                (index.find_relationships(&sought(1)).await, asked.elapsed())
            })
        });
        for lookup in lookups.collect::<Vec<_>>() {
            let (answer, took) = lookup.await.unwrap();
            assert!(
                matches!(answer, Err(IndexError::TimedOut | IndexError::Unavailable(_))),
                "{answer:?}"
            );
            assert!(took < LOOKUP_TIMEOUT + SLACK, "{took:?}");
        }
    }
    server.thaw();
    let thawed = Instant::now();
    let found = loop {
        match index.find_relationships(&sought(1)).await {
            Ok(found) => break found,
            Err(cause) => assert!(thawed.elapsed() < Duration::from_secs(10), "{cause}"),
        }
    };
    assert_eq!(crate::bench::sorted(found), expected);
}

#[tokio::test]
async fn a_redis_that_may_evict_is_unfit_and_told_what_to_change() {
    let server = RedisServer::start();
    let engine = connect(&server);
    engine.check_fitness().await.unwrap();
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory-policy").arg(policy);
        set.exec(&mut server.connection()).unwrap();
        let Err(IndexError::Unfit(told)) = engine.check_fitness().await else {
            panic!("{policy} is accepted");
        };
        assert!(
            told.contains(policy) && told.contains("`maxmemory-policy noeviction`"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_an_error_in_time() {
    let mut server = RedisServer::start();
    server.kill();
    let asked = Instant::now();
    let engine = connect(&server);
    assert!(matches!(
        engine.check_fitness().await,
        Err(IndexError::TimedOut | IndexError::Unavailable(_))
    ));
    let answer = Index::Redis(engine).find_relationships(&sought(1)).await;
    assert!(
        matches!(answer, Err(IndexError::TimedOut | IndexError::Unavailable(_))),
        "{answer:?}"
    );
    assert!(asked.elapsed() < 2 * (LOOKUP_TIMEOUT + SLACK));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_taken_many_times_at_once_is_one_lease() {
    let (index, _server, _) = built().await;
    index.hold_leases_as(uuid::Uuid::new_v4(), Duration::from_secs(60));
    let claim = Claim::from(kar(0));
    let taking = (0..50).map(|_| {
        let index = index.clone();
        tokio::spawn(async move { index.keep(claim).await.unwrap().unwrap() })
    });
    let fences = futures_util::future::join_all(taking).await;
    let held = index.fence(claim).unwrap();
    assert!(
        fences.iter().all(|fence| *fence.as_ref().unwrap() == held),
        "{fences:?}"
    );
}

//! What several instances on one database do.

use crate::commit_proxy::{CommitProxy, Cut};
use crate::deliveries::{
    WAIT, begin, begun, call, change, customer, finds, kar, kfr, publish, record, records, registration,
    standing_records, whole_set,
};
use crate::place::{Place, at, key, on_postgres};
use crate::postgres::Database;
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState, PublicationId};
use kundeforhold::record::{ChainChoice, KeyRing, RecordPlace, Recorder, RecorderOptions};
use kundeforhold::store::{DeliveryEnd, RowWrite, Store, StoreError};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

#[test]
fn what_one_publishes_is_in_the_next_answer_of_the_other() {
    on_postgres(async |place| {
        let (one, other) = (place.open(), place.open());
        whole_set(&one, kar(), &records(0..10)).await;
        let found = other.relationships(&customer(1).into()).await.unwrap();
        assert_eq!(found.held.len(), 1);
        assert!(
            found.sets.standing(kar()).loaded,
            "the coverage is of the same moment"
        );
        let at = found.at.unwrap();
        assert!(stands(&one, at, 1) && stands(&other, at, 1));
        // As it is known before, and as it is found to be before it is given.
        let [gone, kept] = [1, 2].map(|n| other.holding(at, &customer(n).into()).unwrap());
        change(&one, kar(), vec![RowWrite::End(record(1, 1))]).await;
        let confirmed = block_in_place(|| other.confirm(&[&gone, &kept, &gone]));
        assert_eq!(confirmed.unwrap(), [false, true, false]);
        assert!(!stands(&other, at, 1) && stands(&other, at, 2));
        assert!(!finds(&other, &record(1, 1)));
        // And the other way round, over and over.
        for n in 100..140 {
            let (acting, asked) = if n % 2 == 0 {
                (&one, &other)
            } else {
                (&other, &one)
            };
            change(acting, kar(), vec![RowWrite::Insert(record(n, n))]).await;
            assert!(finds(asked, &record(n, n)));
            let (known, last) = (asked.sets(), acting.sets());
            assert_eq!(known, last);
        }
    });
}

#[test]
fn one_delivery_a_set_is_received_and_one_writes_it_over_all_of_them() {
    on_postgres(async |place| {
        let (one, other) = (place.open(), place.open());
        let id = begin(&one, kar(), DeliveryKind::WholeSet).await;
        let lock = other.lock(kar(), WAIT).await.unwrap();
        assert_eq!(lock.begin(begun(kar(), DeliveryKind::Changes)).await, Ok(Err(id)));
        let lock = one.lock(kar(), WAIT).await.unwrap();
        let refused = other.lock(kar(), Duration::from_millis(50)).await.err();
        assert_eq!(refused, Some(StoreError::SetBusy));
        assert!(other.lock(kfr(), WAIT).await.is_ok());
        drop(lock);
        // Whoever began it, any of them publishes or ends it, and only once.
        publish(&other, kar(), id, &records(0..10)).await.unwrap();
        let again = publish(&one, kar(), id, &records(0..20)).await;
        assert_eq!(again.err(), Some(StoreError::NotReceiving));
        assert_eq!(standing_records(&one, kar()).await, records(0..10));
    });
}

#[test]
fn a_delivery_of_an_instance_that_has_ended_gives_way_and_one_that_is_received_does_not() {
    on_postgres(async |place| {
        let (ended, alive, looks) = (place.open(), place.open(), place.open());
        whole_set(&ended, kfr(), &records(0..5)).await;
        let lost = begin(&ended, kfr(), DeliveryKind::WholeSet).await;
        call(&ended, kfr(), Vec::new(), vec![registration(7)]).await;
        let received = begin(&alive, kar(), DeliveryKind::WholeSet).await;
        ended.close();
        let since = Instant::now();
        let state = async |id| looks.receipt(kar().bank, id).await.unwrap().unwrap().state;
        while state(lost).await == DeliveryState::Receiving {
            assert!(since.elapsed() < Duration::from_secs(15));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(since.elapsed() >= Duration::from_secs(9), "{:?}", since.elapsed());
        let receipt = looks.receipt(kfr().bank, lost).await.unwrap().unwrap();
        assert_eq!(receipt.state, DeliveryState::Abandoned);
        assert!(
            receipt
                .reason
                .is_some_and(|reason| reason.contains("deliver it again"))
        );
        assert_eq!(place.count("pending_calls"), 0);
        // One that comes too late finds that it is over.
        let reason = "too late".to_owned();
        let end = looks.end_delivery(lost, DeliveryEnd::Abandoned { reason }).await;
        assert_eq!(end.err(), Some(StoreError::NotReceiving));
        assert_eq!(state(received).await, DeliveryState::Receiving);
        publish(&alive, kar(), received, &records(0..5)).await.unwrap();
    });
}

/// Whether what was read of a customer at a publication would be answered.
fn stands(store: &Store, at: PublicationId, n: u32) -> bool {
    let basis = store.holding(at, &customer(n).into());
    basis.is_some_and(|basis| block_in_place(|| store.confirm(&[&basis])).unwrap()[0])
}

async fn behind(place: &Place, cut: Cut) -> (Store, CommitProxy) {
    let database = place.database().unwrap();
    // Made before anything is cut off.
    drop(place.open());
    let proxy = CommitProxy::start(database.address(), cut).await;
    let url = database
        .url()
        .replace(&database.address(), &format!("127.0.0.1:{}", proxy.port));
    (place.open_at(&url).unwrap(), proxy)
}

/// How many commits are cut off, of each kind.
fn cuts() -> u32 {
    std::env::var("CUT_COMMITS").map_or(20, |text| text.parse().unwrap())
}

#[test]
fn what_was_committed_is_told_so_even_if_the_answer_is_lost() {
    on_postgres(async |place| {
        let (store, proxy) = behind(&place, Cut::After).await;
        proxy.cut_next(1);
        whole_set(&store, kar(), &records(0..10)).await;
        for n in 100..100 + cuts() {
            proxy.cut_next(1);
            let published = call(&store, kar(), vec![RowWrite::Insert(record(n, n))], Vec::new()).await;
            assert_eq!(
                published.receipt.calls.map(|(_, calls)| calls),
                Some(u64::from(n - 99))
            );
            assert_eq!(proxy.left(), 0);
            assert!(finds(&store, &record(n, n)));
        }
        assert_eq!(place.count("publications"), u64::from(cuts()) + 1);
        assert_eq!(store.sets().get(kar()).unwrap().version, u64::from(cuts()) + 1);
    });
}

#[test]
fn what_was_not_committed_is_told_so_and_never_is() {
    on_postgres(async |place| {
        let (store, proxy) = behind(&place, Cut::Before).await;
        whole_set(&store, kar(), &records(0..10)).await;
        for n in 100..100 + cuts() {
            let id = begin(&store, kar(), DeliveryKind::Changes).await;
            let lock = store.lock(kar(), WAIT).await.unwrap();
            let standing = lock.state().unwrap().standing;
            let filing = crate::deliveries::filing(id, DeliveryKind::Changes);
            let mut publication = crate::deliveries::publication(filing, standing);
            publication.writes = vec![RowWrite::Insert(record(n, n))];
            proxy.cut_next(1);
            let refused = lock.publish(publication).await.err();
            assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
            assert!(!finds(&store, &record(n, n)));
            let reason = "not committed".to_owned();
            store
                .end_delivery(id, DeliveryEnd::Abandoned { reason })
                .await
                .unwrap();
        }
        assert_eq!(store.sets().get(kar()).unwrap().version, 1);
        assert_eq!(standing_records(&store, kar()).await, records(0..10));
    });
}

#[test]
fn a_broken_connection_is_made_anew() {
    on_postgres(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        for n in 100..105 {
            place.database().unwrap().break_connections().await;
            change(&store, kar(), vec![RowWrite::Insert(record(n, n))]).await;
            assert!(finds(&store, &record(n, n)));
        }
    });
}

#[test]
fn a_running_instance_notices_that_the_database_was_put_back() {
    on_postgres(async |place| {
        let (store, database) = (place.open(), place.database().unwrap());
        whole_set(&store, kar(), &records(0..10)).await;
        let backup = database.copy().await;
        change(&store, kar(), vec![RowWrite::End(record(1, 1))]).await;
        let lost = store
            .relationships(&customer(1).into())
            .await
            .unwrap()
            .at
            .unwrap();
        assert!(stands(&store, lost, 1));
        database.put_back(&backup).await;
        let found = store.relationships(&customer(1).into()).await.unwrap();
        assert_eq!((found.held.len(), found.sets.get(kar()).unwrap().version), (1, 1));
        assert!(!stands(&store, lost, 1));
        // The same number again is another publication.
        change(&store, kar(), Vec::new()).await;
        assert_eq!(store.publications().last().unwrap().number, lost.number);
        assert!(!stands(&store, lost, 1));
    });
}

#[test]
fn who_serves_needs_no_right_but_to_rows() {
    on_postgres(async |place| {
        Database::create_by("deploy/postgres.sql").await;
        let url = |user: &str| {
            Database::named("kundeforhold")
                .url()
                .replace("kundeforhold@", &format!("{user}@"))
        };
        let serving = url("kundeforhold_service");
        let refused = place.open_unmigrated_at(&serving).err();
        assert!(
            matches!(refused, Some(StoreError::Older { found: 0, .. })),
            "{refused:?}"
        );
        drop(place.open_at(&url("kundeforhold_owner")).unwrap());
        let store = place.open_unmigrated_at(&serving).unwrap();
        whole_set(&store, kar(), &records(0..50)).await;
        whole_set(&store, kar(), &records(25..75)).await;
        assert!(finds(&store, &record(70, 70)));
        let options = RecorderOptions {
            place: RecordPlace::find(&at(&serving, false)).unwrap(),
            chain: ChainChoice::GoOn,
            confirms: None,
            timeout: Duration::from_secs(10),
        };
        let recorder = block_in_place(|| Recorder::open(KeyRing::new(&key(1), &[]), &options)).unwrap();
        assert!(recorder.probe().await, "it adds to the record of use");
        recorder.close().await;
        let client = Database::connect_to(&serving).await;
        for forbidden in [
            "DROP TABLE sets",
            "ALTER TABLE sets ADD x integer",
            "CREATE TABLE x (y integer)",
            "TRUNCATE publications",
            "UPDATE record.entries SET hash = ''",
            "DELETE FROM record.entries",
            "UPDATE record.heads SET at = 0",
            "TRUNCATE record.heads",
        ] {
            assert!(client.batch_execute(forbidden).await.is_err(), "{forbidden}");
        }
    });
}

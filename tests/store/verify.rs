//! What is wrong with rows is found, each kind of damage by its name; what is right is not.

use crate::deliveries::{
    begin, call, change, kar, kfr, merge, other_terms, record, records, registration, today, whole_set, write,
};
use crate::place::{Engine, Place, on_sqlite, ring};
use kundeforhold::copying::{Pace, Scratch, copy};
use kundeforhold::domain::delivery::{DeliveryKind, FaultCode, LineFault, Reject};
use kundeforhold::domain::relationship::SetId;
use kundeforhold::store::{
    DeliveryEnd, Fault, Held, Kept, RowWrite, StoreError, Summary, Verification, facts, repair_counts, verify,
};
use rusqlite::Connection;

/// As the command does it.
pub fn verified(place: &Place) -> Verification {
    let scratch = Scratch::take(&place.scratch(), 0).unwrap();
    let copy = copy(&place.path(), &scratch, "copy.sqlite", &mut Pace::new(10_000)).unwrap();
    let mut read = 0;
    let found = verify(&copy, today(), scratch.directory(), &mut |rows| read += rows).unwrap();
    let rows = "SELECT count(*) FROM relationships";
    let rows: u64 = Connection::open(&copy)
        .unwrap()
        .query_row(rows, [], |row| row.get(0))
        .unwrap();
    assert_eq!(read, rows);
    found
}

/// The faults by set, and in how many rows.
fn faults(place: &Place) -> Vec<(Option<SetId>, Fault, u64)> {
    let findings = verified(place).findings;
    findings
        .iter()
        .map(|found| (found.set, found.fault, found.rows))
        .collect()
}

/// A register with whole sets, changes, calls that are kept, rejected lines and an upload under way, closed.
async fn filled(place: &Place) {
    let store = place.open();
    whole_set(&store, kar(), &records(0..300)).await;
    whole_set(&store, kar(), &records(100..400)).await;
    change(
        &store,
        kar(),
        vec![RowWrite::Replace(other_terms(&record(200, 200)))],
    )
    .await;
    whole_set(&store, kfr(), &records(350..360)).await;
    let refused = begin(&store, kar(), DeliveryKind::Changes).await;
    let rejects = vec![Reject {
        line: 7,
        faults: vec![LineFault {
            code: FaultCode::InvalidDate,
            parameter: "fromDate".to_owned(),
            reason: "is no date".to_owned(),
        }],
    }];
    let end = DeliveryEnd::Rejected {
        reason: "a line is at fault".to_owned(),
        summary: Summary::default(),
        rejects,
        idempotency: None,
    };
    store.end_delivery(refused, end).await.unwrap();
    begin(&store, kfr(), DeliveryKind::WholeSet).await;
    call(&store, kfr(), vec![], vec![registration(1)]).await;
    store.close();
}

#[test]
fn a_register_that_is_right_has_no_fault_while_it_is_written_and_after() {
    on_sqlite(async |place| {
        filled(&place).await;
        assert_eq!(faults(&place), []);
        // A version is being written, which nobody sees.
        let store = place.open();
        let merging = write(
            store.lock(kar(), crate::deliveries::WAIT).await.unwrap(),
            &records(150..500),
        );
        assert_eq!(faults(&place), []);
        drop(merging.unwrap());
        assert_eq!(faults(&place), []);
        let mut amid = merge(&store, kar()).await;
        tokio::task::block_in_place(|| {
            let (mut next, many) = (0, records(1_000..4_000));
            amid.replace(|| {
                next += 1;
                Ok::<_, StoreError>(many.get(next - 1).cloned())
            })
        })
        .unwrap();
        assert_eq!(faults(&place), [], "accounts are not pointed to yet");
        drop(amid);
        store.sweep().await.unwrap();
        assert_eq!(faults(&place), []);
        let nothing = chrono::TimeDelta::seconds(-10);
        let kept = Kept {
            rollback: nothing,
            receipts: nothing,
            rejects: nothing,
            publications: nothing,
        };
        tokio::task::block_in_place(|| store.purge(&kept, &store.judge_clock().unwrap())).unwrap();
        assert_eq!(faults(&place), []);
        let found = verified(&place);
        let kar = found.sets.iter().find(|counts| counts.set == kar()).unwrap();
        assert_eq!((kar.counted.records, kar.counted.running), (300, 300));
        assert_eq!(kar.stored, kar.counted);
    });
}

/// What is done to the file, and what is found then.
struct Damage {
    sql: &'static str,
    set: Option<SetId>,
    fault: Fault,
    rows: u64,
}

fn damage(sql: &'static str, set: Option<SetId>, fault: Fault) -> Damage {
    Damage {
        sql,
        set,
        fault,
        rows: 1,
    }
}

fn of_records() -> Vec<Damage> {
    let kar = Some(kar());
    const ONE: &str =
        "(subject, set_id, agreement, from_day, since) = (SELECT subject, set_id, agreement, from_day, since
         FROM relationships WHERE set_id = 1 AND until IS NULL AND since = 1 LIMIT 1)";
    let update = |set: &str| format!("UPDATE relationships SET {set} WHERE {ONE}").leak() as &'static str;
    vec![
        damage(
            update("terms = 0"),
            kar,
            Fault::Record("the format version of a row"),
        ),
        damage(
            update("terms = terms | 48"),
            kar,
            Fault::Record("a kind of agreement"),
        ),
        damage(update("terms = 'x'"), kar, Fault::Record("a column")),
        damage(update("to_day = from_day - 1"), kar, Fault::Record("an interval")),
        damage(update("from_day = 99999999"), kar, Fault::Record("a day")),
        damage(update("since = 0"), kar, Fault::Versions),
        damage(update("until = since"), kar, Fault::Versions),
        damage(update("until = 99"), kar, Fault::Beyond),
        damage(update("set_id = 77"), None, Fault::NoSet),
        damage(update("key = 1"), kar, Fault::OtherKey),
        damage("UPDATE sets SET key = 1 WHERE id = 1", kar, Fault::Set("a key")),
        Damage {
            sql: "INSERT INTO relationships (subject, set_id, agreement, from_day, since, terms, key)
                  SELECT subject, set_id, agreement, from_day, 2, terms, key FROM relationships
                  WHERE set_id = 1 AND until IS NULL AND since = 1",
            set: kar,
            fault: Fault::Twice,
            rows: 199,
        },
        damage(
            "INSERT INTO relationships (subject, set_id, agreement, from_day, since, terms, key)
             SELECT subject, set_id, agreement, from_day + 1, 1, terms, key FROM relationships
             WHERE set_id = 1 AND until IS NULL AND since = 1 LIMIT 1",
            kar,
            Fault::Records,
        ),
        damage(
            "DELETE FROM accounts WHERE tag = (SELECT min(tag) FROM accounts WHERE set_id = 1)",
            kar,
            Fault::NoPointer,
        ),
        damage(
            "DELETE FROM accounts WHERE tag = (SELECT max(tag) FROM accounts WHERE set_id = 1)",
            kar,
            Fault::NoPointer,
        ),
        damage(
            "INSERT INTO accounts VALUES (x'0102030405060708', 1, x'01', 0)",
            kar,
            Fault::Pointer,
        ),
        damage(
            "INSERT INTO accounts VALUES (x'ffffffffffffffff', 1, x'01', 0)",
            kar,
            Fault::Pointer,
        ),
        damage(
            "INSERT INTO accounts VALUES (x'0102', 1, x'01', 0)",
            kar,
            Fault::PointerShape,
        ),
    ]
}

fn of_the_ledger() -> Vec<Damage> {
    let (kar, kfr) = (Some(kar()), Some(kfr()));
    vec![
        damage(
            "UPDATE sets SET records = records + 1 WHERE id = 1",
            kar,
            Fault::Records,
        ),
        damage(
            "UPDATE sets SET kept_from = 99 WHERE id = 1",
            None,
            Fault::Set("an oldest version beyond its version"),
        ),
        damage(
            "UPDATE sets SET bank = 5 WHERE id = 1",
            None,
            Fault::Set("a bank"),
        ),
        damage(
            "UPDATE sets SET whole_set = zeroblob(16) WHERE id = 1",
            kar,
            Fault::WholeSet,
        ),
        damage(
            "UPDATE deliveries SET kind = 9 WHERE state = 2",
            kar,
            Fault::Receipt("a kind of delivery"),
        ),
        damage(
            "UPDATE deliveries SET state = 9 WHERE state = 2",
            kar,
            Fault::Receipt("a state of delivery"),
        ),
        damage(
            "UPDATE deliveries SET version = 99 WHERE state = 5",
            kar,
            Fault::Receipt("a version"),
        ),
        damage(
            "UPDATE deliveries SET published_at = NULL WHERE state = 5",
            kar,
            Fault::Receipt("a publication"),
        ),
        damage(
            "UPDATE deliveries SET before = '{' WHERE state = 5",
            kar,
            Fault::Receipt("a set before it"),
        ),
        damage(
            "UPDATE deliveries SET discarded = '[1]' WHERE state = 5",
            kar,
            Fault::Receipt("a list of deliveries"),
        ),
        damage("UPDATE rejects SET faults = '[]'", kar, Fault::Reject),
        damage("UPDATE rejects SET faults = 'torn'", kar, Fault::Reject),
        damage("UPDATE pending_calls SET change = x'63'", kfr, Fault::Call),
        damage("UPDATE pending_calls SET key = 1", kfr, Fault::OtherKey),
        damage("DELETE FROM publications WHERE number = 2", None, Fault::Gap),
        damage(
            "UPDATE publications SET drawn = x'01' WHERE number = 2",
            kar,
            Fault::Publication("drawn bytes"),
        ),
        damage(
            "UPDATE publications SET version = 1 WHERE number = 3",
            kar,
            Fault::Publication("a version"),
        ),
        damage(
            "UPDATE publications SET version = 99 WHERE number = 3",
            kar,
            Fault::Publication("a version"),
        ),
        damage(
            "UPDATE publications SET changed = x'01' WHERE number = 3",
            kar,
            Fault::Publication("a list of changes"),
        ),
    ]
}

fn find_each(all: impl Fn() -> Vec<Damage>) {
    for damage in all() {
        on_sqlite(async |place| {
            filled(&place).await;
            Connection::open(place.path())
                .unwrap()
                .execute_batch(damage.sql)
                .unwrap();
            let found = faults(&place);
            let expected = (damage.set, damage.fault, damage.rows);
            assert!(found.contains(&expected), "{}: {found:?}", damage.sql);
            // Names nobody, whatever is found.
            let told: Vec<String> = verified(&place)
                .findings
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(told.iter().all(|told| told.len() < 120), "{told:?}");
        });
    }
}

#[test]
fn each_kind_of_damage_to_records_is_found() {
    find_each(of_records);
}

#[test]
fn each_kind_of_damage_to_sets_receipts_and_publications_is_found() {
    find_each(of_the_ledger);
}

#[test]
fn a_damaged_page_is_found_and_the_other_tables_are_read_all_the_same() {
    on_sqlite(async |place| {
        filled(&place).await;
        let mut bytes = std::fs::read(place.path()).unwrap();
        let page_of = "SELECT rootpage FROM sqlite_schema WHERE name = 'relationships'";
        let page: usize = Connection::open(place.path())
            .unwrap()
            .query_row(page_of, [], |row| row.get(0))
            .unwrap();
        bytes[(page - 1) * 4_096..][..16].fill(0xff);
        std::fs::write(place.path(), bytes).unwrap();
        let found: Vec<Fault> = verified_loosely(&place)
            .findings
            .iter()
            .map(|found| found.fault)
            .collect();
        assert!(found.contains(&Fault::Pages), "{found:?}");
        assert!(found.contains(&Fault::Unreadable("relationships")), "{found:?}");
        assert!(!found.contains(&Fault::Unreadable("deliveries")), "{found:?}");
    });
}

/// Where not even rows can be counted.
fn verified_loosely(place: &Place) -> Verification {
    let scratch = Scratch::take(&place.scratch(), 0).unwrap();
    let copy = copy(&place.path(), &scratch, "copy.sqlite", &mut Pace::new(10_000)).unwrap();
    verify(&copy, today(), scratch.directory(), &mut |_| {}).unwrap()
}

#[test]
fn counts_are_written_anew_where_nobody_serves_and_the_set_is_as_it_was_counted() {
    on_sqlite(async |place| {
        filled(&place).await;
        let file = Connection::open(place.path()).unwrap();
        file.execute_batch("UPDATE sets SET records = 7, running = 9 WHERE id = 1")
            .unwrap();
        drop(file);
        let found = verified(&place);
        assert!(found.only_counts_are_wrong() && !found.findings.is_empty());
        let store = place.open();
        assert!(matches!(Held::take(&place.path()), Err(StoreError::InUse(_))));
        whole_set(&store, kfr(), &records(0..5)).await;
        store.close();
        drop(store);
        let held = Held::take(&place.path()).unwrap();
        assert!(matches!(
            place.open_with(ring(1, None)),
            Err(StoreError::InUse(_))
        ));
        assert_eq!(repair_counts(&held, &found.sets), Ok(1));
        assert_eq!(repair_counts(&held, &found.sets), Ok(0), "it has changed since");
        drop(held);
        assert_eq!(faults(&place), []);
        let standing = place.open().sets().get(kar()).unwrap().standing.clone();
        assert_eq!((standing.records, standing.running), (300, 300));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_is_is_told_and_another_key_is_refused() {
    let place = Place::new(Engine::Sqlite);
    place.open().close();
    let told = facts(&place.path(), &ring(1, None)).unwrap();
    assert_eq!(
        (told.schema, told.keys),
        (1, vec![ring(1, None).present().fingerprint()])
    );
    assert_eq!(facts(&place.path(), &ring(2, None)), Err(StoreError::OtherKey));
}

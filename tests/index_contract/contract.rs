//! What lookups, deliveries and rebuilds rely on.

use crate::bench::{
    Bench, account_key, customer_key, deletes, held, kar, kfr, marker, puts, row, rows, sorted, sought,
    sought_account, state,
};
use kundeforhold::domain::relationship::Role;
use kundeforhold::index::IndexError;
use kundeforhold::index::layout::{RowWrite, SetState};

pub async fn rows_are_invisible_until_their_generation_answers(bench: Bench) {
    bench.complete().await;
    let (former, coming) = (rows(1, 0..3, Role::Owner), rows(1, 2..7, Role::Other));
    bench.index.write(kar(0), 4, puts(&former), None).await.unwrap();
    assert_eq!(bench.found(1).await, []);
    bench.load(kar(0), 4, &[]).await;
    bench.index.write(kar(0), 9, puts(&coming), None).await.unwrap();
    assert_eq!(bench.found(1).await, held(kar(0), &former));
    assert_eq!(
        bench
            .index
            .find_accounts(&sought_account(account_key(1, 6)))
            .await
            .unwrap(),
        []
    );
    bench.load(kar(0), 9, &[]).await;
    assert_eq!(bench.found(1).await, held(kar(0), &coming));
    assert_eq!(
        bench
            .index
            .find_accounts(&sought_account(account_key(1, 0)))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        bench
            .index
            .find_accounts(&sought_account(account_key(1, 6)))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(bench.found(2).await, [], "a customer of no bank");
}

pub async fn sets_are_switched_one_by_one(bench: Bench) {
    bench.complete().await;
    let (kar_rows, kfr_rows) = (rows(1, 0..2, Role::Owner), rows(1, 5..6, Role::Unknown));
    bench.load(kar(0), 1, &kar_rows).await;
    bench.load(kfr(0), 1, &kfr_rows).await;
    bench.load(kar(2), 1, &kar_rows).await;
    bench.load(kar(0), 2, &[]).await;
    let expected = [held(kfr(0), &kfr_rows), held(kar(2), &kar_rows)].concat();
    assert_eq!(bench.found(1).await, sorted(expected));
    let in_kfr = bench.index.find_in_set(kfr(0), &sought(1)).await.unwrap();
    assert_eq!(in_kfr, held(kfr(0), &kfr_rows));
    assert_eq!(bench.index.find_in_set(kar(0), &sought(1)).await.unwrap(), []);
}

pub async fn writes_sent_twice_change_nothing(bench: Bench) {
    bench.complete().await;
    bench.load(kar(0), 1, &rows(1, 0..10, Role::Owner)).await;
    let mut writes = deletes(&rows(1, 0..4, Role::Owner));
    writes.extend(puts(&rows(1, 8..12, Role::Other)));
    writes.extend(puts(&rows(2, 0..3, Role::Unknown)));
    let write = || bench.index.write(kar(0), 1, writes.clone(), Some(state(1)));
    write().await.unwrap();
    let once = (bench.scanned().await, bench.found(1).await);
    write().await.unwrap();
    assert_eq!((bench.scanned().await, bench.found(1).await), once);
    let standing = [rows(1, 4..8, Role::Owner), rows(1, 8..12, Role::Other)].concat();
    assert_eq!(once.1, held(kar(0), &standing));
}

pub async fn the_last_of_several_writes_of_a_row_stands(bench: Bench) {
    bench.complete().await;
    let (owner, other) = (row(1, 1, Role::Owner), row(1, 1, Role::Other));
    let (gone, back) = (row(1, 2, Role::Owner), row(1, 3, Role::Owner));
    let writes = vec![
        RowWrite::Put(owner),
        RowWrite::Put(other),
        RowWrite::Put(gone),
        RowWrite::Delete(gone),
        RowWrite::Delete(back),
        RowWrite::Put(back),
    ];
    bench
        .index
        .write(kar(0), 1, writes, Some(state(1)))
        .await
        .unwrap();
    assert_eq!(bench.found(1).await, held(kar(0), &[other, back]));
}

pub async fn removing_a_retired_generation_leaves_the_current_one(bench: Bench) {
    bench.complete().await;
    let (former, current) = (rows(1, 0..5, Role::Owner), rows(1, 3..8, Role::Other));
    bench.load(kar(0), 2, &current).await;
    let only_current = bench.scanned().await;
    bench.load(kar(0), 1, &former).await;
    bench.load(kar(0), 2, &[]).await;
    bench
        .index
        .write(kar(0), 1, deletes(&former), None)
        .await
        .unwrap();
    assert_eq!(bench.scanned().await, only_current);
    assert_eq!(bench.found(1).await, held(kar(0), &current));
    for shared in 3..5 {
        assert_eq!(
            bench
                .index
                .find_accounts(&sought_account(account_key(1, shared)))
                .await
                .unwrap()
                .len(),
            1
        );
    }
}

/// Every kind of lookup, and what it answered.
async fn lookups(bench: &Bench) -> [Result<usize, IndexError>; 3] {
    let (index, customer) = (&bench.index, sought(1));
    [
        index.find_relationships(&customer).await.map(|found| found.len()),
        index
            .find_in_set(kar(0), &customer)
            .await
            .map(|found| found.len()),
        index
            .find_accounts(&sought_account(account_key(1, 0)))
            .await
            .map(|found| found.len()),
    ]
}

pub async fn an_index_that_is_not_complete_refuses_every_lookup(bench: Bench) {
    let refused = || [const { Err(IndexError::NotBuilt) }; 3];
    assert_eq!(lookups(&bench).await, refused());
    bench.load(kar(0), 1, &rows(1, 0..2, Role::Owner)).await;
    assert_eq!(lookups(&bench).await, refused());
    let bench = bench.reopened();
    assert_eq!(lookups(&bench).await, refused());
    bench.complete().await;
    assert_eq!(lookups(&bench).await, [Ok(2), Ok(2), Ok(1)]);
}

pub async fn a_cleared_index_refuses_until_it_is_complete_and_holds_nothing(bench: Bench) {
    bench.complete().await;
    for customer in 0..300 {
        bench
            .index
            .write(kar(0), 1, puts(&rows(customer, 0..3, Role::Owner)), None)
            .await
            .unwrap();
    }
    bench.load(kar(0), 1, &[]).await;
    assert_eq!(lookups(&bench).await, [Ok(3), Ok(3), Ok(1)]);
    bench.index.clear().await.unwrap();
    assert_eq!(lookups(&bench).await, [const { Err(IndexError::NotBuilt) }; 3]);
    assert_eq!(bench.scanned().await, Vec::<String>::new());
    assert!(bench.index.state().sets.is_empty());
    bench.index.complete(marker(2)).await.unwrap();
    assert_eq!(lookups(&bench).await, [Ok(0), Ok(0), Ok(0)]);
    bench.load(kar(0), 1, &rows(1, 0..2, Role::Owner)).await;
    assert_eq!(lookups(&bench).await, [Ok(2), Ok(2), Ok(1)]);
}

pub async fn rows_states_and_marker_survive_reopening(bench: Bench) {
    bench.complete().await;
    let (of_kar, of_kfr) = (rows(1, 0..4, Role::Owner), rows(1, 7..9, Role::Unknown));
    bench.load(kar(0), 3, &of_kar).await;
    let retiring = SetState {
        retired: vec![0, 2],
        position: 11,
        ..state(9)
    };
    bench
        .index
        .write(kfr(1), 9, puts(&of_kfr), Some(retiring.clone()))
        .await
        .unwrap();
    let before = bench.scanned().await;
    let bench = bench.reopened();
    let state = bench.index.refresh().await.unwrap();
    assert_eq!(state.marker, Some(marker(1)));
    assert_eq!(state.sets.len(), 2);
    assert_eq!(state.sets[&kar(0)], crate::bench::state(3));
    assert_eq!(state.sets[&kfr(1)], retiring);
    assert_eq!(bench.scanned().await, before);
    let expected = [held(kar(0), &of_kar), held(kfr(1), &of_kfr)].concat();
    assert_eq!(bench.found(1).await, sorted(expected));
}

pub async fn a_scan_shows_every_row_once(bench: Bench) {
    let mut expected = Vec::new();
    for (set, generation, customers) in [(kar(0), 1, 0..700), (kar(0), 2, 0..9), (kfr(2), 7, 500..900)] {
        let rows: Vec<_> = customers
            .flat_map(|customer| rows(customer, 0..3, Role::Owner))
            .collect();
        bench
            .index
            .write(set, generation, puts(&rows), None)
            .await
            .unwrap();
        for row in rows {
            let found = kundeforhold::index::layout::FoundRow {
                set,
                generation,
                agreement: row.agreement,
                relationship: row.relationship,
            };
            let account = kundeforhold::index::layout::FoundAccount {
                set,
                generation,
                interval: row.relationship.interval(),
            };
            expected.push(format!("{:?} {found:?}", row.customer));
            expected.push(format!("{:?} {account:?}", row.account.unwrap()));
        }
    }
    expected.sort();
    assert_eq!(bench.scanned().await, expected);
}

pub async fn rows_of_keeps_order_and_duplicates(bench: Bench) {
    bench.load(kar(0), 5, &rows(1, 0..2, Role::Owner)).await;
    bench.load(kar(0), 5, &rows(2, 4..7, Role::Other)).await;
    bench.load(kar(1), 5, &rows(2, 8..9, Role::Other)).await;
    bench
        .index
        .write(kar(0), 6, puts(&rows(2, 9..10, Role::Other)), None)
        .await
        .unwrap();
    let asked = [2, 1, 3, 2].map(customer_key);
    let found = bench.index.rows_of(kar(0), 5, &asked).await.unwrap();
    let expected = |customer, agreements, role| {
        let rows = rows(customer, agreements, role);
        rows.iter()
            .map(|row| (row.agreement, row.relationship))
            .collect::<Vec<_>>()
    };
    let (first, second) = (expected(1, 0..2, Role::Owner), expected(2, 4..7, Role::Other));
    let found: Vec<_> = found
        .into_iter()
        .map(|mut rows| {
            rows.sort();
            rows
        })
        .collect();
    assert_eq!(found, [second.clone(), first, vec![], second]);
    assert_eq!(bench.index.rows_of(kar(0), 5, &[]).await.unwrap().len(), 0);
}

pub async fn rows_of_thousands_of_customers_are_each_their_own(bench: Bench) {
    let customers = 2_500_u64;
    let all: Vec<_> = (0..customers)
        .map(|customer| row(customer, customer % 97, Role::Owner))
        .collect();
    bench.load(kar(0), 1, &all).await;
    let asked: Vec<_> = (0..customers).rev().map(customer_key).collect();
    let found = bench.index.rows_of(kar(0), 1, &asked).await.unwrap();
    let expected: Vec<_> = all
        .iter()
        .rev()
        .map(|row| vec![(row.agreement, row.relationship)])
        .collect();
    assert!(found == expected);
}

pub async fn another_instance_follows_a_switch_once_it_has_settled(bench: Bench) {
    bench.complete().await;
    let other = bench.another_instance();
    for generation in 1..4 {
        let rows = rows(1, 0..u64::from(generation), Role::Owner);
        bench.load(kar(0), generation, &rows).await;
        bench.index.settle().await;
        let found = other.find_relationships(&sought(1)).await.unwrap();
        assert_eq!(sorted(found), held(kar(0), &rows));
    }
}

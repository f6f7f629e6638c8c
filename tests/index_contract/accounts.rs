//! Accounts, many of which share a bucket in Redis.

use crate::bench::{Bench, kar, kfr, puts, row, sought_account, state};
use kundeforhold::domain::relationship::Role;
use kundeforhold::index::layout::{Row, RowWrite};
use kundeforhold::pseudonym::AccountKey;
use std::collections::BTreeSet;

fn with_account(row: Row, account: [u8; 10]) -> Row {
    let account = Some(AccountKey(account));
    Row { account, ..row }
}

/// Accounts that differ in their first, third or last bytes only: same bucket, next bucket, other group.
fn neighbours() -> Vec<[u8; 10]> {
    let mut all = Vec::new();
    for (group, third) in [(1, 0x00), (1, 0x3f), (1, 0x40), (1, 0xff), (2, 0x00)] {
        for last in 0..100 {
            all.push([group, 9, third, 0, 0, 0, 0, 0, 0, last]);
        }
    }
    all
}

pub async fn accounts_are_found_under_their_own_number_only(bench: Bench) {
    bench.complete().await;
    let accounts = neighbours();
    let row_of = |at: usize| with_account(row(at as u64, at as u64, Role::Owner), accounts[at]);
    let rows: Vec<Row> = (0..accounts.len()).map(row_of).collect();
    bench.load(kar(0), 1, &rows).await;
    for (at, account) in accounts.iter().enumerate() {
        let found = bench
            .index
            .find_accounts(&sought_account(AccountKey(*account)))
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{account:?}");
        assert_eq!(found[0].interval, rows[at].relationship.interval());
        assert_eq!(found[0].bank, kar(0).bank);
    }
    let absent = AccountKey([1, 9, 0x3f, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(
        bench.index.find_accounts(&sought_account(absent)).await.unwrap(),
        []
    );
}

pub async fn an_account_is_followed_from_bank_to_bank(bench: Bench) {
    bench.complete().await;
    let shared = [7; 10];
    let (first, second) = (row(1, 1, Role::Owner), row(2, 2, Role::Other));
    bench
        .load(
            kar(0),
            1,
            &[with_account(first, shared), with_account(second, shared)],
        )
        .await;
    bench
        .load(kar(2), 4, &[with_account(row(1, 3, Role::Owner), shared)])
        .await;
    bench
        .load(kfr(2), 5, &[with_account(row(9, 4, Role::Owner), shared)])
        .await;
    bench
        .index
        .write(kar(1), 8, puts(&[with_account(first, shared)]), None)
        .await
        .unwrap();
    let found = bench
        .index
        .find_accounts(&sought_account(AccountKey(shared)))
        .await
        .unwrap();
    let found: BTreeSet<_> = found.iter().map(|held| (held.bank, held.interval)).collect();
    let days = |agreement| row(0, agreement, Role::Owner).relationship.interval();
    let expected = [
        (kar(0).bank, days(1)),
        (kar(0).bank, days(2)),
        (kar(2).bank, days(3)),
        (kar(2).bank, days(4)),
    ];
    assert_eq!(found, BTreeSet::from(expected));
}

pub async fn a_deleted_row_takes_its_account_with_it(bench: Bench) {
    bench.complete().await;
    let (owner, other) = (row(1, 1, Role::Owner), row(2, 1, Role::Other));
    let shared = [with_account(owner, [7; 10]), with_account(other, [7; 10])];
    bench.load(kar(0), 1, &shared).await;
    bench
        .index
        .write(kar(0), 1, vec![RowWrite::Delete(shared[0])], Some(state(1)))
        .await
        .unwrap();
    assert_eq!(
        bench
            .index
            .find_accounts(&sought_account(AccountKey([7; 10])))
            .await
            .unwrap()
            .len(),
        1
    );
    bench
        .index
        .write(kar(0), 1, vec![RowWrite::Delete(shared[1])], Some(state(1)))
        .await
        .unwrap();
    assert_eq!(
        bench
            .index
            .find_accounts(&sought_account(AccountKey([7; 10])))
            .await
            .unwrap(),
        []
    );
    assert_eq!(bench.scanned().await, Vec::<String>::new());
}

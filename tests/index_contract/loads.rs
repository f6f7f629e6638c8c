//! Whole sets on their way in, and on their way out.

use crate::bench::{
    Bench, KEY, Readers, account_key, customer_key, deletes, held, kar, kfr, puts, row, rows, sorted,
    sought_account, state,
};
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::relationship::{Register, Role, SetId};
use kundeforhold::index::layout::{Generation, Row, RowWrite, SetState};
use kundeforhold::index::{Expected, Index, IndexError, Removal};
use kundeforhold::pseudonym::Sought;

const BANKS: usize = 120;

/// Loads rows in chunks, as replay does, without switching to them.
async fn load_beside(index: &Index, set: SetId, generation: Generation, rows: &[Row], expected: Expected) {
    let mut load = index.begin_load(set, generation, expected).await.unwrap();
    for chunk in rows.chunks(20_000) {
        load = load.write(chunk.to_vec()).await.unwrap();
    }
    load.finish().await.unwrap();
}

async fn switch(index: &Index, set: SetId, state: SetState) {
    let generation = state.generation;
    index
        .write(set, generation, Vec::new(), Some(state))
        .await
        .unwrap();
}

fn nothing_known() -> Expected {
    Expected::default()
}

/// One row for each customer, in the order of the index.
fn in_order(customers: std::ops::Range<u64>, role: Role) -> Vec<Row> {
    let mut rows: Vec<Row> = customers.map(|customer| row(customer, 1, role)).collect();
    rows.sort();
    rows
}

pub async fn a_set_that_was_loaded_answers_as_if_it_were_written(bench: Bench) {
    bench.complete().await;
    let mut rows = in_order(0..70_000, Role::Owner);
    // Out of order, and the last of an identity stands.
    rows.push(row(3, 9, Role::Other));
    rows.push(row(5, 1, Role::Unknown));
    load_beside(&bench.index, kar(0), 7, &rows, nothing_known()).await;
    assert_eq!(bench.found(3).await, [], "not before the switch");
    switch(&bench.index, kar(0), state(7)).await;
    let bench = bench.reopened();
    for customer in [0, 1, 2, 4, 39_999, 69_999] {
        let expected = held(kar(0), &[row(customer, 1, Role::Owner)]);
        assert_eq!(bench.found(customer).await, expected);
        let by_account = bench
            .index
            .find_accounts(&sought_account(account_key(customer, 1)))
            .await
            .unwrap();
        assert_eq!(by_account.len(), 1);
    }
    let two = [row(3, 1, Role::Owner), row(3, 9, Role::Other)];
    assert_eq!(bench.found(3).await, held(kar(0), &two));
    assert_eq!(bench.found(5).await, held(kar(0), &[row(5, 1, Role::Unknown)]));
    assert_eq!(bench.scanned().await.len(), 2 * 70_001);
    let changes = [deletes(&two[..1]), puts(&[row(90_000, 1, Role::Owner)])].concat();
    bench.index.write(kar(0), 7, changes, None).await.unwrap();
    assert_eq!(bench.found(3).await, held(kar(0), &two[1..]));
    assert_eq!(
        bench.found(90_000).await,
        held(kar(0), &[row(90_000, 1, Role::Owner)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_was_cut_off_never_answers_and_leaves_nothing_to_the_next() {
    let bench = Bench::embedded();
    bench.complete().await;
    let retiring = SetState {
        retired: vec![1],
        ..state(2)
    };
    bench.load(kar(0), 1, &rows(1, 0..1, Role::Owner)).await;
    bench.load(kar(0), 2, &rows(1, 1..3, Role::Owner)).await;
    switch(&bench.index, kar(0), retiring).await;
    bench.load(kfr(0), 3, &rows(1, 7..8, Role::Unknown)).await;
    let before = bench.scanned().await;
    let cut_off = async |bench: &Bench, generation| {
        let load = bench.index.begin_load(kar(0), generation, nothing_known());
        let many = in_order(100..60_200, Role::Other);
        drop(load.await.unwrap().write(many).await.unwrap());
    };
    cut_off(&bench, 3).await;
    assert!(bench.scanned().await.len() > before.len());
    let bench = bench.reopened();
    let not_whole = bench.index.write(kar(0), 3, Vec::new(), Some(state(3))).await;
    assert_eq!(not_whole, Err(IndexError::NotBuilt));
    // What the cut off one left goes, what the state names stays.
    load_beside(&bench.index, kar(0), 3, &[], nothing_known()).await;
    assert_eq!(bench.scanned().await, before);
    cut_off(&bench, 4).await;
    let coming = rows(2, 0..2, Role::Owner);
    load_beside(&bench.index, kar(0), 5, &coming, nothing_known()).await;
    assert_eq!(bench.scanned().await.len(), before.len() + 4, "4 is gone too");
    switch(&bench.index, kar(0), state(5)).await;
    assert_eq!(bench.found(2).await, held(kar(0), &coming));
    assert_eq!(bench.found(1).await, held(kfr(0), &rows(1, 7..8, Role::Unknown)));
    assert_eq!(bench.found(100).await, []);
}

fn bank(at: usize) -> SetId {
    let numbers = (100_000_000..).filter_map(|n: u32| OrganizationNumber::parse(&n.to_string()).ok());
    SetId {
        bank: numbers.into_iter().nth(at).unwrap(),
        register: Register::Kar,
    }
}

pub async fn the_sets_of_120_banks_are_each_found(bench: Bench) {
    bench.complete().await;
    let customers = 500;
    // Each customer at two banks or three; an account wherever there is a row.
    let is_at =
        |customer: u64, at: u64| customer % 120 == at || customer % 7 == at || customer * 3 % 120 == at;
    let mut sets = Vec::new();
    for at in 0..BANKS {
        let set = bank(at);
        let mut rows: Vec<Row> = (0..customers)
            .filter(|customer| is_at(*customer, at as u64))
            .map(|customer| row(customer, at as u64, Role::Owner))
            .collect();
        rows.sort();
        load_beside(&bench.index, set, 1, &rows, nothing_known()).await;
        switch(&bench.index, set, state(1)).await;
        sets.push((set, rows));
    }
    bench.index.settle().await;
    let bench = bench.reopened();
    for customer in 0..customers {
        let of_customer = |rows: &[Row]| -> Vec<Row> {
            let theirs = rows.iter().filter(|row| row.customer == customer_key(customer));
            theirs.copied().collect()
        };
        let expected = sets.iter().flat_map(|(set, rows)| held(*set, &of_customer(rows)));
        assert_eq!(bench.found(customer).await, sorted(expected.collect()));
    }
    for (set, rows) in &sets {
        for row in rows {
            let found = bench
                .index
                .find_accounts(&sought_account(row.account.unwrap()))
                .await
                .unwrap();
            assert!(found.iter().any(|held| held.bank == set.bank), "{set}");
        }
    }
    assert_eq!(bench.found(customers).await, []);
}

/// What was acknowledged is found from then on, while filters grow, sets are loaded beside and switched to.
pub async fn what_was_written_is_found_while_sets_come_and_go(bench: Bench) {
    bench.complete().await;
    let (index, switching) = (bench.index.clone(), kar(1));
    let whole = in_order(0..5_000, Role::Owner);
    let loads = tokio::spawn(async move {
        for generation in 1..=12 {
            load_beside(&index, switching, generation, &whole, nothing_known()).await;
            switch(&index, switching, state(generation)).await;
            index.remove_generation(switching, generation - 1).await.unwrap();
        }
    });
    bench.load(kfr(0), 0, &[]).await;
    let (mut next, mut written) = (10_000, Vec::new());
    for turn in 0..150 {
        let several = if turn % 50 == 20 { 3_000 } else { 1 };
        let rows: Vec<Row> = (next..next + several).map(|n| row(n, 2, Role::Unknown)).collect();
        next += several;
        bench.index.write(kfr(0), 0, puts(&rows), None).await.unwrap();
        for row in rows.iter().step_by(101) {
            let found = bench
                .index
                .find_relationships(&Sought::new([(KEY, row.customer)]))
                .await
                .unwrap();
            assert_eq!(sorted(found), held(kfr(0), &[*row]));
        }
        written.extend(rows);
    }
    loads.await.unwrap();
    bench.index.settle().await;
    let bench = bench.reopened();
    for row in &written {
        let found = bench
            .index
            .find_relationships(&Sought::new([(KEY, row.customer)]))
            .await
            .unwrap();
        assert_eq!(sorted(found), held(kfr(0), &[*row]));
        let found = bench
            .index
            .find_accounts(&sought_account(row.account.unwrap()))
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
    }
    for customer in 0..5_000 {
        let expected = held(switching, &[row(customer, 1, Role::Owner)]);
        assert_eq!(bench.found(customer).await, expected);
    }
}

/// Tables are dropped at once, under more readers than there are cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn an_embedded_generation_may_be_dropped_under_readers() {
    let bench = Bench::embedded();
    bench.complete().await;
    let generation_rows = |generation: u32| match generation.is_multiple_of(2) {
        true => rows(1, 0..5, Role::Owner),
        false => rows(1, 0..5, Role::Other),
    };
    bench.load(kar(0), 0, &generation_rows(0)).await;
    let (even, odd) = (
        held(kar(0), &generation_rows(0)),
        held(kar(0), &generation_rows(1)),
    );
    let name = move |answer: crate::bench::Answer| match answer {
        Ok(found) if found == even => "even",
        Ok(found) if found == odd => "odd",
        Ok(_) => "mixed",
        Err(_) => "error",
    };
    let readers = [(); 4].map(|()| Readers::start(&bench.index, 1, name.clone()));
    for readers in &readers {
        readers.see("even").await;
    }
    for generation in 1..=100 {
        load_beside(
            &bench.index,
            kar(0),
            generation,
            &generation_rows(generation),
            nothing_known(),
        )
        .await;
        switch(&bench.index, kar(0), state(generation)).await;
        let removed = bench.index.remove_generation(kar(0), generation - 1).await;
        assert_eq!(removed, Ok(Removal::Done));
        for readers in &readers {
            readers.see("odd").await;
        }
    }
    for readers in readers {
        assert_eq!(readers.stop().await, ["even", "odd"]);
    }
    assert_eq!(bench.scanned().await.len(), 2 * 5);
}

#[tokio::test]
async fn an_embedded_generation_that_answers_is_not_removed() {
    let bench = Bench::embedded();
    bench.complete().await;
    let rows = rows(1, 0..2, Role::Owner);
    bench.load(kar(0), 1, &rows).await;
    bench.index.remove_generation(kar(0), 1).await.unwrap();
    assert_eq!(bench.found(1).await, held(kar(0), &rows));
    let writes: Vec<RowWrite> = deletes(&rows);
    bench.index.write(kar(0), 1, writes, None).await.unwrap();
    assert_eq!(bench.found(1).await, []);
}

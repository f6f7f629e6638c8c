//! Rows of two pseudonym keys in one store.

use crate::bench::{
    Answer, Bench, KEY, Readers, customer_key, held, kar, kfr, marker, puts, row, rows, sorted, state,
};
use kundeforhold::domain::relationship::{Role, SetId};
use kundeforhold::index::IndexError;
use kundeforhold::index::layout::{Marker, Row, SetState, Side};
use kundeforhold::pseudonym::{CustomerKey, KeyFingerprint, Sought};

const NEXT: KeyFingerprint = *b"next key";
/// One customer, as the two keys name it.
const UNDER_PRESENT: u64 = 1;
const UNDER_NEXT: u64 = 5;

fn customer() -> Sought<CustomerKey> {
    Sought::new([
        (KEY, customer_key(UNDER_PRESENT)),
        (NEXT, customer_key(UNDER_NEXT)),
    ])
}

fn of_key(key: KeyFingerprint) -> Marker {
    Marker { key, ..marker(1) }
}

/// Puts rows into the first generation of the other side, which nothing is answered from yet.
async fn load_beside(bench: &Bench, set: SetId, rows: &[Row]) {
    let generation = Side::Second.generation(1).unwrap();
    let state = SetState {
        key: NEXT,
        position: 1,
        ..state(generation)
    };
    let loaded = bench.index.write(set, generation, puts(rows), Some(state));
    loaded.await.unwrap();
}

struct Loaded {
    present: Vec<Row>,
    next: Vec<Row>,
}

async fn load_both(bench: &Bench) -> Loaded {
    let loaded = Loaded {
        present: rows(UNDER_PRESENT, 0..30, Role::Owner),
        next: rows(UNDER_NEXT, 0..30, Role::Other),
    };
    bench.complete().await;
    bench.load(kar(0), 1, &loaded.present).await;
    bench
        .load(kfr(1), 1, &[row(UNDER_PRESENT, 40, Role::Owner)])
        .await;
    load_beside(bench, kar(0), &loaded.next).await;
    load_beside(bench, kfr(1), &[row(UNDER_NEXT, 40, Role::Other)]).await;
    loaded
}

fn answers(loaded: &Loaded) -> impl Fn(Answer) -> &'static str + Clone + Send + 'static {
    let whole = |rows: &[Row], customer, role| {
        sorted([held(kar(0), rows), held(kfr(1), &[row(customer, 40, role)])].concat())
    };
    let present = whole(&loaded.present, UNDER_PRESENT, Role::Owner);
    let next = whole(&loaded.next, UNDER_NEXT, Role::Other);
    move |answer| match answer {
        Ok(found) if found == present => "present",
        Ok(found) if found == next => "next",
        Ok(_) => "mixed",
        Err(_) => "error",
    }
}

pub async fn another_key_answers_by_one_switch(bench: Bench) {
    let loaded = load_both(&bench).await;
    let readers = [bench.index.clone(), bench.another_instance()]
        .map(|index| Readers::of(&index, customer(), answers(&loaded)));
    for readers in &readers {
        readers.see("present").await;
    }
    for turn in 0..40 {
        let key = if turn % 2 == 0 { NEXT } else { KEY };
        bench.index.answer_by(of_key(key)).await.unwrap();
        if turn % 10 == 0 {
            bench.index.settle().await;
        }
    }
    bench.index.answer_by(of_key(NEXT)).await.unwrap();
    for readers in readers {
        readers.see("next").await;
        assert_eq!(readers.stop().await, ["next", "present"]);
    }
    bench.index.settle().await;
    for index in [bench.index.clone(), bench.another_instance()] {
        let found = index.find_relationships(&customer()).await.map(sorted);
        assert_eq!(answers(&loaded)(found), "next", "once it has settled");
        let state = index.refresh().await.unwrap();
        assert_eq!(state.sets[&kar(0)].key, NEXT);
        assert_eq!(state.others[&kar(0)].key, KEY);
    }
}

pub async fn a_side_is_removed_and_the_other_stays(bench: Bench) {
    let loaded = load_both(&bench).await;
    let before = bench.scanned().await.len();
    bench.index.answer_by(of_key(NEXT)).await.unwrap();
    bench.index.settle().await;
    let readers = Readers::of(&bench.index, customer(), answers(&loaded));
    readers.see("next").await;
    bench.index.remove_side(Side::First).await.unwrap();
    assert_eq!(readers.stop().await, ["next"]);
    assert_eq!(bench.scanned().await.len(), before / 2);
    let state = bench.index.refresh().await.unwrap();
    assert!(state.others.is_empty());
    assert_eq!(state.sets.len(), 2);
    let bench = bench.reopened();
    let found = bench.index.find_relationships(&customer()).await.map(sorted);
    assert_eq!(answers(&loaded)(found), "next");
}

pub async fn another_key_cannot_answer_from_a_store_that_was_emptied_or_built_anew(bench: Bench) {
    load_both(&bench).await;
    bench.index.clear().await.unwrap();
    let refused = bench.index.answer_by(of_key(NEXT)).await;
    assert_eq!(refused, Err(IndexError::NotBuilt));
    bench.index.complete(marker(2)).await.unwrap();
    let refused = bench.index.answer_by(of_key(NEXT)).await;
    assert_eq!(refused, Err(IndexError::NotBuilt));
    let state = bench.index.refresh().await.unwrap();
    assert_eq!(state.marker, Some(marker(2)));
}

//! What lookups see while the index is written.

use crate::bench::{
    Answer, Bench, LOOKUP_TIMEOUT, Readers, Store, deletes, held, kar, kfr, puts, rows, sorted,
};
use kundeforhold::domain::overview::HeldRelationship;
use kundeforhold::domain::relationship::Role;
use kundeforhold::index::layout::{Row, RowWrite};

/// Names an answer as one of two, or as what it may never be.
fn one_of(
    first: Vec<HeldRelationship>,
    second: Vec<HeldRelationship>,
) -> impl Fn(Answer) -> &'static str + Clone + Send + 'static {
    move |answer| match answer {
        Ok(found) if found == first => "first",
        Ok(found) if found == second => "second",
        Ok(_) => "mixed",
        Err(_) => "error",
    }
}

pub async fn a_switch_is_seen_wholly_or_not_at_all(bench: Bench) {
    bench.complete().await;
    let (first, second) = (rows(1, 0..40, Role::Owner), rows(1, 20..70, Role::Other));
    let beside = rows(1, 90..95, Role::Unknown);
    bench.load(kfr(1), 1, &beside).await;
    bench.load(kar(0), 1, &first).await;
    bench.index.write(kar(0), 2, puts(&second), None).await.unwrap();
    let whole = |rows: &[Row]| sorted([held(kar(0), rows), held(kfr(1), &beside)].concat());
    let readers = [bench.index.clone(), bench.another_instance()]
        .map(|index| Readers::start(&index, 1, one_of(whole(&first), whole(&second))));
    for readers in &readers {
        readers.see("first").await;
    }
    for turn in 0..150 {
        bench.load(kar(0), 1 + turn % 2, &[]).await;
        if turn % 25 == 0 {
            bench.index.settle().await;
        }
    }
    for readers in readers {
        readers.see("second").await;
        assert_eq!(readers.stop().await, ["first", "second"]);
    }
}

/// Deliveries: the next generation is loaded, switched to, and the former one removed when no lookup that
/// began before the switch is left.
pub async fn generations_come_and_go_under_lookups(bench: Bench) {
    bench.complete().await;
    let generation_rows = |generation: u32| {
        let role = if generation.is_multiple_of(2) {
            Role::Owner
        } else {
            Role::Other
        };
        rows(1, 0..200, role)
    };
    bench.load(kar(0), 0, &generation_rows(0)).await;
    let answers = one_of(
        held(kar(0), &generation_rows(0)),
        held(kar(0), &generation_rows(1)),
    );
    let readers = Readers::start(&bench.index, 1, answers);
    readers.see("first").await;
    for generation in 1..=4_u32 {
        for part in generation_rows(generation).chunks(50) {
            bench
                .index
                .write(kar(0), generation, puts(part), None)
                .await
                .unwrap();
        }
        bench.load(kar(0), generation, &[]).await;
        readers.see("second").await;
        if !matches!(bench.store, Store::Embedded(_)) {
            bench.index.settle().await;
            tokio::time::sleep(LOOKUP_TIMEOUT).await;
        }
        let former = deletes(&generation_rows(generation - 1));
        bench
            .index
            .write(kar(0), generation - 1, former, None)
            .await
            .unwrap();
    }
    assert_eq!(readers.stop().await, ["first", "second"]);
    assert_eq!(bench.scanned().await.len(), 2 * 200);
}

/// In one process nothing is waited for: what was replaced is removed at once, under more readers than there
/// are cores, so that some are held up at the worst moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn an_embedded_generation_may_be_removed_at_once() {
    let bench = Bench::embedded();
    bench.complete().await;
    let generation_rows = |generation: u32| match generation.is_multiple_of(2) {
        true => rows(1, 0..5, Role::Owner),
        false => rows(1, 0..5, Role::Other),
    };
    bench.load(kar(0), 0, &generation_rows(0)).await;
    let readers = [(); 4].map(|()| {
        let answers = one_of(
            held(kar(0), &generation_rows(0)),
            held(kar(0), &generation_rows(1)),
        );
        Readers::start(&bench.index, 1, answers)
    });
    for readers in &readers {
        readers.see("first").await;
    }
    for generation in 1..=100_u32 {
        bench.load(kar(0), generation, &generation_rows(generation)).await;
        let former = deletes(&generation_rows(generation - 1));
        bench
            .index
            .write(kar(0), generation - 1, former, None)
            .await
            .unwrap();
        for readers in &readers {
            readers.see("second").await;
        }
    }
    for readers in readers {
        assert_eq!(readers.stop().await, ["first", "second"]);
    }
}

/// Writes one and then the other, again and again, under readers.
async fn exchange(
    bench: &Bench,
    turns: usize,
    first: Vec<Row>,
    second: Vec<Row>,
    writes: [Vec<RowWrite>; 2],
) {
    bench.complete().await;
    bench.load(kar(0), 1, &first).await;
    let answers = one_of(held(kar(0), &first), held(kar(0), &second));
    let readers = Readers::start(&bench.index, 1, answers);
    readers.see("first").await;
    let [to_second, to_first] = writes;
    for _ in 0..turns {
        bench
            .index
            .write(kar(0), 1, to_second.clone(), None)
            .await
            .unwrap();
        readers.see("second").await;
        bench
            .index
            .write(kar(0), 1, to_first.clone(), None)
            .await
            .unwrap();
    }
    assert_eq!(readers.stop().await, ["first", "second"]);
}

pub async fn puts_and_deletes_of_a_customer_are_seen_together(bench: Bench) {
    let (first, second) = (rows(1, 0..5, Role::Owner), rows(1, 5..8, Role::Owner));
    let replace = |old: &[Row], new: &[Row]| {
        // Puts and deletes interleaved, with those of others between them.
        let mut writes = puts(&new[..1]);
        writes.extend(deletes(old));
        writes.extend(puts(&rows(2, 0..3, Role::Other)));
        writes.extend(puts(&new[1..]));
        writes
    };
    let writes = [replace(&first, &second), replace(&second, &first)];
    exchange(&bench, 150, first, second, writes).await;
}

pub async fn thousands_of_rows_of_a_customer_are_put_together(bench: Bench) {
    let (first, second) = (rows(1, 0..5_000, Role::Owner), rows(1, 0..5_000, Role::Other));
    let among_others = |rows_of_one: &[Row]| {
        let mut writes = puts(&rows(2, 0..700, Role::Owner));
        writes.extend(puts(rows_of_one));
        writes.extend(puts(&rows(3, 0..700, Role::Owner)));
        writes
    };
    let writes = [among_others(&second), among_others(&first)];
    exchange(&bench, 4, first, second, writes).await;
}

pub async fn thousands_of_rows_of_a_customer_are_exchanged_together(bench: Bench) {
    let (first, second) = (rows(1, 0..1_500, Role::Owner), rows(1, 1_500..3_000, Role::Owner));
    let replace = |old: &[Row], new: &[Row]| [deletes(old), puts(new)].concat();
    let writes = [replace(&first, &second), replace(&second, &first)];
    exchange(&bench, 25, first, second, writes).await;
}

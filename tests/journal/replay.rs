//! An index brought level with the journal.

use crate::bench::{
    Follower, deregister, kar, kfr, new_journal, open, publish, publish_whole, put, register, relationship,
};
use kundeforhold::domain::relationship::Role;
use kundeforhold::journal::{Kind, SetChange};
use kundeforhold::register::replay;
use std::fs;

fn owner(customer: u64, from: u64) -> SetChange {
    put(customer, 1, relationship(Role::Owner, from, None))
}

fn unknown(customer: u64, from: u64, to: Option<u64>) -> SetChange {
    put(customer, 0, relationship(Role::Unknown, from, to))
}

#[tokio::test]
async fn an_empty_index_becomes_level_with_the_journal() {
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kar(0), &[owner(1, 0), owner(2, 0)]).await;
    publish(
        &journal,
        kfr(0),
        Kind::Calls,
        &[register(1, 3, 5), register(2, 5, 5)],
    )
    .await;
    publish_whole(&journal, kar(0), &[owner(1, 4)]).await;
    publish(&journal, kfr(0), Kind::Calls, &[deregister(2, 6, 7)]).await;
    publish(&journal, kfr(2), Kind::Calls, &[]).await;
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    let follower = Follower::built_from(&journal).await;
    assert_eq!(
        follower.standing(kar(0), 1).await,
        [relationship(Role::Owner, 4, None)]
    );
    assert_eq!(follower.standing(kar(0), 2).await, []);
    assert_eq!(
        follower.standing(kfr(0), 1).await,
        [relationship(Role::Unknown, 3, None)]
    );
    assert_eq!(
        follower.standing(kfr(0), 2).await,
        [relationship(Role::Unknown, 5, Some(6))]
    );
    let state = follower.index.state();
    assert_eq!(
        (state.sets[&kar(0)].generation, state.sets[&kar(0)].position),
        (2, 2)
    );
    assert_eq!(
        (state.sets[&kfr(0)].generation, state.sets[&kfr(0)].position),
        (0, 2)
    );
    assert_eq!(
        (state.sets[&kfr(2)].generation, state.sets[&kfr(2)].position),
        (0, 1),
        "nothing new is news"
    );
    assert_eq!(state.marker, None, "only a rebuild says that the index is whole");
    let rows = follower.rows().await;
    follower.catch_up(&journal).await;
    assert_eq!(follower.rows().await, rows);
}

#[tokio::test]
async fn calls_made_while_a_whole_set_is_received_hold_in_the_new_set_and_earlier_ones_do_not() {
    let (_directory, journal) = new_journal().await;
    let follower = Follower::new();
    publish(
        &journal,
        kfr(0),
        Kind::Calls,
        &[register(1, 2, 2), register(2, 2, 2)],
    )
    .await;
    let carries_after = journal.position(kfr(0));
    publish(
        &journal,
        kfr(0),
        Kind::Calls,
        &[register(3, 1, 4), deregister(4, 3, 4)],
    )
    .await;
    publish(&journal, kfr(0), Kind::Calls, &[register(5, 2, 5)]).await;
    follower.catch_up(&journal).await;
    let whole = [
        unknown(2, 0, None),
        unknown(4, 0, None),
        unknown(5, 3, None),
        unknown(6, 0, Some(1)),
    ];
    publish(&journal, kfr(0), Kind::WholeSet { carries_after }, &whole).await;
    let rebuilt = Follower::built_from(&journal).await;
    follower.catch_up(&journal).await;
    for follower in [follower, rebuilt] {
        let standing = async |customer| follower.standing(kfr(0), customer).await;
        let unknown = |from, to| relationship(Role::Unknown, from, to);
        assert_eq!(standing(1).await, [], "registered before, not in the set");
        assert_eq!(standing(2).await, [unknown(0, None)]);
        assert_eq!(standing(3).await, [unknown(1, None)], "registered meanwhile");
        assert_eq!(standing(4).await, [unknown(0, Some(3))], "deregistered meanwhile");
        assert_eq!(
            standing(5).await,
            [unknown(2, None)],
            "registered meanwhile from an earlier day"
        );
        assert_eq!(standing(6).await, [unknown(0, Some(1))]);
    }
}

#[tokio::test]
async fn a_whole_set_published_while_another_is_received_is_replaced_by_it() {
    let (_directory, journal) = new_journal().await;
    let kept_up = Follower::new();
    let carries_after = journal.position(kfr(0));
    publish_whole(&journal, kfr(0), &[unknown(1, 0, None)]).await;
    publish(&journal, kfr(0), Kind::Calls, &[register(2, 3, 3)]).await;
    kept_up.catch_up(&journal).await;
    publish(
        &journal,
        kfr(0),
        Kind::WholeSet { carries_after },
        &[unknown(3, 0, None)],
    )
    .await;
    kept_up.catch_up(&journal).await;
    for follower in [kept_up, Follower::built_from(&journal).await] {
        assert_eq!(
            follower.standing(kfr(0), 1).await,
            [],
            "in the set that was replaced only"
        );
        assert_eq!(follower.standing(kfr(0), 2).await.len(), 1);
        assert_eq!(follower.standing(kfr(0), 3).await.len(), 1);
    }
}

#[tokio::test]
async fn a_publication_applied_again_after_it_was_cut_off_leaves_what_it_leaves_once() {
    let (_directory, journal) = new_journal().await;
    let follower = Follower::new();
    publish_whole(&journal, kfr(0), &[unknown(1, 4, None)]).await;
    follower.catch_up(&journal).await;
    let carries_after = journal.position(kfr(0));
    let calls = [
        vec![register(1, 2, 6), register(2, 1, 6), register(4, 1, 6)],
        vec![deregister(3, 5, 6)],
        vec![deregister(4, 2, 7)],
        vec![register(4, 3, 7)],
        vec![deregister(4, 3, 7)],
    ];
    for changes in &calls {
        publish(&journal, kfr(0), Kind::Calls, changes).await;
    }
    follower.catch_up(&journal).await;
    let whole = [
        unknown(1, 4, None),
        unknown(2, 4, None),
        unknown(3, 6, None),
        unknown(3, 0, None),
    ];
    let published = publish(&journal, kfr(0), Kind::WholeSet { carries_after }, &whole).await;
    let before = follower.index.state().sets[&kfr(0)].clone();
    follower.apply(&journal, kfr(0), &published).await;
    let once = follower.rows().await;
    for _ in 0..2 {
        // Everything was written but the switch.
        let undone = follower
            .index
            .write(kfr(0), before.generation, Vec::new(), Some(before.clone()));
        undone.await.unwrap();
        follower.apply(&journal, kfr(0), &published).await;
        assert_eq!(follower.rows().await, once);
    }
    follower.sweep(&journal).await;
    assert_eq!(
        follower.rows().await,
        Follower::built_from(&journal).await.rows().await
    );
}

#[tokio::test]
async fn a_whole_set_of_a_damaged_body_is_not_switched_to() {
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kar(0), &[owner(1, 0)]).await;
    let follower = Follower::built_from(&journal).await;
    let many: Vec<_> = (0..3_000).map(|n| owner(n, 7)).collect();
    publish_whole(&journal, kar(0), &many).await;
    let file = fs::read_dir(directory.path().join("bodies"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(replay::catch_up(&journal, &follower.index, kar(0)).await.is_err());
    assert_eq!(follower.index.state().sets[&kar(0)].generation, 1);
    assert_eq!(
        follower.standing(kar(0), 1).await,
        [relationship(Role::Owner, 0, None)]
    );
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    follower.catch_up(&journal).await;
    assert_eq!(
        follower.standing(kar(0), 1).await,
        [relationship(Role::Owner, 7, None)]
    );
}

#[tokio::test]
async fn a_delivery_of_many_chunks_is_applied_in_order() {
    let (_directory, journal) = new_journal().await;
    let count = 45_000;
    let mut changes: Vec<_> = (0..count).map(|n| register(n, 5, 9)).collect();
    // Far apart from the registrations that they change.
    changes.extend((0..count).step_by(9_000).map(|n| register(n, 2, 9)));
    changes.extend((4_500..count).step_by(9_000).map(|n| deregister(n, 7, 9)));
    publish(&journal, kfr(0), Kind::Calls, &changes).await;
    let follower = Follower::built_from(&journal).await;
    assert_eq!(follower.rows().await.len(), 45_000);
    for n in (0..count).step_by(4_500) {
        let expected = match n % 9_000 {
            0 => relationship(Role::Unknown, 2, None),
            _ => relationship(Role::Unknown, 5, Some(7)),
        };
        assert_eq!(follower.standing(kfr(0), n).await, [expected]);
    }
    assert_eq!(
        follower.standing(kfr(0), 1).await,
        [relationship(Role::Unknown, 5, None)]
    );
}

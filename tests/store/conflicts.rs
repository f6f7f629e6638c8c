//! What a delivery is refused for, and that its receipt says so before the bank is answered.

use crate::deliveries::{kfr, now, today};
use crate::model::{Change, Identity, Terms};
use crate::place::on_each_engine;
use crate::register::Bank;
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState};
use kundeforhold::domain::relationship::Role;
use kundeforhold::register::delivery::{Conflict, DeliveryRefusal, Order, Shrunk, Taking};
use kundeforhold::store::Receipt;

fn lines(customers: std::ops::Range<u16>) -> Vec<(Identity, Terms)> {
    let terms = Terms {
        role: Role::Unknown,
        to: None,
    };
    customers
        .map(|customer| ((customer, 0, today()), terms))
        .collect()
}

/// The newest receipt.
fn newest(bank: &Bank) -> Receipt {
    now(bank.store.receipts(kfr().bank, 1, None)).unwrap().remove(0)
}

#[test]
fn a_set_that_shrinks_too_much_is_refused_and_can_be_sent_again_at_once() {
    on_each_engine(async |place| {
        let bank = Bank::open(&place, 1);
        let incoming = bank.begin(bank.order(DeliveryKind::WholeSet)).await;
        bank.publish_set(incoming, &lines(0..100)).await.unwrap();
        for delivered in [0, 1, 49] {
            let order = Order {
                confirm_shrink: false,
                ..bank.order(DeliveryKind::WholeSet)
            };
            let incoming = bank.begin(order).await;
            let refused = bank.publish_set(incoming, &lines(0..delivered)).await;
            let Err(DeliveryRefusal::Conflict(conflict)) = refused else {
                panic!("{refused:?}");
            };
            let shrunk = Conflict::Shrink {
                of: Shrunk::Running,
                present: 100,
                delivered: delivered.into(),
            };
            assert_eq!(conflict, shrunk);
            let receipt = newest(&bank);
            assert_eq!(receipt.state, DeliveryState::Abandoned);
            assert_eq!(receipt.reason, Some(conflict.to_string()));
        }
        assert_eq!(bank.store.sets().standing(kfr()).records, 100);
        let incoming = bank.begin(bank.order(DeliveryKind::WholeSet)).await;
        bank.publish_set(incoming, &[]).await.unwrap();
        assert_eq!(bank.store.sets().standing(kfr()).records, 0);
    });
}

#[test]
fn numbers_of_changes_have_no_gap_and_are_consumed_by_what_is_published() {
    on_each_engine(async |place| {
        let bank = Bank::open(&place, 1);
        for (number, expected) in [(2, 1), (1, 1), (1, 2), (3, 2), (2, 2)] {
            let order = Order {
                sequence: Some(number),
                ..bank.order(DeliveryKind::Changes)
            };
            let incoming = bank.begin(order).await;
            let taken = bank.delivery.publish_changes(incoming, [0; 32]).await;
            match taken {
                Ok(receipt) => assert_eq!((receipt.summary.sequence, number), (Some(number), expected)),
                Err(DeliveryRefusal::Conflict(conflict)) => {
                    assert_eq!(conflict, Conflict::Sequence { expected });
                    assert_eq!(newest(&bank).state, DeliveryState::Abandoned);
                }
                Err(refused) => panic!("{refused:?}"),
            }
        }
        assert_eq!(bank.store.sets().get(kfr()).unwrap().sequence, 2);
        assert!(!bank.store.sets().standing(kfr()).loaded);
    });
}

#[test]
fn a_key_gives_the_first_receipt_again_even_while_another_delivery_is_received() {
    on_each_engine(async |place| {
        let bank = Bank::open(&place, 1);
        let order = |key| Order {
            idempotency: Some([key; 32]),
            ..bank.order(DeliveryKind::Changes)
        };
        let incoming = bank.begin(order(1)).await;
        let first = bank.delivery.publish_changes(incoming, [7; 32]).await.unwrap();
        let other = bank.begin(order(2)).await;
        let Ok(Taking::Repeat(repeat)) = bank.delivery.begin(order(1), today()).await else {
            panic!("the key is bound");
        };
        assert_eq!(bank.delivery.repeat(&repeat, [7; 32]).await.unwrap(), first);
        let reused = bank.delivery.repeat(&repeat, [8; 32]).await;
        let expected = Conflict::KeyReused(first.delivery_id);
        assert!(matches!(reused, Err(DeliveryRefusal::Conflict(conflict)) if conflict == expected));
        let running = bank.delivery.begin(order(3), today()).await;
        assert!(matches!(
            running,
            Err(DeliveryRefusal::Conflict(Conflict::Running(_)))
        ));
        bank.abandon(other).await;
        // The one that was broken off binds its key to nothing.
        bank.abandon(bank.begin(order(2)).await).await;
    });
}

#[test]
fn changes_with_a_bad_line_change_nothing_and_their_receipt_tells_the_line() {
    on_each_engine(async |place| {
        let bank = Bank::open(&place, 1);
        let identity = (1, 0, today());
        let (_, terms) = lines(1..2)[0];
        let refused = bank
            .change(&[
                Change::Put(identity, terms),
                Change::End((2, 0, today()), today()),
            ])
            .await;
        let Err(DeliveryRefusal::Rejected(receipt, rejects)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(receipt.state, DeliveryState::Rejected);
        assert_eq!((receipt.summary.counts.rejected, rejects[0].line), (1, 2));
        assert_eq!(bank.store.rejects(receipt.delivery_id).await, Ok(rejects));
        assert_eq!(bank.store.sets().standing(kfr()).records, 0);
        assert_eq!(newest(&bank), *receipt);
    });
}

#[test]
fn a_delivery_that_is_given_up_can_be_sent_again_at_once() {
    on_each_engine(async |place| {
        let bank = Bank::open(&place, 1);
        for kind in [DeliveryKind::WholeSet, DeliveryKind::Changes] {
            let incoming = bank.begin(bank.order(kind)).await;
            incoming.abandon("the body is too large").await;
            let receipt = newest(&bank);
            assert_eq!((receipt.kind, receipt.state), (kind, DeliveryState::Abandoned));
            assert_eq!(receipt.reason.as_deref(), Some("the body is too large"));
        }
        // Whose connection breaks has its receipt soon.
        bank.abandon(bank.begin(bank.order(DeliveryKind::WholeSet)).await)
            .await;
        assert!(
            newest(&bank)
                .reason
                .is_some_and(|reason| reason.contains("broken off"))
        );
    });
}

//! A bank that delivers to a store as the service lets it.

use crate::deliveries::{account_number, customer_id, kfr, today};
use crate::model::{Call, Change, Identity, Outcome, Records, Terms};
use crate::place::{Place, ring};
use kundeforhold::domain::delivery::DeliveryKind;
use kundeforhold::domain::identifiers::CustomerId;
use kundeforhold::domain::relationship::{
    Agreement, AgreementId, Interval, Register, Relationship, RelationshipRecord,
};
use kundeforhold::pseudonym::Pseudonyms;
use kundeforhold::register::delivery::{
    BankCaller, Delivery, DeliveryBounds, DeliveryError, DeliveryParts, DeliveryRefusal, Discard, Incoming,
    KfrEffect, Line, Order, Space, Taking, TurnBounds, Turns,
};
use kundeforhold::register::participants::{ParticipantsInForce, parse};
use kundeforhold::register::rekey::Rekeying;
use kundeforhold::store::{Receipt, SealedRecord, Store};
use kundeforhold::workers::Workers;
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

static WORKERS: LazyLock<Workers> = LazyLock::new(|| Workers::start("test", 8).unwrap());

/// The register, opened, and a bank that delivers to its KFR set.
pub struct Bank {
    pub store: Store,
    pub delivery: Delivery,
    pub caller: BankCaller,
}

/// Does the rekey that was asked for.
pub async fn rekey(place: &Place, store: &Store) {
    let rekeying = Rekeying {
        store: store.clone(),
        workers: WORKERS.clone(),
        space: space(place),
    };
    rekeying.rekey().await.unwrap();
}

fn space(place: &Place) -> Space {
    Space {
        directory: place.scratch(),
        min_free_bytes: 0,
    }
}

fn customer(n: u16) -> CustomerId {
    customer_id(n.into())
}

fn agreement(n: u8) -> Agreement {
    match n {
        0 => Agreement::CustomerLevel,
        1 | 2 => Agreement::Account(account_number(n.into())),
        _ => Agreement::Reference(AgreementId::parse(&format!("reference {n}")).unwrap()),
    }
}

fn record(((customer_number, agreement_number, from), terms): (&Identity, &Terms)) -> RelationshipRecord {
    let interval = Interval::new(*from, terms.to).unwrap();
    let holds_funds = RelationshipRecord::holds_funds_by_default(terms.role);
    RelationshipRecord {
        customer: customer(*customer_number),
        agreement: agreement(*agreement_number),
        relationship: Relationship::new(terms.role, false, holds_funds, interval),
    }
}

/// Records as they stand in rows under a key, in their order.
pub fn sealed(records: &Records, pseudonyms: &Pseudonyms) -> Vec<SealedRecord> {
    let seal = |record: RelationshipRecord| SealedRecord {
        customer: pseudonyms.customer(&record.customer),
        agreement: pseudonyms.agreement(&record.agreement),
        relationship: record.relationship,
    };
    let mut sealed: Vec<_> = records.iter().map(|one| seal(record(one))).collect();
    sealed.sort_by(SealedRecord::cmp_identity);
    sealed
}

fn line(change: &Change) -> Line {
    let named =
        |(customer_number, agreement_number, from): &Identity| kundeforhold::register::delivery::Identity {
            customer: customer(*customer_number),
            agreement: agreement(*agreement_number),
            from: *from,
        };
    match change {
        Change::Put(identity, terms) => Line::Put(record((identity, terms))),
        Change::End(identity, to) => Line::End {
            identity: named(identity),
            to: *to,
        },
        Change::Remove(identity) => Line::Remove(named(identity)),
    }
}

fn bounds() -> DeliveryBounds {
    DeliveryBounds {
        shrink_percent: 50,
        idempotency_days: 7,
        rollback_days: 7,
        closed_years: 10,
        call_wait: Duration::from_secs(20),
        publish_timeout: Duration::from_secs(20),
    }
}

impl Bank {
    /// Opens the register of a place with the key of that number, and the one after it for a rekey.
    pub fn open(place: &Place, key_number: u8) -> Self {
        let store = place.open_with(ring(key_number, Some(key_number + 1))).unwrap();
        let participants = "[[participant]]\norganizationID = \"810059672\"\nname = \"A\"\nregisters = [\"KFR\"]\nstaleAfter = \"36h\"\n";
        let delivery = Delivery::new(DeliveryParts {
            store: store.clone(),
            participants: ParticipantsInForce::new(parse(participants).unwrap()),
            workers: WORKERS.clone(),
            turns: Turns::new(TurnBounds {
                at_once: 4,
                batches_per_bank: 2,
                wait: Duration::from_secs(20),
            }),
            scratch: place.scratch(),
            space: space(place),
            bounds: bounds(),
        });
        let caller = delivery.of_bank(kfr().bank).unwrap();
        Self {
            store,
            delivery,
            caller,
        }
    }

    /// How a delivery is to be taken.
    pub fn order(&self, kind: DeliveryKind) -> Order {
        Order {
            set: self.caller.set(Some(Register::Kfr)).unwrap(),
            kind,
            idempotency: None,
            max_rejects: 0,
            confirm_shrink: true,
            sequence: None,
            body_bytes: None,
        }
    }

    pub async fn begin(&self, order: Order) -> Incoming {
        match self.delivery.begin(order, today()).await.unwrap() {
            Taking::New(incoming) => *incoming,
            Taking::Repeat(_) => panic!("no key was used"),
        }
    }

    pub async fn publish_set(
        &self,
        incoming: Incoming,
        lines: &[(Identity, Terms)],
    ) -> Result<Receipt, DeliveryRefusal> {
        let mut block = incoming.block();
        for (number, (identity, terms)) in (1..).zip(lines) {
            block.push(number, Ok(Line::Put(record((identity, terms)))));
        }
        block.take().unwrap();
        self.delivery.publish_whole_set(incoming, [1; 32]).await
    }

    pub async fn change(&self, changes: &[Change]) -> Result<Receipt, DeliveryRefusal> {
        let incoming = self.begin(self.order(DeliveryKind::Changes)).await;
        let mut block = incoming.block();
        for (number, change) in (1..).zip(changes) {
            block.push(number, Ok(line(change)));
        }
        block.take().unwrap();
        self.delivery.publish_changes(incoming, [2; 32]).await
    }

    pub async fn call(&self, call: &Call) -> Outcome {
        let effect = match call {
            Call::Register { customer: n, .. } => {
                self.delivery
                    .add_customer(&self.caller, customer(*n), today())
                    .await
            }
            Call::Deregister { customer: n, to } => {
                self.delivery
                    .end_customer(&self.caller, customer(*n), *to, today())
                    .await
            }
        };
        match effect.unwrap() {
            KfrEffect::Added | KfrEffect::Ended => Outcome::Done,
            KfrEffect::AlreadyRunning | KfrEffect::NothingRuns => Outcome::NothingToDo,
            KfrEffect::EndsBeforeItBegan => Outcome::Refused,
        }
    }

    pub async fn batch(&self, items: &[(u16, chrono::NaiveDate)]) -> Result<Receipt, DeliveryError> {
        let turn = self.delivery.turn_for_batch(&self.caller).await.ok().unwrap();
        let batch = self.delivery.begin_batch(&self.caller, today(), turn).await?;
        let mut block = batch.block();
        for (number, (n, from)) in (1..).zip(items) {
            block.push(number, Ok(batch.register(customer(*n), *from)));
        }
        block.take().unwrap();
        Ok(self.delivery.publish_batch(batch, [3; 32]).await?.unwrap())
    }

    pub async fn roll_back(&self, delivery: Uuid) -> Result<Option<Receipt>, DeliveryRefusal> {
        self.delivery
            .roll_back(&self.caller, delivery, Discard::Anything, today())
            .await
    }

    /// What becomes of a delivery whose connection breaks.
    pub async fn abandon(&self, incoming: Incoming) {
        drop(incoming);
        self.delivery.publications().close();
        self.delivery.publications().wait().await;
        self.delivery.publications().reopen();
    }
}

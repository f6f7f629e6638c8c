//! A real instance that takes deliveries, for the tests of this module: a journal and an embedded index.

use super::{
    BankCaller, Delivery, DeliveryBounds, KfrEffect, Order, RunningDeliveries, SetLocks, Taking, TurnBounds,
    Turns,
};
use crate::chain::HeadKey;
use crate::domain::calendar::oslo_day;
use crate::domain::identifiers::{Check, CustomerId, IdentifierRules, OrganizationNumber};
use crate::domain::participants::Participants;
use crate::domain::relationship::{Register, Role, SetId};
use crate::index::Index;
use crate::index::embedded::Embedded;
use crate::index::layout::Marker;
use crate::index::owner::Floor;
use crate::journal::{self, Journal, JournalInForce, Kind, Operation, Receipt, Summary};
use crate::pseudonym::{MasterKey, PseudonymRing, Pseudonyms};
use crate::register::index_use::IndexUse;
use crate::register::participants::ParticipantsInForce;
use crate::workers::Workers;
use chrono::{DateTime, NaiveDate, Utc};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

const CACHE_BYTES: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

const BOUNDS: DeliveryBounds = DeliveryBounds {
    shrink_percent: 0,
    idempotency_days: 1,
    rollback_days: 1,
    closed_years: 10,
    min_free_bytes: 0,
};

const TURNS: TurnBounds = TurnBounds {
    at_once: 2,
    batches_per_bank: 1,
    wait: PATIENCE,
};

pub struct Instance {
    pub delivery: Delivery,
    _directory: TempDir,
}

impl Instance {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pseudonyms = Arc::new(Pseudonyms::new(&MasterKey::generate().unwrap()));
        let (place, key) = (directory.path().join("journal"), pseudonyms.fingerprint());
        let journal = Journal::open(&place, &HeadKey::new([7; 32]), key).await.unwrap();
        let delivery = Delivery {
            index: built_index(directory.path(), &journal).await,
            journal: Some(JournalInForce::new(journal)),
            keys: PseudonymRing::new([pseudonyms]),
            participants: ParticipantsInForce::new(Participants::new(Vec::new()).unwrap()),
            locks: SetLocks::default(),
            index_use: IndexUse::default(),
            floor: Floor::default(),
            publications: TaskTracker::new(),
            runtime: Handle::current(),
            publish_timeout: PATIENCE,
            running: RunningDeliveries::default(),
            turns: Turns::new(TURNS),
            workers: Workers::start("test", TURNS.at_once + 1).unwrap(),
            bounds: BOUNDS,
        };
        Self {
            delivery,
            _directory: directory,
        }
    }

    /// Delivers a whole set without a line.
    pub async fn put_empty_set(&self) -> Receipt {
        let Ok(Taking::New(incoming)) = self.delivery.begin(whole_set(), today()).await else {
            panic!("it is not taken");
        };
        let receipt = self.delivery.publish_whole_set(*incoming, [0; 32]).await;
        receipt.unwrap()
    }

    /// Registers a customer by a KFR call.
    pub async fn register(&self, number: &str) {
        let added = self
            .delivery
            .add_customer(&bank(), customer(number), today())
            .await;
        assert_eq!(added.unwrap(), KfrEffect::Added);
    }

    /// Puts something in the journal that does not come into the index.
    pub async fn journal_only(&self) {
        let (journal, id) = (self.delivery.journal().unwrap(), Uuid::now_v7());
        let nothing = journal::Delivery {
            id,
            kind: Kind::Calls,
            received_at: DateTime::UNIX_EPOCH,
            summary: Summary::default(),
            body: journal.begin_body(id).finish().unwrap(),
        };
        journal.publish(set(), nothing).await.unwrap();
    }

    /// The newest receipt of the bank, once all is filed.
    pub async fn newest_receipt(&self) -> Receipt {
        self.delivery.publications.close();
        let filed = tokio::time::timeout(PATIENCE, self.delivery.publications.wait());
        filed.await.unwrap();
        let journal = self.delivery.journal().unwrap();
        let newest = journal.receipts(set().bank)[0];
        journal.receipt(set().bank, newest).unwrap().unwrap()
    }
}

async fn built_index(directory: &Path, journal: &Journal) -> Index {
    let engine = Embedded::open(&directory.join("index.redb"), CACHE_BYTES).unwrap();
    let index = Index::Embedded(Arc::new(engine));
    let marker = Marker {
        register_id: journal.register_id(),
        key: journal.key(),
        build: 1,
    };
    index.complete(marker).await.unwrap();
    index
}

/// The only bank.
pub fn bank() -> BankCaller {
    BankCaller {
        bank: OrganizationNumber::parse("123456785").unwrap(),
        kfr_role: Role::Owner,
        registers: vec![Register::Kfr],
    }
}

/// Its only set.
pub fn set() -> SetId {
    SetId {
        bank: bank().bank,
        register: Register::Kfr,
    }
}

pub fn whole_set() -> Order {
    Order {
        set: set(),
        operation: Operation::WholeSet,
        idempotency: None,
        max_rejects: 0,
        confirm_shrink: false,
        sequence: None,
        body_bytes: None,
    }
}

pub fn customer(number: &str) -> CustomerId {
    let rules = IdentifierRules {
        check: Check::Format,
        ..IdentifierRules::SYNTHETIC
    };
    CustomerId::parse(number, &rules).unwrap()
}

pub fn today() -> NaiveDate {
    oslo_day(Utc::now())
}

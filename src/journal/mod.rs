//! The journal: what banks delivered, durable and chained. The truth that the index is a cache of.
//!
//! Every publication is one entry of a [`Chain`]; the changes of a large one are in a file of their own,
//! which the entry names by its hash. Each bank's set counts its publications from 1: its *position*.

mod backup;
mod birth;
mod bodies;
mod body;
mod catalogue;
mod change;
mod compaction;
mod copy;
mod disk;
mod entry;
mod history;
mod in_force;
mod inventory;
mod lock;
mod noted;
mod place;
mod receipt;
mod restore;
mod rewriting;
mod together;

pub use backup::{BackedUp, BackupError, back_up};
pub use body::{Body, BodyWriter, Changes};
pub use catalogue::{KeyUse, Lineage};
pub use change::{SealedIdentity, SealedRecord, SetChange};
pub use compaction::{Freed, LettingGo};
pub use copy::{Copied, resealed_change};
pub use entry::{Counts, Kind, Operation, Publication, Reject, RejectCode, Summary};
pub use in_force::JournalInForce;
pub use place::{JournalKey, JournalPlace};
pub use receipt::{Receipt, ReceiptState};
pub use restore::restore;
pub use rewriting::{KeptState, NewBody, Rewriting};
pub use together::{Elsewhere, Place, Register, Run, overtaken_from};

use crate::chain::{AppendError, Chain, HeadKey, Locator, OpenError, Options, Purpose, ReadError};
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, NotOfThisKey};
use birth::Birth;
use catalogue::Catalogue;
use chrono::{DateTime, Utc};
use entry::{Begun, Ended, Entry};
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use uuid::Uuid;

/// Deliveries up to this size are kept in their entry.
const INLINE_BODY_BYTES: usize = 64 * 1024;
/// How long an append may take before it counts as lost. Callers wait for less; the delivery goes on.
const APPEND_TIMEOUT: Duration = Duration::from_secs(3600);

/// Why the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal cannot be opened: {0}")]
    Open(#[from] OpenError),
    #[error("the journal cannot be written: {0}")]
    Append(#[from] AppendError),
    #[error("the journal cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("the journal cannot be read or written: {0}")]
    Io(std::io::Error),
    #[error("the directory of the journal {path} cannot be used: {cause}")]
    Directory { path: String, cause: std::io::Error },
    #[error("the journal holds a damaged or unknown {0}")]
    Corrupt(&'static str),
    #[error("the journal was written with another pseudonym key")]
    OtherKey,
    #[error("the body of delivery {0} was let go: nothing stood on it")]
    LetGo(Uuid),
    #[error("the journal holds a pseudonym that it cannot hold: {0}")]
    Pseudonym(#[from] NotOfThisKey),
    #[error("the copy under another pseudonym key is of another journal")]
    OtherJournal,
    #[error("the journal of this directory was replaced by another process")]
    Replaced,
    #[error("what writes the copy under another pseudonym key panicked")]
    Panicked,
}

/// Proof that a publication is durable. Only the journal makes it; switching the index and
/// acknowledging a delivery take it.
#[derive(Debug, Clone)]
pub struct Journalled {
    publication: Publication,
}

impl Journalled {
    pub fn publication(&self) -> &Publication {
        &self.publication
    }
}

/// The register's deliveries on this instance's disk.
pub struct Journal {
    chain: Chain,
    directory: PathBuf,
    bodies: PathBuf,
    birth: Birth,
    catalogue: RwLock<Catalogue>,
    /// Held by each copy under another pseudonym key.
    copies: Arc<()>,
    copy_of: Option<Arc<()>>,
}

impl Journal {
    /// Opens the journal or begins a new one, and reads what was published.
    pub async fn open(
        directory: &Path,
        head_key: &HeadKey,
        key: KeyFingerprint,
    ) -> Result<Self, JournalError> {
        Self::open_or_join(directory, head_key, key, Register::drawn()).await
    }

    /// The same; a new journal is one of a register that may have others.
    pub async fn open_or_join(
        directory: &Path,
        head_key: &HeadKey,
        key: KeyFingerprint,
        register: Register,
    ) -> Result<Self, JournalError> {
        let new = || Birth {
            register_id: register.id,
            journal_id: Uuid::new_v4(),
            key,
            rekeyings: register.rekeyings,
        };
        Self::open_or_begin(directory, head_key, key, new).await
    }

    async fn open_or_begin(
        directory: &Path,
        head_key: &HeadKey,
        key: KeyFingerprint,
        new: impl FnOnce() -> Birth,
    ) -> Result<Self, JournalError> {
        let bodies = bodies_in(directory);
        let options = Options {
            append_timeout: APPEND_TIMEOUT,
            ..Options::default()
        };
        let (chain, recovery) = Chain::open(directory, Purpose::Journal, head_key, options)?;
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&bodies);
        made.map_err(JournalError::Io)?;
        lock::BodiesLock::make(directory)?;
        if recovery.torn_bytes > 0 {
            tracing::warn!(
                torn_bytes = recovery.torn_bytes,
                "the journal's unacknowledged end was torn and is cut off"
            );
        }
        let mut birth = None;
        let mut catalogue = Catalogue::default();
        for found in chain.entries()? {
            let found = found?;
            let entry = Entry::decode(&found.payload)?;
            if let Some(born) = Birth::told_by(&entry) {
                if born.key != key {
                    return Err(JournalError::OtherKey);
                }
                birth = Some(born);
            }
            catalogue.note(&entry, found.locator)?;
        }
        catalogue.abandon_all();
        let birth = match birth {
            Some(birth) => birth,
            None => Self::begin(&chain, &mut catalogue, new()).await?,
        };
        compaction::remove_unneeded(&bodies, &catalogue)?;
        Ok(Self {
            directory: directory.to_owned(),
            chain,
            bodies,
            birth,
            catalogue: RwLock::new(catalogue),
            copies: Arc::default(),
            copy_of: None,
        })
    }

    async fn begin(chain: &Chain, catalogue: &mut Catalogue, birth: Birth) -> Result<Birth, JournalError> {
        let born = birth.entry();
        let appended = chain.append(born.encode()?).await?;
        catalogue.note(&born, appended.locator)?;
        Ok(birth)
    }

    /// The id this register was born with: ties an index to it.
    pub fn register_id(&self) -> Uuid {
        self.birth.register_id
    }

    /// Tells this journal from others of the register; stays with it in backups and under another key.
    pub fn id(&self) -> Uuid {
        self.birth.journal_id
    }

    /// The pseudonym key that it is written with.
    pub fn key(&self) -> KeyFingerprint {
        self.birth.key
    }

    /// How often the register was given another key before.
    pub fn rekeyings(&self) -> u32 {
        self.birth.rekeyings
    }

    /// Where the changes of a coming delivery are written.
    pub fn begin_body(&self, delivery: Uuid) -> BodyWriter {
        BodyWriter::new(&self.bodies, delivery, INLINE_BODY_BYTES)
    }

    /// The same for one that is a file of this name, however small it is.
    pub fn begin_body_in_file(&self, name: Uuid) -> Result<BodyWriter, JournalError> {
        BodyWriter::in_file(&self.bodies, name)
    }

    /// Where a delivery may leave what it cannot hold in memory: nothing there outlives the process.
    pub fn scratch(&self) -> &Path {
        &self.bodies
    }

    /// Files that a delivery with a receipt has begun.
    pub async fn begin_delivery(
        &self,
        set: SetId,
        delivery_id: Uuid,
        operation: Operation,
        received_at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let begun = Begun {
            bank: set.bank.as_u32(),
            register: set.register,
            delivery_id,
            operation,
            received_at,
        };
        self.append(Entry::Begun(begun)).await
    }

    /// Files that a delivery ended without being published: rejected for its lines, or broken off.
    pub async fn end_delivery(
        &self,
        set: SetId,
        delivery_id: Uuid,
        rejected: bool,
        summary: Summary,
    ) -> Result<(), JournalError> {
        let ended = Ended {
            bank: set.bank.as_u32(),
            register: set.register,
            delivery_id,
            rejected,
            summary,
        };
        self.append(Entry::Ended(ended)).await
    }

    /// Makes a delivery durable as the set's next publication. The caller is the only one to publish for the
    /// set at the time, and awaits the end: a publication is either wholly there or not at all.
    pub async fn publish(&self, set: SetId, delivery: Delivery) -> Result<Journalled, JournalError> {
        let position = self.position(set) + 1;
        self.publish_at(set, Place { position, fence: 0 }, delivery).await
    }

    /// The same at a position that other journals leave free.
    pub async fn publish_at(
        &self,
        set: SetId,
        place: Place,
        delivery: Delivery,
    ) -> Result<Journalled, JournalError> {
        if place.position <= self.position(set) {
            return Err(JournalError::Corrupt("position that is taken"));
        }
        let publication = Publication {
            bank: set.bank.as_u32(),
            register: set.register,
            position: place.position,
            fence: place.fence,
            delivery_id: delivery.id,
            kind: delivery.kind,
            received_at: delivery.received_at,
            published_at: Utc::now(),
            summary: delivery.summary,
            body: delivery.body,
        };
        self.append(Entry::Published(publication.clone())).await?;
        Ok(Journalled { publication })
    }

    async fn append(&self, entry: Entry) -> Result<(), JournalError> {
        let appended = self.chain.append(entry.encode()?).await?;
        self.note(&entry, appended.locator)
    }

    fn note(&self, entry: &Entry, locator: Locator) -> Result<(), JournalError> {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        catalogue.note(entry, locator)
    }

    /// The sets with publications.
    pub fn sets(&self) -> Vec<SetId> {
        self.catalogue().sets()
    }

    /// The position of the set's last publication, 0 without one.
    pub fn position(&self, set: SetId) -> u64 {
        self.catalogue().last_position(set)
    }

    /// The publications of a set after a position, oldest first.
    pub fn published_after(&self, set: SetId, position: u64) -> Result<Vec<Journalled>, JournalError> {
        self.published_in(set, position + 1..=u64::MAX)
    }

    /// The publications of a set with positions in a span, oldest first. Others are not read.
    pub fn published_in(
        &self,
        set: SetId,
        positions: RangeInclusive<u64>,
    ) -> Result<Vec<Journalled>, JournalError> {
        let later: Vec<Locator> = {
            let catalogue = self.catalogue();
            let listed = catalogue.listed(set).iter();
            listed
                .filter(|listed| positions.contains(&listed.position))
                .map(|listed| listed.locator)
                .collect()
        };
        later.into_iter().map(|locator| self.read(locator)).collect()
    }

    /// One publication of a set.
    pub fn published_at(&self, set: SetId, position: u64) -> Result<Journalled, JournalError> {
        let locator = self.catalogue().at(set, position).map(|listed| listed.locator);
        self.read(locator.ok_or(JournalError::Corrupt("position"))?)
    }

    fn read(&self, locator: Locator) -> Result<Journalled, JournalError> {
        match self.read_entry(locator)? {
            Entry::Published(publication) => Ok(Journalled { publication }),
            Entry::Born { .. }
            | Entry::Begun(_)
            | Entry::Ended(_)
            | Entry::LetGo(_)
            | Entry::Rewritten(_)
            | Entry::Overtaken(_)
            | Entry::Elsewhere(_) => Err(JournalError::Corrupt("publication")),
        }
    }

    fn read_entry(&self, locator: Locator) -> Result<Entry, JournalError> {
        Entry::decode(&self.chain.read(locator)?)
    }

    /// The changes of a publication, in order. Those of one that was [let go](Self::let_go) are no empty list,
    /// but an error.
    pub fn changes(&self, publication: &Publication) -> Result<Changes, JournalError> {
        let delivery = publication.delivery_id;
        loop {
            let file = self.catalogue().bodies.file_of(delivery);
            let opened = match file {
                Some(file) => Changes::open(&file.body(), &body::body_path(&self.bodies, file.name)),
                None => Changes::open(&publication.body, &body::body_path(&self.bodies, delivery)),
            };
            // Asked afterwards, since it may have gone, or been written again, this moment.
            if self.is_let_go(delivery) {
                return Err(JournalError::LetGo(delivery));
            }
            if file == self.catalogue().bodies.file_of(delivery) {
                return opened;
            }
        }
    }

    /// Flushes and ends the writer.
    pub async fn close(&self) {
        if let Err(cause) = self.chain.close().await {
            tracing::warn!(%cause, "the journal did not close cleanly");
        }
    }

    /// What is noted is noted whole, so a panic elsewhere leaves it so.
    fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that is complete and valid, about to be published.
pub struct Delivery {
    pub id: Uuid,
    pub kind: Kind,
    pub received_at: DateTime<Utc>,
    pub summary: Summary,
    pub body: Body,
}

/// Where the bodies of a journal are.
fn bodies_in(directory: &Path) -> PathBuf {
    directory.join("bodies")
}

//! Another pseudonym key for journal and index, without new deliveries, while lookups and deliveries go on.
//!
//! The journal is copied under the next key, and the rows of the copy are loaded on the other [`Side`] of the index,
//! which nothing is answered from. What is delivered meanwhile is copied after. When the two are nearly level,
//! deliveries wait for a moment: the rest is copied, the copy is put in force in one step, and the index follows the
//! journal in another. Then what is left of the former key is removed. Wherever this is cut off, the next attempt
//! goes on; between the two steps it is the keeper that lets the index follow ([`Keeper::follow_key`]).

mod next_key;
mod progress;

pub use next_key::NextKey;
pub use progress::{Amount, RekeyProgress, RekeyState};

use super::keeper::{Keeper, RETIRE_SLACK};
use super::replay::{self, ReplayError};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{IndexState, SetState, Side};
use crate::journal::{Journal, JournalError, JournalInForce, JournalPlace};
use crate::pseudonym::{KeyError, KeyFingerprint, Reseal};
use chrono::DateTime;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Other instances look for the next key this often, and this one too.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The next key answers at the earliest so long after it was found, so that all instances have it.
const LEAST_NOTICE: Duration = Duration::from_secs(5);
/// Longest wait for what is durable in the journal to be noted, while nobody delivers.
const NOTED_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether it was.
const NOTED_PAUSE: Duration = Duration::from_millis(10);
/// A round that copied no more entries than this is nearly level.
const NEARLY_LEVEL: u64 = 64;

/// Why the key is not changed yet.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("the present pseudonym key is not at hand")]
    NoPresentKey,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("several journals keep this register; its key can be changed where there is one only")]
    SeveralJournals,
    #[error("an entry of the journal is on disk and not in memory: start the service again")]
    NotNoted,
    #[error("the file of the next pseudonym key is gone or holds another one; the key in force stays")]
    NextKeyGone,
    #[error("the file of the next pseudonym key cannot be made durable: {0}")]
    NextKeyNotDurable(std::io::Error),
}

/// Changes the register's pseudonym key, on the instance that holds the journal.
pub struct Rekeying {
    keeper: Keeper,
    journal: JournalInForce,
    place: JournalPlace,
    progress: watch::Sender<RekeyProgress>,
    found: Option<(KeyFingerprint, Instant)>,
    former_since: Option<Instant>,
    /// Were in force, and may still be read: deliveries that began before leave there what they cannot hold.
    former: Vec<Arc<Journal>>,
}

impl Rekeying {
    pub fn new(keeper: Keeper, journal: JournalInForce, place: JournalPlace) -> Self {
        let progress = RekeyProgress::of(journal.load().key());
        Self {
            keeper,
            journal,
            place,
            progress: watch::Sender::new(progress),
            found: None,
            former_since: None,
            former: Vec::new(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> watch::Receiver<RekeyProgress> {
        self.progress.subscribe()
    }

    /// What keeps the index level meanwhile.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Whether the journal is of this key already.
    pub fn is_in_force(&self, next: &NextKey) -> bool {
        self.journal.load().key() == next.fingerprint()
    }

    /// Looks once, and does what is due: removes what was left behind, and changes the key to the next one.
    pub async fn look(&mut self, next: Option<&NextKey>) -> Result<(), RekeyError> {
        let looked = self.do_what_is_due(next).await;
        self.note_problem(looked.as_ref().err().map(ToString::to_string));
        looked
    }

    /// Lets the progress tell what stands in the way.
    pub fn note_problem(&self, problem: Option<String>) {
        self.progress.send_modify(|progress| progress.problem = problem);
    }

    async fn do_what_is_due(&mut self, next: Option<&NextKey>) -> Result<(), RekeyError> {
        let present = self.journal.load().key();
        let next = next.filter(|next| next.fingerprint() != present);
        self.progress
            .send_modify(|progress| progress.look(present, next.map(NextKey::fingerprint)));
        self.tidy(present, next).await?;
        let state = self.keeper.index.refresh().await?;
        if let Some(next) = next
            && answers_by(&state, present)
            && state.others.values().all(|known| known.key == next.fingerprint())
        {
            self.check_alone().await?;
            self.rekey(next).await?;
        }
        Ok(())
    }

    async fn check_alone(&self) -> Result<(), RekeyError> {
        let own = self.journal.load().id();
        match self.keeper.index.postings().await?.keys().all(|id| *id == own) {
            true => Ok(()),
            false => Err(RekeyError::SeveralJournals),
        }
    }

    /// Removes what is neither of the key in force nor of the next one: the rows after the longest lookup.
    async fn tidy(&mut self, present: KeyFingerprint, next: Option<&NextKey>) -> Result<(), RekeyError> {
        let next = next.map(NextKey::fingerprint);
        let state = self.keeper.index.refresh().await?;
        if !answers_by(&state, present) {
            return Ok(());
        }
        self.former.retain(|journal| Arc::strong_count(journal) > 1);
        if !self.former.is_empty() {
            self.progress.send_modify(RekeyProgress::removing);
            return Ok(());
        }
        let kept: Vec<KeyFingerprint> = std::iter::once(present).chain(next).collect();
        self.place.remove_others(&kept)?;
        let former = state.others.values().find(|known| Some(known.key) != next);
        let Some(side) = former.map(|known| Side::of(known.generation)) else {
            self.former_since = None;
            self.progress.send_modify(RekeyProgress::tidied);
            return Ok(());
        };
        self.progress.send_modify(RekeyProgress::removing);
        let since = *self.former_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.keeper.longest_lookup + RETIRE_SLACK {
            let started = Instant::now();
            self.keeper.index.remove_side(side).await?;
            self.former_since = None;
            self.progress.send_modify(RekeyProgress::tidied);
            let seconds = started.elapsed().as_secs_f64();
            tracing::info!(seconds, "the rows of the former pseudonym key were removed");
        }
        Ok(())
    }

    async fn rekey(&mut self, next: &NextKey) -> Result<(), RekeyError> {
        let found = match self.found {
            Some((key, at)) if key == next.fingerprint() => at,
            _ => Instant::now(),
        };
        self.found = Some((next.fingerprint(), found));
        let original = self.journal.load();
        let present = self.keeper.keys.under(original.key());
        let reseal = Reseal {
            from: present.ok_or(RekeyError::NoPresentKey)?,
            to: Arc::clone(&next.key().pseudonyms),
        };
        let copy = Arc::new(self.place.open_copy(next.key(), &reseal, &original).await?);
        tracing::info!(
            entries = original.entries(),
            copied = copy.entries(),
            "the pseudonym key is being changed; lookups and deliveries go on"
        );
        let work = Work {
            keeper: &self.keeper,
            original: &original,
            copy: &copy,
            reseal: &reseal,
            progress: &self.progress,
        };
        let done = work.bring_nearly_level().await;
        let done = match done {
            Ok(()) => {
                tokio::time::sleep(LEAST_NOTICE.saturating_sub(found.elapsed())).await;
                self.switch(work, next).await
            }
            failed => failed,
        };
        if self.journal.load().key() == original.key() {
            // What is in memory may lack what is on disk: the next attempt reads it anew.
            copy.close().await;
        } else {
            original.close().await;
            self.former.push(original);
        }
        done
    }

    /// Deliveries wait from here to the end; lookups do not.
    async fn switch(&self, work: Work<'_>, next: &NextKey) -> Result<(), RekeyError> {
        let sets_paused = self.keeper.index_use.pause_sets().await;
        work.bring_nearly_level().await?;
        let pause = self.keeper.index_use.pause(sets_paused).await?;
        let paused = Instant::now();
        self.progress.send_modify(RekeyProgress::switching);
        work.bring_level().await?;
        // Another may have come since the copying began.
        self.check_alone().await?;
        next.make_certain()?;
        let key = work.copy.key();
        let put = self.place.put_in_force(key);
        // If it stands there after all, then that is what the next start goes by.
        if let Err(cause) = put
            && self.place.current()? != Some(key)
        {
            return Err(cause.into());
        }
        work.copy.stand_as(work.original);
        self.journal.replace(Arc::clone(work.copy));
        self.keeper.follow_key(&pause).await?;
        drop(pause);
        let seconds = paused.elapsed().as_secs_f64();
        metrics::gauge!("kundeforhold_rekey_pause_seconds").set(seconds);
        tracing::info!(
            deliveries_waited_seconds = seconds,
            "the pseudonym key was changed; what is left of the former one is being removed"
        );
        self.progress.send_modify(|progress| progress.switched(key));
        Ok(())
    }
}

fn answers_by(state: &IndexState, key: KeyFingerprint) -> bool {
    state.answerable().is_some_and(|marker| marker.key == key)
}

/// A copy being made level, with its rows.
#[derive(Clone, Copy)]
struct Work<'a> {
    keeper: &'a Keeper,
    original: &'a Arc<Journal>,
    copy: &'a Arc<Journal>,
    reseal: &'a Reseal,
    progress: &'a watch::Sender<RekeyProgress>,
}

impl Work<'_> {
    async fn bring_nearly_level(&self) -> Result<(), RekeyError> {
        while self.round().await? > NEARLY_LEVEL {}
        Ok(())
    }

    /// Nobody delivers meanwhile.
    async fn bring_level(&self) -> Result<(), RekeyError> {
        let begun = Instant::now();
        loop {
            let copied = self.round().await?;
            match copied {
                0 if self.copy.entries() == self.original.entries() => return Ok(()),
                0 if begun.elapsed() > NOTED_WITHIN => return Err(RekeyError::NotNoted),
                0 => tokio::time::sleep(NOTED_PAUSE).await,
                _ => {}
            }
        }
    }

    /// Copies what the copy lacks, then loads what the index lacks of it. Gives the number of entries copied.
    async fn round(&self) -> Result<u64, RekeyError> {
        let before = self.copy.entries();
        loop {
            let (done, total) = (self.copy.entries(), self.original.entries());
            self.progress
                .send_modify(|progress| progress.copying(Amount { done, total }));
            if self.copy.copy_on(self.original, self.reseal).await?.entries == 0 {
                break;
            }
        }
        self.load().await?;
        Ok(self.copy.entries() - before)
    }

    async fn load(&self) -> Result<(), RekeyError> {
        let sets = self.copy.sets();
        self.begin_loading(&sets).await?;
        let total = sets.len() as u64;
        for (done, set) in (0..).zip(sets) {
            self.progress
                .send_modify(|progress| progress.loading(Amount { done, total }));
            let _not_thrown_away = self.keeper.index_use.load()?;
            let state = self.keeper.index.state();
            state.answerable().ok_or(IndexError::NotBuilt)?;
            let lineup = self.keeper.index.lineup();
            let level =
                |known: &SetState| known.vouched == lineup && known.position >= self.copy.position(set);
            if !state.under(self.copy.key(), set).is_some_and(level) {
                let caught_up = replay::catch_up(self.copy, &self.keeper.index, set);
                self.keeper.holding(set, caught_up).await?;
            }
        }
        let done = total;
        self.progress
            .send_modify(|progress| progress.loading(Amount { done, total }));
        Ok(())
    }

    /// The first thing that stands on the other side is a state: whoever finds rows there later finds whose they are.
    async fn begin_loading(&self, sets: &[SetId]) -> Result<(), RekeyError> {
        let state = self.keeper.index.state();
        let (true, Some(first)) = (state.others.is_empty(), sets.first()) else {
            return Ok(());
        };
        let generation = replay::generation_at(self.copy, 0)?;
        let index = &self.keeper.index;
        let begun = SetState {
            key: self.copy.key(),
            generation,
            position: 0,
            journal: self.copy.id(),
            fence: 0,
            sequence: 0,
            running: 0,
            gap: false,
            vouched: index.lineup(),
            last_delivery: DateTime::UNIX_EPOCH,
            retired: Vec::new(),
        };
        let writing = index.write(*first, generation, Vec::new(), Some(begun));
        Ok(self.keeper.holding(*first, writing).await?)
    }
}

//! What the table needs beside entries, on a thread of its own: its log brought into the file, and full batches
//! indexed.

use super::engine::{Care, Reader, RecordPlace};
use super::fault::RecordFault;
use super::heads::{Chain, Chains};
use super::index::{Batch, BatchId};
use super::keys::KeyRing;
use super::read::understand;
use super::walk::Walk;
use super::writer::{Command, Progress};
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often it is looked what there is to do.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Added to the niceness of the thread: answers go first.
const NICENESS: i32 = 10;

/// The thread, until it is closed.
pub(super) struct Upkeep {
    end: Arc<(Mutex<bool>, Condvar)>,
    ended: watch::Receiver<bool>,
}

impl Upkeep {
    pub(super) fn start(work: UpkeepWork) -> std::io::Result<Self> {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let (told, (tell, ended)) = (Arc::clone(&end), watch::channel(false));
        let thread = std::thread::Builder::new().name("record-upkeep".to_owned());
        thread.spawn(move || {
            work.run(&told);
            tell.send_replace(true);
        })?;
        Ok(Self { end, ended })
    }

    /// Waits for what it is at.
    pub(super) async fn close(&self) {
        self.tell();
        if self.ended.clone().wait_for(|ended| *ended).await.is_err() {
            tracing::error!("the thread of the record's upkeep ended in a defect");
        }
    }

    fn tell(&self) {
        *self.end.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.1.notify_all();
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.tell();
    }
}

pub(super) struct UpkeepWork {
    pub(super) place: RecordPlace,
    pub(super) care: Care,
    pub(super) ring: Arc<KeyRing>,
    pub(super) queue: mpsc::Sender<Command>,
    pub(super) progress: Arc<Progress>,
}

impl UpkeepWork {
    fn run(mut self, (ended, changed): &(Mutex<bool>, Condvar)) {
        // Refused by the system, it works at the usual priority.
        let _ = rustix::process::nice(NICENESS);
        let (mut indexer, mut failed) = (None, false);
        loop {
            let waited = ended.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(waited, LOOK_EVERY, |ended| !*ended);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            let cared = self
                .care
                .look(self.progress.now().own.number)
                .map_err(RecordFault::from);
            let is_ended = || *ended.lock().unwrap_or_else(PoisonError::into_inner);
            let indexed = cared.and_then(|()| self.index(&mut indexer, &is_ended));
            if let Err(cause) = &indexed
                && !failed
            {
                tracing::error!(%cause, event = "record_upkeep_failed", "the record of use cannot be tidied; it is tried again");
            }
            failed = indexed.is_err();
            if failed {
                indexer = None;
            }
        }
    }

    /// Indexes the batches that are full, one after the other.
    fn index(&mut self, kept: &mut Option<Indexer>, is_ended: &dyn Fn() -> bool) -> Result<(), RecordFault> {
        let reached = self.progress.now();
        let indexer = match kept.take_if(|kept| kept.ends[0].0 == reached.own.number) {
            Some(indexer) => kept.insert(indexer),
            None => kept.insert(self.indexer()?),
        };
        indexer.ends[0].1 = reached.head.sequence;
        metrics::gauge!("kundeforhold_record_unindexed_entries").set(indexer.behind() as f64);
        while let Some(id) = indexer.next() {
            let batch = self.read(indexer, id)?;
            for step in batch.into_steps(id) {
                let (done, finished) = oneshot::channel();
                let sent = self.queue.blocking_send(Command::Index { step, done });
                if sent.is_err() || is_ended() || !finished.blocking_recv().unwrap_or(false) {
                    // Begun anew another time: nobody looks into a batch before its end is written.
                    return Ok(());
                }
                self.care.look(reached.own.number)?;
            }
            indexer.note(id);
        }
        Ok(())
    }

    fn indexer(&self) -> Result<Indexer, RecordFault> {
        let reader = Reader::open(&self.place)?;
        let reached = self.progress.now();
        let mut chains = Chains::prove(&reader.heads()?, &self.ring)?.all;
        match self.place {
            // The own one is written now, and goes first; nobody writes the others.
            RecordPlace::Sqlite(_) => chains.sort_by_key(|chain| chain.number != reached.own.number),
            // Others are indexed by those who write them.
            RecordPlace::Postgres(_) => chains.retain(|chain| chain.number == reached.own.number),
        }
        let mut ends = Vec::with_capacity(chains.len());
        for chain in &chains {
            let last = reader.last(chain.number)?;
            // What was pruned before it was indexed is not indexed any more.
            let pruned = BatchId::of(chain.number, chain.start.sequence + 1).number;
            ends.push((
                chain.number,
                last.map_or(chain.start.sequence, |last| last.sequence),
                reader.indexed(chain.number)?.max(pruned),
            ));
        }
        if ends.is_empty() {
            return Err(RecordFault::Stray(reached.own.number));
        }
        Ok(Indexer { reader, chains, ends })
    }

    fn read(&self, indexer: &Indexer, id: BatchId) -> Result<Batch, RecordFault> {
        let mut batch = Batch::default();
        let chain = indexer.chains.iter().find(|chain| chain.number == id.chain);
        let chain = chain.ok_or(RecordFault::Stray(id.chain))?;
        let mut walk = Walk::behind(&indexer.reader, &self.ring, Arc::clone(chain), id.after())?;
        walk.entries(&mut |head, entry| {
            if head.sequence > id.last() {
                return Ok(ControlFlow::Break(()));
            }
            let flawed = |flaw| chain.flawed(head.sequence, flaw);
            batch.add(head.sequence, &understand(entry, &self.ring).map_err(flawed)?);
            Ok(match head.sequence == id.last() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(batch.complete())
    }
}

/// How far the index is.
struct Indexer {
    reader: Reader,
    chains: Vec<Arc<Chain>>,
    /// Of each chain, the one that is written first: its last entry, and how many batches are indexed.
    ends: Vec<(u32, u64, u64)>,
}

impl Indexer {
    /// The next batch that is full.
    fn next(&self) -> Option<BatchId> {
        let batches = self.ends.iter().map(|(chain, last, indexed)| {
            let id = BatchId {
                chain: *chain,
                number: *indexed,
            };
            (id, *last)
        });
        batches
            .into_iter()
            .find(|(id, last)| id.last() <= *last)
            .map(|(id, _)| id)
    }

    fn note(&mut self, id: BatchId) {
        let end = self.ends.iter_mut().find(|(chain, ..)| *chain == id.chain);
        end.into_iter()
            .for_each(|(_, _, indexed)| *indexed = id.number + 1);
    }

    /// Entries that are in no batch yet.
    fn behind(&self) -> u64 {
        let behind = self.ends.iter().map(|(chain, last, indexed)| {
            let next = BatchId {
                chain: *chain,
                number: *indexed,
            };
            last.saturating_sub(next.after())
        });
        behind.sum()
    }
}

//! Goes through the entries of a chain in order, and proves each.

use super::chain::Head;
use super::engine::{Chunk, Reader};
use super::fault::{Flaw, RecordFault};
use super::heads::{Chain, Chains};
use super::keys::KeyRing;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What an entry that was proved is handed to; it says whether to go on.
pub(super) type Take<'t> = dyn FnMut(Head, &[u8]) -> Result<ControlFlow<()>, RecordFault> + 't;

pub(super) struct Walk<'a> {
    reader: &'a Reader,
    ring: &'a KeyRing,
    chain: Arc<Chain>,
    /// The last entry that was proved.
    head: Head,
}

impl Chain {
    pub(super) fn flawed(&self, sequence: u64, flaw: Flaw) -> RecordFault {
        RecordFault::Entry {
            instance: self.instance,
            sequence,
            flaw,
        }
    }
}

impl<'a> Walk<'a> {
    /// Through all that was not pruned.
    pub(super) fn whole(reader: &'a Reader, ring: &'a KeyRing, chain: Arc<Chain>) -> Self {
        let head = chain.start;
        Self {
            reader,
            ring,
            chain,
            head,
        }
    }

    /// Through what is behind an entry, which is taken as it stands.
    pub(super) fn behind(
        reader: &'a Reader,
        ring: &'a KeyRing,
        chain: Arc<Chain>,
        sequence: u64,
    ) -> Result<Self, RecordFault> {
        let mut walk = Self::whole(reader, ring, chain);
        if sequence > walk.head.sequence {
            match reader.entry(walk.chain.number, sequence)? {
                Some((_, hash)) => walk.head = Head { sequence, hash },
                None => walk.skip_pruned(walk.chain.flawed(sequence, Flaw::Missing))?,
            }
        }
        Ok(walk)
    }

    /// The last entry that was proved, or what the first one has to follow.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Its chain, as the list of heads told of it last.
    pub(super) fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// Hands on entry by entry. Gives whether all were: up to the last one, which is no earlier than the list of heads
    /// says.
    pub(super) fn entries(&mut self, take: &mut Take) -> Result<bool, RecordFault> {
        loop {
            match self.some(take) {
                Ok(Chunk::Full) => {}
                Ok(Chunk::Enough) => return Ok(false),
                Ok(Chunk::Last) if self.head.sequence >= self.chain.last_reached().sequence => {
                    return Ok(true);
                }
                Ok(Chunk::Last) => {
                    self.skip_pruned(self.chain.flawed(self.head.sequence + 1, Flaw::Missing))?
                }
                Err(
                    fault @ RecordFault::Entry {
                        flaw: Flaw::Missing, ..
                    },
                ) => self.skip_pruned(fault)?,
                Err(fault) => return Err(fault),
            }
        }
    }

    fn some(&mut self, take: &mut Take) -> Result<Chunk, RecordFault> {
        let (chain, head) = (&self.chain, &mut self.head);
        self.reader
            .some_entries(chain.number, head.sequence, &mut |sequence, entry, hash| {
                let next = head.then(entry);
                if sequence != next.sequence {
                    return Err(chain.flawed(next.sequence, Flaw::Missing));
                }
                if hash != next.hash {
                    return Err(chain.flawed(sequence, Flaw::Changed));
                }
                let listed = chain
                    .reached
                    .binary_search_by_key(&sequence, |head| head.sequence);
                if listed.is_ok_and(|at| chain.reached[at].hash != next.hash) {
                    return Err(chain.flawed(sequence, Flaw::OtherHead));
                }
                *head = next;
                take(next, entry)
            })
    }

    /// What is missing may have been pruned since the walk began; otherwise it is a fault.
    fn skip_pruned(&mut self, fault: RecordFault) -> Result<(), RecordFault> {
        let chains = Chains::prove(&self.reader.heads()?, self.ring)?;
        match chains.find(self.chain.number) {
            Some(chain) if chain.start.sequence > self.head.sequence => {
                self.head = chain.start;
                self.chain = Arc::clone(chain);
                Ok(())
            }
            _ => Err(fault),
        }
    }
}

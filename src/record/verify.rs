//! Proves the record, and holds it against heads that were kept elsewhere.

use super::chain::Head;
use super::engine::{Reader, RecordPlace};
use super::fault::{RecordFault, TableError};
use super::heads::{Chain, Chains, Removal};
use super::hex;
use super::index::{Batch, BatchId, DayRow};
use super::keys::KeyRing;
use super::published::KeptHead;
use super::read::understand;
use super::walk::Walk;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use uuid::Uuid;

/// What was found of one chain.
#[derive(Debug)]
pub struct Proof {
    pub instance: Uuid,
    /// Entries that were proved.
    pub entries: u64,
    /// The last entry that was proved.
    pub head: Head,
    /// What was pruned from its beginning, oldest first.
    pub removals: Vec<Removal>,
    /// The first place where it cannot be proved.
    pub fault: Option<RecordFault>,
}

/// How a head that was kept elsewhere stands to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStanding {
    /// The record has that entry, and that end of the list of heads.
    Found,
    /// It was pruned.
    Pruned,
    /// The record has not: an end was cut off, or a chain is gone or was replaced.
    Missing,
}

/// The outcome.
#[derive(Debug)]
pub struct Verification {
    pub proofs: Vec<Proof>,
    pub heads: Vec<(KeptHead, HeadStanding)>,
    /// What is wrong with the record as a whole.
    pub fault: Option<RecordFault>,
}

impl Verification {
    /// Whether every chain was proved, and every head has its place.
    pub fn holds(&self) -> bool {
        self.first_fault().is_none()
    }

    /// The first thing that is wrong, in words.
    pub fn first_fault(&self) -> Option<String> {
        let of_chains = self.proofs.iter().filter_map(|proof| proof.fault.as_ref());
        let faults = self.fault.iter().chain(of_chains).map(RecordFault::to_string);
        let missing = self
            .heads
            .iter()
            .filter(|(_, standing)| *standing == HeadStanding::Missing);
        faults.chain(missing.map(|(head, _)| in_words(head))).next()
    }
}

fn in_words(missing: &KeptHead) -> String {
    let whose = missing
        .instance
        .map_or(String::new(), |instance| format!(" of instance {instance}"));
    let list = missing.list.map_or(String::new(), |list| {
        format!(", along with head {} of the list of heads,", list.number)
    });
    format!(
        "entry {}{whose} was published with hash {}{list} and is not in the record: an end was cut off, or a chain is \
         gone or was replaced",
        missing.head.sequence,
        hex::encode(&missing.head.hash)
    )
}

/// Whether a record can be read with the ring, judged by its list of heads; true where there is none yet. Blocks.
pub fn check(place: &RecordPlace, ring: &KeyRing) -> Result<(), RecordFault> {
    match Reader::open(place) {
        Ok(reader) => Chains::prove(&reader.heads()?, ring).map(|_| ()),
        Err(TableError::Absent(_)) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

/// Proves a record and looks for `heads` in it. Blocks while it reads. May be used while the record is
/// being written. `passed` is called for each entry that was proved.
pub fn verify(
    place: &RecordPlace,
    ring: &KeyRing,
    heads: Vec<KeptHead>,
    passed: &mut dyn FnMut(),
) -> Verification {
    let mut search = HeadSearch::new(&heads);
    let (mut proofs, mut list) = (Vec::new(), None);
    let fault = prove_all(place, ring, &mut search, passed, &mut proofs, &mut list).err();
    let heads = heads
        .into_iter()
        .zip(search.found)
        .map(|(head, found)| {
            let standing = standing(&head, found, &proofs, list.as_ref());
            (head, standing)
        })
        .collect();
    Verification { proofs, heads, fault }
}

fn prove_all(
    place: &RecordPlace,
    ring: &KeyRing,
    search: &mut HeadSearch,
    passed: &mut dyn FnMut(),
    proofs: &mut Vec<Proof>,
    list: &mut Option<Chains>,
) -> Result<(), RecordFault> {
    let reader = Reader::open(place)?;
    let chains = list.insert(Chains::prove(&reader.heads()?, ring)?);
    let days = DaysOfBatches::read(&reader)?;
    for chain in &chains.all {
        let indexed = reader.indexed(chain.number)?;
        let mut prover = Prover {
            reader: &reader,
            ring,
            chain,
            days: &days,
            indexed,
            batch: Batch::default(),
            proved: 0,
        };
        proofs.push(prover.prove(search, passed));
    }
    // Read anew, so that a chain that began meanwhile is known.
    let with_entries = reader.chains()?;
    let chains = Chains::prove(&reader.heads()?, ring)?;
    let stray = with_entries
        .into_iter()
        .find(|number| chains.find(*number).is_none());
    stray.map_or(Ok(()), |number| Err(RecordFault::Stray(number)))
}

fn standing(head: &KeptHead, found: bool, proofs: &[Proof], chains: Option<&Chains>) -> HeadStanding {
    let list_is_there = head.list.is_none_or(|end| {
        let place = usize::try_from(end.number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        chains
            .zip(place)
            .is_some_and(|(chains, place)| chains.list.get(place) == Some(&end))
    });
    let was_pruned = || proofs.iter().any(|proof| was_pruned(head, proof, proofs.len()));
    match found {
        _ if !list_is_there => HeadStanding::Missing,
        true => HeadStanding::Found,
        false if was_pruned() => HeadStanding::Pruned,
        false => HeadStanding::Missing,
    }
}

fn was_pruned(head: &KeptHead, proof: &Proof, chains: usize) -> bool {
    let is_its_chain = match head.instance {
        Some(instance) => proof.instance == instance,
        None => chains == 1,
    };
    let last = proof.removals.last().map_or(0, |removal| removal.last);
    is_its_chain && head.head.sequence <= last
}

/// Days and consumers that the index tells of each batch.
struct DaysOfBatches(BTreeMap<(u32, u64), BTreeSet<DayRow>>);

impl DaysOfBatches {
    fn read(reader: &Reader) -> Result<Self, RecordFault> {
        let mut days = Self(BTreeMap::new());
        for (row, batch) in reader.days()? {
            days.0.entry((batch.chain, batch.number)).or_default().insert(row);
        }
        Ok(days)
    }

    fn of(&self, id: BatchId) -> BTreeSet<DayRow> {
        self.0.get(&(id.chain, id.number)).cloned().unwrap_or_default()
    }
}

/// Proves one chain, and its index along with it.
struct Prover<'a> {
    reader: &'a Reader,
    ring: &'a KeyRing,
    chain: &'a Arc<Chain>,
    days: &'a DaysOfBatches,
    /// Batches that the index had when the proof began.
    indexed: u64,
    /// What the index should hold of the batch that is being read.
    batch: Batch,
    proved: u64,
}

impl Prover<'_> {
    fn prove(&mut self, search: &mut HeadSearch, passed: &mut dyn FnMut()) -> Proof {
        let mut walk = Walk::whole(self.reader, self.ring, Arc::clone(self.chain));
        search.pass(self.chain.instance, &walk.head());
        let walked = walk.entries(&mut |head, entry| {
            self.take(head, entry)?;
            passed();
            search.pass(self.chain.instance, &head);
            Ok(ControlFlow::Continue(()))
        });
        Proof {
            instance: self.chain.instance,
            entries: self.proved,
            head: walk.head(),
            removals: walk.chain().removals.clone(),
            fault: walked.err(),
        }
    }

    fn take(&mut self, head: Head, entry: &[u8]) -> Result<(), RecordFault> {
        let flawed = |flaw| self.chain.flawed(head.sequence, flaw);
        let stored = understand(entry, self.ring).map_err(flawed)?;
        self.proved += 1;
        let id = BatchId::of(self.chain.number, head.sequence);
        if id.number < self.indexed {
            self.batch.add(head.sequence, &stored);
            if head.sequence == id.last() {
                return self.check_index(id);
            }
        }
        Ok(())
    }

    fn check_index(&mut self, id: BatchId) -> Result<(), RecordFault> {
        let expected = std::mem::take(&mut self.batch).complete();
        // A batch whose beginning was pruned still names what is gone.
        let from = self.chain.start.sequence;
        if id.after() < from {
            return Ok(());
        }
        let is_it = self.reader.rows_of(id)? == expected.rows && self.days.of(id) == expected.days;
        if is_it {
            return Ok(());
        }
        // Unless it was pruned meanwhile.
        let chains = Chains::prove(&self.reader.heads()?, self.ring)?;
        match chains.find(id.chain) {
            Some(chain) if chain.start.sequence > from => Ok(()),
            _ => Err(RecordFault::Index {
                instance: self.chain.instance,
                first: id.after() + 1,
                last: id.last(),
            }),
        }
    }
}

/// Looks for all heads in one pass.
struct HeadSearch {
    by_sequence: HashMap<u64, Vec<(usize, KeptHead)>>,
    found: Vec<bool>,
}

impl HeadSearch {
    fn new(heads: &[KeptHead]) -> Self {
        let mut by_sequence: HashMap<u64, Vec<(usize, KeptHead)>> = HashMap::new();
        for (index, kept) in heads.iter().enumerate() {
            let of_sequence = by_sequence.entry(kept.head.sequence).or_default();
            of_sequence.push((index, kept.clone()));
        }
        Self {
            by_sequence,
            found: vec![false; heads.len()],
        }
    }

    fn pass(&mut self, instance: Uuid, head: &Head) {
        let wanted = self.by_sequence.get(&head.sequence);
        for (index, kept) in wanted.into_iter().flatten() {
            let is_its_chain = kept.instance.is_none_or(|its| its == instance);
            self.found[*index] |= is_its_chain && kept.head == *head;
        }
    }
}

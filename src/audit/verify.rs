//! Proves logs, and holds them against heads that were kept elsewhere.

use super::head::KeptHead;
use super::hex;
use super::keys::KeyRing;
use super::log::{LogFault, entries, understand};
use crate::chain::{Entries, Entry, Head, Removal};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What was found in one log.
#[derive(Debug)]
pub struct Proof {
    pub folder: PathBuf,
    /// The instances that wrote it.
    pub instances: BTreeSet<String>,
    /// Entries that were proved.
    pub entries: u64,
    /// The last entry that was proved.
    pub head: Head,
    /// What was pruned from its beginning, oldest first.
    pub removals: Vec<Removal>,
    /// Bytes of an interrupted, never answered write at its end. No fault.
    pub torn_bytes: u64,
    /// The first place where it cannot be proved.
    pub fault: Option<LogFault>,
}

/// How a head that was kept elsewhere stands to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStanding {
    /// A log has that entry.
    Found,
    /// It was pruned from the log of its instance.
    Pruned,
    /// No log has that entry: an end was cut off, or a log was replaced.
    Missing,
}

/// The outcome for all logs.
#[derive(Debug)]
pub struct Verification {
    pub proofs: Vec<Proof>,
    pub heads: Vec<(KeptHead, HeadStanding)>,
}

impl Verification {
    /// Whether every log was proved, and every head has its place in one.
    pub fn holds(&self) -> bool {
        self.proofs.iter().all(|proof| proof.fault.is_none())
            && self
                .heads
                .iter()
                .all(|(_, standing)| *standing != HeadStanding::Missing)
    }

    /// The first thing that is wrong, in words.
    pub fn first_fault(&self) -> Option<String> {
        let damaged = self.proofs.iter().find_map(|proof| {
            let fault = proof.fault.as_ref()?;
            Some(format!("{}: {fault}", proof.folder.display()))
        });
        let missing = || {
            self.heads
                .iter()
                .find(|(_, standing)| *standing == HeadStanding::Missing)
        };
        damaged.or_else(|| missing().map(|(head, _)| in_words(head)))
    }
}

fn in_words(missing: &KeptHead) -> String {
    let whose = missing
        .instance
        .as_deref()
        .map_or(String::new(), |id| format!(" of instance {id}"));
    format!(
        "entry {}{whose} was published with hash {} and is in none of the logs: an end was cut off, or a log replaced",
        missing.sequence,
        hex::encode(&missing.hash)
    )
}

/// Proves the logs in `folders` and looks for `heads` in them. Blocks while it reads; holds one segment in
/// memory. May be used while the logs are being written. `passed` is called for each entry that was proved.
pub fn verify(
    folders: &[PathBuf],
    ring: &KeyRing,
    heads: Vec<KeptHead>,
    passed: &mut dyn FnMut(),
) -> Verification {
    let mut search = HeadSearch::new(&heads);
    let mut proofs = Vec::with_capacity(folders.len());
    for folder in folders {
        proofs.push(prove(folder, ring, &mut search, passed));
    }
    let standings: Vec<HeadStanding> = heads
        .iter()
        .zip(search.found)
        .map(|(head, found)| match found {
            true => HeadStanding::Found,
            false if proofs.iter().any(|proof| was_pruned(head, proof, folders.len())) => {
                HeadStanding::Pruned
            }
            false => HeadStanding::Missing,
        })
        .collect();
    Verification {
        proofs,
        heads: heads.into_iter().zip(standings).collect(),
    }
}

fn was_pruned(head: &KeptHead, proof: &Proof, folders: usize) -> bool {
    let is_its_log = match &head.instance {
        Some(instance) => proof.instances.contains(instance),
        None => folders == 1,
    };
    let last = proof.removals.last().map_or(0, |removal| removal.last);
    is_its_log && head.sequence <= last
}

fn prove(folder: &Path, ring: &KeyRing, search: &mut HeadSearch, passed: &mut dyn FnMut()) -> Proof {
    let mut proof = Proof {
        folder: folder.to_owned(),
        instances: BTreeSet::new(),
        entries: 0,
        head: Head::EMPTY,
        removals: Vec::new(),
        torn_bytes: 0,
        fault: None,
    };
    proof.fault = match entries(folder, ring) {
        Err(fault) => Some(fault),
        Ok(mut log) => {
            let fault = proof.follow(&mut log, ring, search, passed).err();
            proof.head = log.head();
            proof.removals = log.removals().to_vec();
            proof.torn_bytes = log.torn_bytes();
            fault
        }
    };
    proof
}

impl Proof {
    fn follow(
        &mut self,
        log: &mut Entries,
        ring: &KeyRing,
        search: &mut HeadSearch,
        passed: &mut dyn FnMut(),
    ) -> Result<(), LogFault> {
        search.pass(&log.head());
        for entry in log {
            let entry: Entry = entry?;
            let stored = understand(&entry, ring)?;
            if !self.instances.contains(stored.instance) {
                self.instances.insert(stored.instance.to_owned());
            }
            self.entries += 1;
            passed();
            search.pass(&Head {
                sequence: entry.sequence,
                hash: entry.hash,
            });
        }
        Ok(())
    }
}

/// Looks for all heads in one pass.
struct HeadSearch {
    by_sequence: HashMap<u64, Vec<(usize, Head)>>,
    found: Vec<bool>,
}

impl HeadSearch {
    fn new(heads: &[KeptHead]) -> Self {
        let mut by_sequence: HashMap<u64, Vec<(usize, Head)>> = HashMap::new();
        for (index, kept) in heads.iter().enumerate() {
            let head = Head {
                sequence: kept.sequence,
                hash: kept.hash,
            };
            by_sequence.entry(kept.sequence).or_default().push((index, head));
        }
        // Before the first entry, every log has this head.
        let found = heads.iter().map(|head| head.sequence == 0).collect();
        Self { by_sequence, found }
    }

    fn pass(&mut self, head: &Head) {
        let wanted = self.by_sequence.get(&head.sequence);
        for (index, kept) in wanted.into_iter().flatten() {
            self.found[*index] |= kept == head;
        }
    }
}

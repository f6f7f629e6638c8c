//! Sorting in bounded memory: records of bytes, sorted runs in files that nobody else can open.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Longest record.
pub const MAX_RECORD_BYTES: usize = u16::MAX as usize;
const WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// Of each run's read buffer; between them the runs share the sorter's memory.
const MIN_READ_BUFFER_BYTES: usize = 8 * 1024;
const MAX_READ_BUFFER_BYTES: usize = 256 * 1024;

/// Where a record lies in the buffer, with its first bytes: they decide most comparisons.
#[derive(Clone, Copy)]
struct Slot {
    prefix: u64,
    start: u32,
    length: u16,
}

/// Takes records in any order and gives them back in the order of their bytes, equal ones side by side.
pub struct Sorter {
    directory: PathBuf,
    memory_bytes: usize,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    runs: Vec<File>,
}

impl Sorter {
    /// `memory_bytes` (at most 1 GiB) bounds what is held; beyond it, sorted runs go to unlinked files in `directory`.
    pub fn new(directory: &Path, memory_bytes: usize) -> Self {
        Self {
            directory: directory.to_owned(),
            memory_bytes: memory_bytes.min(1 << 30),
            buffer: Vec::new(),
            slots: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes a record of up to [`MAX_RECORD_BYTES`].
    pub fn push(&mut self, record: &[u8]) -> io::Result<()> {
        let length = u16::try_from(record.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let held = self.buffer.len() + self.slots.len() * size_of::<Slot>();
        if held + record.len() + size_of::<Slot>() > self.memory_bytes && !self.slots.is_empty() {
            self.spill()?;
        }
        let start =
            u32::try_from(self.buffer.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        self.buffer.extend_from_slice(record);
        self.slots.push(Slot {
            prefix: prefix(record),
            start,
            length,
        });
        Ok(())
    }

    fn sort(&mut self) {
        let buffer = &self.buffer;
        self.slots.sort_unstable_by(|a, b| {
            let by_prefix = a.prefix.cmp(&b.prefix);
            by_prefix.then_with(|| bytes_of(buffer, a).cmp(bytes_of(buffer, b)))
        });
    }

    /// Sorts what is held and writes it out as a run.
    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, tempfile::tempfile_in(&self.directory)?);
        for slot in &self.slots {
            out.write_all(&slot.length.to_le_bytes())?;
            out.write_all(bytes_of(&self.buffer, slot))?;
        }
        let mut run = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        run.rewind()?;
        self.runs.push(run);
        self.buffer.clear();
        self.slots.clear();
        Ok(())
    }

    /// Ends the input and begins the output.
    pub fn finish(self) -> io::Result<Merged> {
        Self::finish_all(vec![self])
    }

    /// Ends the input of sorters that were filled side by side, and begins their common output.
    pub fn finish_all(mut sorters: Vec<Self>) -> io::Result<Merged> {
        sorters.retain(|sorter| !(sorter.slots.is_empty() && sorter.runs.is_empty()));
        if sorters.len() <= 1 && sorters.iter().all(|sorter| sorter.runs.is_empty()) {
            return Ok(Merged(
                sorters.pop().map_or_else(Source::nothing, Self::into_held),
            ));
        }
        let memory_bytes = sorters.iter().map(|sorter| sorter.memory_bytes).sum::<usize>();
        let mut runs = Vec::new();
        for mut sorter in sorters {
            if !sorter.slots.is_empty() {
                sorter.spill()?;
            }
            runs.append(&mut sorter.runs);
        }
        Source::merging(runs, memory_bytes).map(Merged)
    }

    fn into_held(mut self) -> Source {
        self.sort();
        Source::Held {
            buffer: self.buffer,
            slots: self.slots.into_iter(),
        }
    }
}

fn prefix(record: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = record.len().min(8);
    first[..length].copy_from_slice(&record[..length]);
    u64::from_be_bytes(first)
}

fn bytes_of<'a>(buffer: &'a [u8], slot: &Slot) -> &'a [u8] {
    let start = slot.start as usize;
    &buffer[start..start + usize::from(slot.length)]
}

/// The records in order.
pub struct Merged(Source);

enum Source {
    /// All fitted into memory.
    Held {
        buffer: Vec<u8>,
        slots: std::vec::IntoIter<Slot>,
    },
    Runs {
        heap: BinaryHeap<Reverse<Run>>,
        /// The record on top has been given out.
        given: bool,
    },
}

impl Source {
    fn nothing() -> Self {
        Self::Held {
            buffer: Vec::new(),
            slots: Vec::new().into_iter(),
        }
    }

    /// Between them the runs share the memory.
    fn merging(runs: Vec<File>, memory_bytes: usize) -> io::Result<Self> {
        let share = memory_bytes / runs.len().max(1);
        let buffer_bytes = share.clamp(MIN_READ_BUFFER_BYTES, MAX_READ_BUFFER_BYTES);
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for file in runs {
            let mut run = Run {
                prefix: 0,
                record: Vec::new(),
                input: BufReader::with_capacity(buffer_bytes, file),
            };
            if run.advance()? {
                heap.push(Reverse(run));
            }
        }
        Ok(Self::Runs { heap, given: false })
    }
}

impl Merged {
    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> io::Result<Option<&[u8]>> {
        match &mut self.0 {
            Source::Held { buffer, slots } => Ok(slots.next().map(|slot| bytes_of(buffer, &slot))),
            Source::Runs { heap, given } => {
                if *given
                    && let Some(mut top) = heap.peek_mut()
                    && !top.0.advance()?
                {
                    PeekMut::pop(top);
                }
                *given = true;
                Ok(heap.peek().map(|Reverse(run)| run.record.as_slice()))
            }
        }
    }
}

/// A sorted run with its next record, ordered by it.
struct Run {
    /// Of the record: it decides most comparisons.
    prefix: u64,
    record: Vec<u8>,
    input: BufReader<File>,
}

impl Run {
    /// Reads the next record; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let mut length = [0; 2];
        match self.input.read_exact(&mut length) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(cause) => return Err(cause),
        }
        self.record.resize(usize::from(u16::from_le_bytes(length)), 0);
        self.input.read_exact(&mut self.record)?;
        self.prefix = prefix(&self.record);
        Ok(true)
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for Run {}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Run {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_prefix = self.prefix.cmp(&other.prefix);
        by_prefix.then_with(|| self.record.cmp(&other.record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(records: &[Vec<u8>], memory_bytes: usize) -> (Vec<Vec<u8>>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(directory.path(), memory_bytes);
        for record in records {
            sorter.push(record).unwrap();
        }
        let (runs, mut found) = (sorter.runs.len(), Vec::new());
        let mut merged = sorter.finish().unwrap();
        while let Some(record) = merged.next_record().unwrap() {
            found.push(record.to_vec());
        }
        assert_eq!(merged.next_record().unwrap(), None);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        (found, runs)
    }

    proptest! {
        #[test]
        fn records_come_back_in_order_whatever_the_memory(
            records in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..20), 0..300),
            memory_bytes in 1..8_000_usize,
        ) {
            let mut expected = records.clone();
            expected.sort();
            prop_assert_eq!(sorted(&records, memory_bytes).0, expected);
        }
    }

    proptest! {
        #[test]
        fn records_of_sorters_filled_side_by_side_come_back_in_one_order(
            mut records in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..20), 0..300),
            memory_bytes in 1..8_000_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut sorters = vec![
                Sorter::new(directory.path(), memory_bytes),
                Sorter::new(directory.path(), memory_bytes),
            ];
            for record in &records {
                sorters[usize::from(record.len() % 3 == 0)].push(record).unwrap();
            }
            let mut merged = Sorter::finish_all(sorters).unwrap();
            records.sort();
            for record in &records {
                prop_assert_eq!(merged.next_record().unwrap(), Some(record.as_slice()));
            }
            prop_assert_eq!(merged.next_record().unwrap(), None);
        }
    }

    #[test]
    fn what_does_not_fit_goes_to_runs_and_no_record_is_too_long_for_memory() {
        let records = [vec![2; 1000], vec![1; 1000], vec![], vec![3; 1000]];
        let (found, runs) = sorted(&records, 1100);
        assert_eq!(found, [vec![], vec![1; 1000], vec![2; 1000], vec![3; 1000]]);
        assert!(runs >= 2, "{runs}");
        assert_eq!(sorted(&records, 1).0.len(), 4);
    }

    #[test]
    fn a_record_longer_than_the_bound_is_refused() {
        let mut sorter = Sorter::new(Path::new("."), 1 << 20);
        assert!(sorter.push(&vec![0; MAX_RECORD_BYTES + 1]).is_err());
    }
}

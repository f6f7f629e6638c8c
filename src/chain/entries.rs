//! Reads a whole chain in order and proves all of it.

use super::{
    Corrupt, Entry, Fault, Flaw, Head, HeadKey, ReadError,
    directory::segment_path,
    format::{FRAME_OVERHEAD_BYTES, HASH_BYTES, SEGMENT_HEADER_BYTES, Sealer},
    scan::{Scan, Step},
    stub::{Removal, Stub},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// All entries of the chain in `directory`, proved in order: headers, hashes, keyed heads, and that each segment
/// continues the one before it, the first the stub of what was pruned. Holds one segment in memory. The first error is the last item.
///
/// May be used while another process writes the chain: it then ends at an entry that was written by the time it
/// was read, which [`Chain::entries`](super::Chain::entries) makes certain to be durable too. A tail that was cut
/// off is found by comparing [`Entries::head`] with a head that was kept elsewhere.
///
/// # Errors
/// If the directory cannot be listed, or has no segment.
pub fn entries(directory: &Path, key: &HeadKey) -> Result<Entries, ReadError> {
    Entries::up_to(directory, Sealer { key: key.clone() }, u64::MAX)
}

/// Iterator over a chain; see [`entries`].
pub struct Entries {
    directory: PathBuf,
    sealer: Sealer,
    limit: u64,
    segments: std::vec::IntoIter<u64>,
    scan: Option<Scan>,
    stub: Stub,
    head: Head,
    torn_bytes: u64,
    is_over: bool,
}

impl Entries {
    pub(super) fn up_to(directory: &Path, sealer: Sealer, limit: u64) -> Result<Self, ReadError> {
        let (segments, stub) = Stub::and_segments(directory, &sealer)?;
        let head = stub.head();
        if segments.is_empty() {
            return Err(missing_after(&head).into());
        }
        Ok(Self {
            directory: directory.to_owned(),
            sealer,
            limit,
            segments: segments.into_iter(),
            scan: None,
            stub,
            head,
            torn_bytes: 0,
            is_over: false,
        })
    }

    /// The last entry proved so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What was pruned from the beginning of the chain, oldest first.
    pub fn removals(&self) -> &[Removal] {
        self.stub.removals()
    }

    /// Once the iterator has ended: bytes of an interrupted, never acknowledged write at the end of the chain.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    fn advance(&mut self) -> Result<Option<Entry>, ReadError> {
        while self.head.sequence < self.limit {
            let Some(mut scan) = self
                .scan
                .take()
                .map_or_else(|| self.next_scan(), |scan| Ok(Some(scan)))?
            else {
                return Ok(None);
            };
            match scan.step()? {
                Step::Entry(entry) => {
                    self.head = scan.head();
                    self.scan = Some(scan);
                    return Ok(Some(entry));
                }
                Step::Closed => {}
                Step::End => return Ok(None),
                Step::Torn => {
                    self.torn_bytes = scan.trailing_bytes();
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    fn next_scan(&mut self) -> Result<Option<Scan>, ReadError> {
        let Some(first) = self.segments.next() else {
            return Ok(None);
        };
        let scan = Scan::open(&self.directory, &self.sealer, first, self.segments.len() == 0)?;
        require_continuation(first, &self.head, &scan.head())?;
        Ok(Some(scan))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.advance().transpose();
        self.is_over = !matches!(item, Some(Ok(_)));
        item
    }
}

fn require_continuation(first: u64, reached: &Head, continued: &Head) -> Result<(), Corrupt> {
    let corrupt = |flaw| Corrupt {
        segment: first,
        sequence: reached.sequence + 1,
        flaw,
    };
    if continued.sequence != reached.sequence {
        return Err(corrupt(Flaw::Missing));
    }
    if continued.hash != reached.hash {
        return Err(corrupt(Flaw::Spliced));
    }
    Ok(())
}

/// That there is no segment to continue after `head`.
pub(super) fn missing_after(head: &Head) -> Corrupt {
    let next = head.sequence + 1;
    Corrupt {
        segment: next,
        sequence: next,
        flaw: Flaw::Missing,
    }
}

/// Proves the ends of all segments of the chain in `directory`, but not the entries between.
///
/// # Errors
/// If the directory cannot be read, or a header, a closing frame or the stub is not what was written.
pub fn check_ends(directory: &Path, key: &HeadKey) -> Result<(), ReadError> {
    let sealer = Sealer { key: key.clone() };
    let (firsts, stub) = Stub::and_segments(directory, &sealer)?;
    check_headers(directory, &sealer, &firsts, &stub.head())
}

/// Proves the header of each segment, that the first continues from `start`, and that each but the last ends in
/// the closing frame from which the next continues. Does not read the entries between.
pub(super) fn check_headers(
    directory: &Path,
    sealer: &Sealer,
    firsts: &[u64],
    start: &Head,
) -> Result<(), ReadError> {
    let mut before: Option<(u64, Vec<u8>)> = None;
    for first in firsts {
        let (header, ending) = read_ends(&segment_path(directory, *first))?;
        let continued = sealer.parse_header(&header, *first)?;
        match before {
            None => require_continuation(*first, start, &continued)?,
            Some((_, found)) if ends_at(sealer, &found, &continued) => {}
            Some((segment, _)) => {
                return Err(Corrupt {
                    segment,
                    sequence: continued.sequence,
                    flaw: Flaw::Closing,
                }
                .into());
            }
        }
        before = Some((*first, ending));
    }
    Ok(())
}

/// Whether a segment that ends in `ending` has `last` as its last entry: the entry's hash, and the frame that
/// closes the segment.
fn ends_at(sealer: &Sealer, ending: &[u8], last: &Head) -> bool {
    let frame = ending.strip_prefix(&last.hash);
    frame.is_some_and(|frame| frame.len() == FRAME_OVERHEAD_BYTES && sealer.closes(frame, last))
}

/// The first bytes of a segment, as many as a header has, and the last, as many as an ending has, or fewer.
fn read_ends(path: &Path) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    const ENDING_BYTES: usize = HASH_BYTES + FRAME_OVERHEAD_BYTES;
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = vec![0; SEGMENT_HEADER_BYTES.min(length as usize)];
        let mut ending = vec![0; ENDING_BYTES.min(length as usize)];
        file.read_exact_at(&mut header, 0)?;
        let ending_start = length - ending.len() as u64;
        file.read_exact_at(&mut ending, ending_start)?;
        Ok((header, ending))
    };
    read().map_err(Fault::on("read the segment", path))
}

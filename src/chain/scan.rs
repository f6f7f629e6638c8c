//! Walks over one segment and proves each of its entries.

use super::{
    Corrupt, Entry, Fault, Flaw, Head, ReadError,
    directory::segment_path,
    format::{
        FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, FrameHeader, Kind, SEGMENT_HEADER_BYTES, Sealer,
        intact_entry,
    },
};
use std::{ops::Range, path::Path, sync::Arc, time::Duration};

/// Within a sector a disk writes all or nothing, so a torn write leaves whole sectors of zeros.
const SECTOR_BYTES: usize = 512;
/// How far beyond the damaged entry a sequence number is believed when looking for later flushes.
const MAX_SEQUENCE_STEP: u64 = 1 << 32;
/// How often the tail is read again while another process is writing it, and the pause before.
const TAIL_READS: u32 = 8;
const TAIL_READ_PAUSE: Duration = Duration::from_millis(5);

/// What a segment has next.
pub enum Step {
    Entry(Entry),
    /// The closing frame.
    Closed,
    /// Nothing more, in the segment that is being written.
    End,
    /// A write that was interrupted, in the segment that is being written.
    Torn,
}

/// A segment in memory, and how far it is proved.
pub struct Scan {
    path: Arc<Path>,
    sealer: Sealer,
    first: u64,
    is_last: bool,
    bytes: Vec<u8>,
    offset: usize,
    head: Head,
}

impl Scan {
    /// Reads the segment that begins with entry `first` and proves its header.
    pub fn open(directory: &Path, sealer: &Sealer, first: u64, is_last: bool) -> Result<Self, ReadError> {
        let path: Arc<Path> = segment_path(directory, first).into();
        let bytes = std::fs::read(&path).map_err(Fault::on("read the segment", &path))?;
        let head = sealer.parse_header(&bytes, first)?;
        let sealer = sealer.clone();
        Ok(Self {
            path,
            sealer,
            first,
            is_last,
            bytes,
            offset: SEGMENT_HEADER_BYTES,
            head,
        })
    }

    /// The last proved entry; before the first step, the one that the header continues from.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Where what is proved ends in the file.
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Bytes after what is proved, without the zeros at the end of the file.
    pub fn trailing_bytes(&self) -> u64 {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        rest.iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last as u64 + 1)
    }

    /// The next entry, or how the segment ends. Damage in the tail is read again before it is believed, since
    /// another process may be writing there.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        for _ in 0..TAIL_READS {
            let verdict = self.judge();
            let settled = matches!(verdict, Ok(Step::Entry(_) | Step::Closed | Step::End));
            if settled || !self.is_last || !self.tail_changed()? {
                return Ok(verdict?);
            }
        }
        // Only a live writer keeps changing the tail; what it has not finished is not there yet.
        Ok(Step::End)
    }

    fn tail_changed(&mut self) -> Result<bool, ReadError> {
        std::thread::sleep(TAIL_READ_PAUSE);
        let bytes = std::fs::read(&*self.path).map_err(Fault::on("read the segment", &self.path))?;
        let changed = bytes.get(self.offset..) != self.bytes.get(self.offset..);
        self.bytes = bytes;
        Ok(changed)
    }

    fn judge(&mut self) -> Result<Step, Corrupt> {
        if is_zero(self.bytes.get(self.offset..).unwrap_or_default()) {
            return if self.is_last {
                Ok(Step::End)
            } else {
                Err(self.corrupt(Flaw::Closing))
            };
        }
        if let Some((header, hash)) = intact_entry(&self.bytes, self.offset) {
            if header.sequence != self.head.sequence + 1 {
                return Err(self.corrupt(Flaw::Changed));
            }
            self.head = Head {
                sequence: header.sequence,
                hash,
            };
            return Ok(Step::Entry(self.take_entry(header)));
        }
        if self.sealer.closes(&self.bytes[self.offset..], &self.head) {
            return self.take_closing();
        }
        if self.is_last && self.is_torn() {
            return Ok(Step::Torn);
        }
        let closes = FrameHeader::parse(&self.bytes, self.offset).is_some_and(|h| h.kind == Kind::Close);
        Err(self.corrupt(if closes { Flaw::Closing } else { Flaw::Changed }))
    }

    fn take_entry(&mut self, header: FrameHeader) -> Entry {
        let payload_start = self.offset + FRAME_HEADER_BYTES;
        let payload = self.bytes[payload_start..][..header.length as usize].to_vec();
        self.offset += header.frame_bytes();
        Entry {
            sequence: header.sequence,
            segment: self.first,
            payload,
            hash: self.head.hash,
        }
    }

    fn take_closing(&mut self) -> Result<Step, Corrupt> {
        let rest = &self.bytes[self.offset + FRAME_OVERHEAD_BYTES..];
        if !(rest.is_empty() || self.is_last && is_zero(rest)) {
            return Err(self.corrupt(Flaw::Closing));
        }
        self.offset += FRAME_OVERHEAD_BYTES;
        Ok(Step::Closed)
    }

    fn corrupt(&self, flaw: Flaw) -> Corrupt {
        Corrupt {
            segment: self.first,
            sequence: self.head.sequence + 1,
            flaw,
        }
    }

    /// Whether the frame at the offset is an interrupted write, and not a change to what was durable: it lacks
    /// some of its bytes, and no later flush was begun.
    fn is_torn(&self) -> bool {
        self.lacks_bytes() && !self.later_flush_began()
    }

    /// Whether the file ends, or turns to zeros, or has a sector of zeros, within the frame at the offset.
    fn lacks_bytes(&self) -> bool {
        let frame_bytes = FrameHeader::parse(&self.bytes, self.offset).map(|header| header.frame_bytes());
        let end = self.offset + frame_bytes.unwrap_or(FRAME_HEADER_BYTES);
        if end > self.bytes.len() {
            return true;
        }
        let tail_is_zero = match frame_bytes {
            Some(_) => self.bytes[end - 1] == 0,
            None => is_zero(&self.bytes[end..]),
        };
        tail_is_zero || has_zero_sector(&self.bytes, self.offset..end)
    }

    /// Whether the header of a frame stands further on whose flush came after the entry expected at the offset.
    fn later_flush_began(&self) -> bool {
        let expected = self.head.sequence + 1;
        let later = expected + 1..expected.saturating_add(MAX_SEQUENCE_STEP);
        (self.offset + 1..self.bytes.len())
            .filter_map(|offset| FrameHeader::parse(&self.bytes, offset))
            .any(|header| later.contains(&header.flush_start()))
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether the part of some sector that lies in `range` is all zeros.
fn has_zero_sector(bytes: &[u8], range: Range<usize>) -> bool {
    let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
    sectors
        .map(|sector| (sector * SECTOR_BYTES).max(range.start)..((sector + 1) * SECTOR_BYTES).min(range.end))
        .any(|part| is_zero(&bytes[part]))
}

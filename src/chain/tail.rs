//! The segment being written. After any failure it is suspect: before the next write it is opened again, found
//! to be what was written, and cut back to its durable end.

use super::{
    Fault, Head, OpenError, Options, Recovery,
    directory::{Directory, Identity, segment_path},
    entries::{check_headers, missing_after},
    format::{FRAME_OVERHEAD_BYTES, HASH_BYTES, Hash, SEGMENT_HEADER_BYTES, Sealer, array},
    scan::{Scan, Step},
    stub::Stub,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

/// Zeros that are made ready behind what is written: four times as many as there is, within these bounds. More are made
/// once three quarters are used up.
const LEAST_AHEAD_BYTES: u64 = 1 << 20;
const MOST_AHEAD_BYTES: u64 = 32 << 20;
/// Zeros that are written after a flush, at most.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

pub struct Tail {
    directory: Directory,
    sealer: Sealer,
    segment_bytes: u64,
    segment: Segment,
    head: Head,
    last_closed: Head,
}

impl Tail {
    /// Finds the durable end of the chain, cuts off a torn tail, and begins the first segment if there is none.
    pub fn recover(
        directory: Directory,
        sealer: Sealer,
        options: &Options,
    ) -> Result<(Self, Recovery), OpenError> {
        let (firsts, stub) = Stub::and_segments(&directory.path, &sealer)?;
        let (segment, head, recovery) = match firsts.last() {
            None if stub.head() != Head::EMPTY => return Err(missing_after(&stub.head()).into()),
            None => {
                let recovery = Recovery {
                    entries: 0,
                    torn_bytes: 0,
                    created: true,
                };
                (
                    Segment::create(&directory, &sealer, &Head::EMPTY)?,
                    Head::EMPTY,
                    recovery,
                )
            }
            Some(last) => {
                check_headers(&directory.path, &sealer, &firsts, &stub.head())?;
                recover_segment(&directory, &sealer, *last)?
            }
        };
        let tail = Self {
            directory,
            sealer,
            segment_bytes: options.segment_bytes,
            segment,
            head,
            last_closed: Head::EMPTY,
        };
        Ok((tail, recovery))
    }

    /// The last durable entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The last entry of the segment that this handle closed last; empty if it closed none.
    pub fn last_closed(&self) -> Head {
        self.last_closed
    }

    /// Makes `frames` durable, the last of which is `head`. On an error none of them counts as written.
    pub fn commit(&mut self, frames: &[u8], head: Head) -> Result<(), Fault> {
        match self.try_commit(frames, head.hash) {
            Ok(()) => {
                self.head = head;
                Ok(())
            }
            Err(fault) => {
                self.segment.suspect = true;
                Err(fault)
            }
        }
    }

    /// Writes zeros ahead, so that what comes next overwrites: its sync then is a matter of its own bytes, whereas the
    /// first write to a block makes the file system commit its log, and wait for all that others are writing. To be
    /// called when nobody waits.
    pub fn prepare(&mut self) {
        self.segment.prepare(self.segment_bytes);
    }

    fn try_commit(&mut self, frames: &[u8], seal: Hash) -> Result<(), Fault> {
        self.repair()?;
        if !self.segment.closed && self.segment.is_full_for(frames.len() as u64, self.segment_bytes) {
            let frame = self.sealer.closing_frame(&self.head);
            self.segment.close(&frame)?;
            self.last_closed = self.head;
        }
        if self.segment.closed {
            self.segment = Segment::create(&self.directory, &self.sealer, &self.head)?;
        }
        self.segment.write(frames, seal)
    }

    fn repair(&mut self) -> Result<(), Fault> {
        if !self.segment.suspect {
            return Ok(());
        }
        let Segment {
            first,
            end,
            closed,
            seal,
            ..
        } = self.segment;
        let path = segment_path(&self.directory.path, first);
        require_seal(&path, end, seal)?;
        self.directory.hold_again()?;
        self.segment = Segment::reopen(&self.directory, first, end, closed)?;
        Ok(())
    }

    /// Cuts the file to what is durable.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.repair()?;
        self.segment.cut()
    }
}

/// Proves the last segment and cuts off what is torn.
fn recover_segment(
    directory: &Directory,
    sealer: &Sealer,
    first: u64,
) -> Result<(Segment, Head, Recovery), OpenError> {
    let mut scan = Scan::open(&directory.path, sealer, first, true)?;
    let closed = loop {
        match scan.step()? {
            Step::Entry(_) => {}
            Step::Closed => break true,
            Step::End | Step::Torn => break false,
        }
    };
    let head = scan.head();
    let recovery = Recovery {
        entries: head.sequence,
        torn_bytes: scan.trailing_bytes(),
        created: false,
    };
    let segment = Segment::reopen(directory, first, scan.offset(), closed)?;
    Ok((segment, head, recovery))
}

/// Refuses a file that was put in the place of the one that was written up to `end`.
fn require_seal(path: &Path, end: u64, seal: Hash) -> Result<(), Fault> {
    let mut found = [0; HASH_BYTES];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut found, end - HASH_BYTES as u64));
    let proved = read.and_then(|()| {
        let other = || io::Error::new(io::ErrorKind::InvalidData, "it is not the file that was written");
        if found == seal { Ok(()) } else { Err(other()) }
    });
    proved.map_err(Fault::on("find the end of the segment", path))
}

struct Segment {
    file: File,
    identity: Identity,
    path: Arc<Path>,
    first: u64,
    /// Where what is durable ends.
    end: u64,
    /// The last hash before `end`.
    seal: Hash,
    /// Up to where the file was written, if only with zeros.
    prepared: u64,
    /// Up to where zeros are to be written.
    target: u64,
    /// Whether it ends in its closing frame.
    closed: bool,
    /// Whether the file may differ from what is known of it.
    suspect: bool,
}

impl Segment {
    fn create(directory: &Directory, sealer: &Sealer, previous: &Head) -> Result<Self, Fault> {
        let first = previous.sequence + 1;
        directory.create_segment(first, &sealer.header(previous))?;
        Self::reopen(directory, first, SEGMENT_HEADER_BYTES as u64, false)
    }

    /// Opens the segment, and durably cuts it to `end`, before which a hash stands.
    fn reopen(directory: &Directory, first: u64, end: u64, closed: bool) -> Result<Self, Fault> {
        let path: Arc<Path> = segment_path(&directory.path, first).into();
        let failed = || Fault::on("open the segment", &path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed())?;
        let identity = Identity::of(&file.metadata().map_err(failed())?);
        let mut seal = [0; HASH_BYTES];
        file.read_exact_at(&mut seal, end - HASH_BYTES as u64)
            .map_err(failed())?;
        let mut segment = Self {
            file,
            identity,
            path,
            first,
            end,
            seal,
            prepared: end,
            target: end,
            closed,
            suspect: false,
        };
        segment.cut()?;
        Ok(segment)
    }

    fn is_full_for(&self, bytes: u64, segment_bytes: u64) -> bool {
        let has_entries = self.end > SEGMENT_HEADER_BYTES as u64;
        has_entries && self.end + bytes + FRAME_OVERHEAD_BYTES as u64 > segment_bytes
    }

    /// Goes on writing zeros, once few are left, until there are enough again.
    fn prepare(&mut self, segment_bytes: u64) {
        let wanted = (self.end * 4).clamp(LEAST_AHEAD_BYTES, MOST_AHEAD_BYTES);
        if self.prepared < self.end + wanted / 4 && self.prepared >= self.target {
            self.target = (self.end + wanted).min(segment_bytes);
        }
        if self.prepared < self.target && !self.closed && !self.suspect {
            let piece = (self.target - self.prepared).min(ZEROS.len() as u64);
            let written = self.file.write_all_at(&ZEROS[..piece as usize], self.prepared);
            // Where there is no room, what is written next says so.
            self.prepared += if written.is_ok() { piece } else { 0 };
        }
    }

    /// Makes `bytes` durable at the end; `seal` is their last hash.
    fn write(&mut self, bytes: &[u8], seal: Hash) -> Result<(), Fault> {
        let end = self.end;
        let written = self.file.write_all_at(bytes, end);
        written.map_err(Fault::on("write to the segment", &self.path))?;
        self.sync()?;
        self.end += bytes.len() as u64;
        self.seal = seal;
        self.prepared = self.prepared.max(self.end);
        Ok(())
    }

    fn close(&mut self, frame: &[u8; FRAME_OVERHEAD_BYTES]) -> Result<(), Fault> {
        let cut = self.file.set_len(self.end);
        cut.map_err(Fault::on("cut the segment", &self.path))?;
        self.prepared = self.end;
        let seal = array(frame, FRAME_OVERHEAD_BYTES - HASH_BYTES).unwrap_or_default();
        self.write(frame, seal)?;
        self.closed = true;
        Ok(())
    }

    fn cut(&mut self) -> Result<(), Fault> {
        let cut = self.file.set_len(self.end);
        cut.map_err(Fault::on("cut the segment", &self.path))?;
        self.prepared = self.end;
        self.sync()
    }

    /// What is synced into a file that was deleted or moved is lost: that is a failure too.
    fn sync(&self) -> Result<(), Fault> {
        self.file
            .sync_data()
            .map_err(Fault::on("sync the segment", &self.path))?;
        if self.identity.stands_at(&self.path) {
            return Ok(());
        }
        Err(Fault::on("find the segment", &self.path)(
            io::ErrorKind::NotFound.into(),
        ))
    }
}

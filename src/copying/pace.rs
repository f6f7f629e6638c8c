//! Writing much without getting into the way of others.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// So much may wait for the disk: what others sync meanwhile may have to wait for it too.
const UNSYNCED_BYTES: u64 = 4 << 20;
/// Whoever was slower than allowed for so long may catch up; for longer it may not.
const SAVED_UP: Duration = Duration::from_millis(50);

/// Writes at most so many bytes a second, in pieces that are synced one by one.
pub struct Pace {
    bytes_per_second: u64,
    /// When what was written so far may be written at the earliest.
    due: Instant,
    unsynced: u64,
}

impl Pace {
    pub fn new(megabytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: megabytes_per_second.saturating_mul(1 << 20).max(1),
            due: Instant::now(),
            unsynced: 0,
        }
    }

    /// To be called after each piece that was written to a file.
    pub fn wrote(&mut self, bytes: u64, file: &File) -> io::Result<()> {
        self.unsynced += bytes;
        if self.unsynced >= UNSYNCED_BYTES {
            file.sync_data()?;
            self.unsynced = 0;
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let now = Instant::now();
        self.due = self.due.max(now.checked_sub(SAVED_UP).unwrap_or(now)) + takes;
        std::thread::sleep(self.due.saturating_duration_since(now));
        Ok(())
    }
}

/// A file that is written at a pace.
pub struct Paced<'a> {
    pub file: &'a File,
    pub pace: &'a mut Pace,
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&mut &*self.file).write(bytes)?;
        self.pace.wrote(written as u64, self.file)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

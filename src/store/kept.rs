//! How long what the store holds is kept.

use crate::clock::TrustedClock;
use chrono::TimeDelta;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Whole sets can be rolled back for so long.
    pub rollback: TimeDelta,
    pub receipts: TimeDelta,
    pub rejects: TimeDelta,
    pub publications: TimeDelta,
}

/// What is kept for longer than there is a calendar is kept for ever.
pub(super) fn before(clock: &TrustedClock, time: TimeDelta) -> i64 {
    let at = clock.now().checked_sub_signed(time);
    at.map_or(0, |at| at.timestamp_millis().max(0))
}

/// Ids begin with the milliseconds at which they were made: no delivery of that time or later has one below this.
pub(super) fn first_id(at: i64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    id
}

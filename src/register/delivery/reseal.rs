//! Lines that came in before the pseudonym key changed, and are published after it.

use super::intake::{HEADER_BYTES, IDENTITY_BYTES, Intake, Lines, SORT_BYTES, agreement_key};
use super::{Delivery, DeliveryError};
use crate::journal::{JournalError, SetChange, resealed_change};
use crate::pseudonym::Reseal;
use crate::spill::{Merged, Sorter};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Delivery {
    /// Ends the input, once only, in the turn in which it is published: the lines are given the key of the journal
    /// that is in force by now.
    pub(super) fn end_input(&self, intake: &Intake) -> Result<Lines, DeliveryError> {
        let (mut lines, journal) = (intake.end()?, self.journal()?);
        if journal.key() != intake.journal.key() {
            let reseal = Reseal {
                from: Arc::clone(&intake.pseudonyms),
                to: self.pseudonyms(&journal)?,
            };
            lines.reseal = Some((reseal, journal));
        }
        Ok(lines)
    }
}

/// The same lines under another key, each with what it is sorted by.
pub(super) fn resealed(mut lines: Merged, reseal: &Reseal, scratch: &Path) -> io::Result<Sorter> {
    let damaged = || io::Error::other(JournalError::Corrupt("sorted line"));
    let mut sorter = Sorter::new(scratch, SORT_BYTES);
    let mut record = Vec::new();
    while let Some(line) = lines.next_record()? {
        let (header, mut change) = line.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        let change = SetChange::decode(&mut change).map_err(io::Error::other)?;
        let change = resealed_change(change.ok_or_else(damaged)?, reseal).map_err(io::Error::other)?;
        record.clear();
        record.extend(change.customer().customer_key().0);
        // Where no identity stands, they are in the order in which they came.
        if header[16..IDENTITY_BYTES] == [0; IDENTITY_BYTES - 16] {
            record.extend(&header[16..]);
        } else {
            record.extend(agreement_key(&change));
            record.extend(&header[22..]);
        }
        change.encode(&mut record);
        sorter.push(&record)?;
    }
    Ok(sorter)
}

//! The rows of `accounts`, against the records that they lead to.

use super::{Broken, Fault, Found};
use crate::pseudonym::Tag;
use crate::spill::{Merged, Sorter};
use crate::store::KeyId;
use rusqlite::{Connection, Row};
use std::cmp::Ordering;
use std::io;
use std::path::Path;

/// Memory for sorting.
const SORT_BYTES: usize = 64 << 20;
const TAG_BYTES: usize = 8;

/// The accounts that records carry, in the order of `accounts`.
pub(super) struct Pointers(Sorter);

/// Where one leads, in the order of rows: tag, set, customer.
type Pointer = Vec<u8>;

fn pointer(tag: &[u8], set_id: i64, subject: &[u8]) -> Pointer {
    [tag, &set_id.to_be_bytes(), subject].concat()
}

fn set_id_of(pointer: &[u8]) -> i64 {
    let id = pointer.get(TAG_BYTES..).and_then(|rest| rest.first_chunk());
    id.map_or(-1, |id| i64::from_be_bytes(*id))
}

impl Pointers {
    pub(super) fn new(scratch: &Path) -> Self {
        Self(Sorter::new(scratch, SORT_BYTES))
    }

    /// Notes what has to point to an account; what is not required may.
    pub(super) fn expect(
        &mut self,
        tag: Tag,
        set_id: i64,
        subject: &[u8],
        is_required: bool,
    ) -> io::Result<()> {
        let mut pointer = pointer(&tag.0, set_id, subject);
        // The one that is required comes first of two that are alike.
        pointer.push(u8::from(!is_required));
        self.0.push(&pointer)
    }

    /// Compares them with the rows, in one pass over both.
    pub(super) fn check(self, connection: &Connection, found: &mut Found) -> Result<(), Broken> {
        let mut expected = Expected(self.0.finish().map_err(Broken::Scratch)?, Vec::new());
        let mut statement = connection
            .prepare("SELECT tag, set_id, subject, key FROM accounts ORDER BY tag, set_id, subject")?;
        let mut rows = statement.query([])?;
        let mut next = expected.next().map_err(Broken::Scratch)?;
        while let Some(row) = rows.next()? {
            let Some(stored) = stored(row, found)? else {
                continue;
            };
            loop {
                let order = next
                    .as_ref()
                    .map_or(Ordering::Greater, |next| next.0.cmp(&stored));
                if order == Ordering::Greater {
                    add(found, &stored, Fault::Pointer);
                    break;
                }
                if let Some((missing, true)) = next.as_ref().filter(|_| order == Ordering::Less) {
                    add(found, missing, Fault::NoPointer);
                }
                next = expected.next().map_err(Broken::Scratch)?;
                if order == Ordering::Equal {
                    break;
                }
            }
        }
        while let Some((missing, is_required)) = next {
            if is_required {
                add(found, &missing, Fault::NoPointer);
            }
            next = expected.next().map_err(Broken::Scratch)?;
        }
        Ok(())
    }
}

fn add(found: &mut Found, pointer: &[u8], fault: Fault) {
    let set = found.sets.get(&set_id_of(pointer)).and_then(|tally| tally.set);
    found.findings.add(set, fault);
}

/// A row of `accounts` that is read; one of no set or of another shape is a finding.
fn stored(row: &Row<'_>, found: &mut Found) -> Result<Option<Pointer>, Broken> {
    let set_id = row.get(1)?;
    let Some(tally) = found.set_of(set_id) else {
        return Ok(None);
    };
    let (set, is_read) = (tally.set, tally.reads(KeyId(row.get(3)?)));
    let fault = match (is_read, row.get_ref(0)?.as_blob(), row.get_ref(2)?.as_blob()) {
        (Ok(true), Ok(tag), Ok(subject)) if tag.len() == TAG_BYTES => {
            return Ok(Some(pointer(tag, set_id, subject)));
        }
        (Ok(false), ..) => return Ok(None),
        (Ok(true), ..) => Fault::PointerShape,
        (Err(fault), ..) => fault,
    };
    found.findings.add(set, fault);
    Ok(None)
}

/// What is expected, each once, and whether it is required.
struct Expected(Merged, Pointer);

impl Expected {
    fn next(&mut self) -> io::Result<Option<(Pointer, bool)>> {
        while let Some(sorted) = self.0.next_record()? {
            let Some((optional, pointer)) = sorted.split_last() else {
                continue;
            };
            if pointer != self.1 {
                pointer.clone_into(&mut self.1);
                return Ok(Some((pointer.to_vec(), *optional == 0)));
            }
        }
        Ok(None)
    }
}

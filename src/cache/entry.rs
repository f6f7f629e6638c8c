//! What is kept in Redis: keys, and entries that carry a MAC.
//!
//! A key is a short prefix and the synthetic IV of the sealed customer or account, which nobody can reverse without the
//! key of the pseudonyms. An entry is, all numbers big-endian:
//!
//! ```text
//! format version 1 | publication: number 8, drawn 8 | number of rows 2 | rows | MAC 16
//! row of a customer: bank 4 | role and flags 1 | first day 3 | last day 3
//! row of an account: bank 4 | first day 3 | last day 3
//! ```
//!
//! The MAC is over the kind, the sealed value in full and all that stands before it, under a key of its own. So an entry
//! that was forged, copied under another key or written by another register is told from ours, and so is one of
//! another value whose synthetic IV happens to be the same.

use super::Cached;
use crate::domain::delivery::PublicationId;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::{Interval, Relationship, Role};
use crate::pseudonym::{MasterKey, Sealed};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use chrono::{Datelike, NaiveDate};

/// What the keys of all entries begin with, and of nothing else in a Redis that is shared. Another format takes another
/// one, so that a release and the one before it do not refuse each other's entries while both run.
pub(super) const PREFIX: &[u8] = b"kf1:";
/// More rows are not cached: reading the store costs little more than so long an entry.
pub const MOST_ROWS: usize = 2_000;

const FORMAT_VERSION: u8 = 1;
/// Before the rows: version, number and drawn bytes of the publication, number of rows.
const HEAD_BYTES: usize = 1 + 8 + 8 + 2;
const MAC_BYTES: usize = 16;
/// Bytes of synthetic IV in a key.
const IV_BYTES: usize = 16;
/// The last day of what still runs.
const STILL_RUNNING: [u8; 3] = [0xff; 3];

/// What an entry is about.
pub(super) trait Row: Copy {
    /// Tells the kinds apart, in keys and under the MAC.
    const KIND: u8;
    const BYTES: usize;
    /// `None` where it holds what the format has no room for.
    fn write(&self, to: &mut Vec<u8>) -> Option<()>;
    fn read(from: &[u8]) -> Option<Self>;
}

/// Under which key the entry of a customer or account stands.
pub(super) fn redis_key<R: Row>(sealed: &Sealed) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX.len() + 2 + IV_BYTES);
    key.extend_from_slice(PREFIX);
    key.extend_from_slice(&[R::KIND, b':']);
    key.extend(sealed.as_bytes().iter().take(IV_BYTES));
    key
}

/// Keys that are never written, and read to see whether Redis answers.
pub(super) fn probe_key(number: u8) -> Vec<u8> {
    [PREFIX, b"p:", &[number]].concat()
}

/// Writes entries and reads them back.
pub(super) struct Entries {
    key: hmac::Key,
}

impl Entries {
    pub(super) fn new(key: &MasterKey) -> Self {
        let derived = key.derive::<32>("cache/mac");
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        }
    }

    /// `None` where there is more than an entry may hold.
    pub(super) fn encode<R: Row>(&self, sealed: &Sealed, at: PublicationId, held: &[R]) -> Option<Vec<u8>> {
        if held.len() > MOST_ROWS {
            return None;
        }
        let mut entry = Vec::with_capacity(HEAD_BYTES + held.len() * R::BYTES + MAC_BYTES);
        entry.push(FORMAT_VERSION);
        entry.extend_from_slice(&at.number.to_be_bytes());
        entry.extend_from_slice(&at.drawn);
        entry.extend_from_slice(&u16::try_from(held.len()).ok()?.to_be_bytes());
        for row in held {
            row.write(&mut entry)?;
        }
        let tag = self.tag::<R>(sealed, &entry);
        entry.extend(tag.as_ref().iter().take(MAC_BYTES));
        Some(entry)
    }

    /// `None` for what was not written by [`encode`](Self::encode) for the same customer or account.
    pub(super) fn decode<R: Row>(&self, sealed: &Sealed, entry: &[u8]) -> Option<Cached<R>> {
        let (body, mac) = entry.split_last_chunk::<MAC_BYTES>()?;
        let tag = self.tag::<R>(sealed, body);
        verify_slices_are_equal(tag.as_ref().first_chunk::<MAC_BYTES>()?, mac).ok()?;
        let (head, rows) = body.split_first_chunk::<HEAD_BYTES>()?;
        let (&[version], rest) = head.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (drawn, rest) = rest.split_first_chunk()?;
        let (count, _) = rest.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        if version != FORMAT_VERSION || count > MOST_ROWS || rows.len() != count * R::BYTES {
            return None;
        }
        let at = PublicationId {
            number: u64::from_be_bytes(*number),
            drawn: *drawn,
        };
        let held = rows.chunks_exact(R::BYTES).map(R::read).collect::<Option<_>>()?;
        Some(Cached { at, held })
    }

    fn tag<R: Row>(&self, sealed: &Sealed, body: &[u8]) -> hmac::Tag {
        let sealed = sealed.as_bytes();
        let mut context = hmac::Context::with_key(&self.key);
        // A sealed value is at most 80 bytes long.
        context.update(&[R::KIND, u8::try_from(sealed.len()).unwrap_or(u8::MAX)]);
        context.update(sealed);
        context.update(body);
        context.sign()
    }
}

impl Row for HeldRelationship {
    const KIND: u8 = b'c';
    const BYTES: usize = 11;

    fn write(&self, to: &mut Vec<u8>) -> Option<()> {
        let relationship = &self.relationship;
        let role = match relationship.role {
            Role::Owner => 0,
            Role::SecondaryOwner => 1,
            Role::Other => 2,
            Role::Unknown => 3,
        };
        let flags = u8::from(relationship.creditable) << 2 | u8::from(relationship.holds_funds) << 3;
        to.extend_from_slice(&self.bank.as_u32().to_be_bytes());
        to.push(role | flags);
        write_interval(relationship.interval(), to)
    }

    fn read(from: &[u8]) -> Option<Self> {
        let (bank, rest) = from.split_first_chunk()?;
        let (&[flags], interval) = rest.split_first_chunk()?;
        let role = match flags & 0b0011 {
            0 => Role::Owner,
            1 => Role::SecondaryOwner,
            2 => Role::Other,
            _ => Role::Unknown,
        };
        if flags & 0b1111_0000 != 0 {
            return None;
        }
        let (creditable, holds_funds) = (flags & 0b0100 != 0, flags & 0b1000 != 0);
        Some(Self {
            bank: read_bank(*bank)?,
            relationship: Relationship::new(role, creditable, holds_funds, read_interval(interval)?),
        })
    }
}

impl Row for HeldAccount {
    const KIND: u8 = b'a';
    const BYTES: usize = 10;

    fn write(&self, to: &mut Vec<u8>) -> Option<()> {
        to.extend_from_slice(&self.bank.as_u32().to_be_bytes());
        write_interval(self.interval, to)
    }

    fn read(from: &[u8]) -> Option<Self> {
        let (bank, interval) = from.split_first_chunk()?;
        Some(Self {
            bank: read_bank(*bank)?,
            interval: read_interval(interval)?,
        })
    }
}

fn read_bank(bytes: [u8; 4]) -> Option<OrganizationNumber> {
    OrganizationNumber::from_u32(u32::from_be_bytes(bytes))
}

/// Days are counted from 1 January of year 1.
fn write_interval(interval: Interval, to: &mut Vec<u8>) -> Option<()> {
    to.extend_from_slice(&day_bytes(interval.from())?);
    let last = match interval.to() {
        Some(day) => day_bytes(day)?,
        None => STILL_RUNNING,
    };
    to.extend_from_slice(&last);
    Some(())
}

fn day_bytes(day: NaiveDate) -> Option<[u8; 3]> {
    let [0, high, middle, low] = u32::try_from(day.num_days_from_ce()).ok()?.to_be_bytes() else {
        return None;
    };
    let bytes = [high, middle, low];
    (bytes != STILL_RUNNING).then_some(bytes)
}

fn read_interval(bytes: &[u8]) -> Option<Interval> {
    let day = |[high, middle, low]: [u8; 3]| {
        NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes([0, high, middle, low]))
    };
    let (first, rest) = bytes.split_first_chunk()?;
    let last = match *rest.first_chunk()? {
        STILL_RUNNING => None,
        last => Some(day(last)?),
    };
    Interval::new(day(*first)?, last)
}

#[cfg(test)]
mod tests;

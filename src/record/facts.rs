//! What a record is, before its entries are looked at.

use super::fault::RecordFault;
use super::sqlite::Reader;
use crate::pseudonym::KeyFingerprint;
use std::collections::BTreeSet;
use std::path::Path;

/// The schema of a record in a SQLite file, and the keys that its heads were made with.
pub fn facts(path: &Path) -> Result<(u32, Vec<KeyFingerprint>), RecordFault> {
    let reader = Reader::open(path)?;
    let keys: BTreeSet<KeyFingerprint> = reader.heads()?.iter().map(|listed| listed.key).collect();
    Ok((reader.schema()?, keys.into_iter().collect()))
}

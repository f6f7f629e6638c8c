//! Receipts, rejected lines, kept calls and publications.

use super::{Broken, Fault, Found};
use crate::domain::delivery::{DeliveryKind, DeliveryState, LineFault};
use crate::domain::relationship::SetId;
use crate::store::sqlite::receipts;
use crate::store::{KeyId, SetChange, Standing};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

type Check = fn(&Connection, &mut Found) -> Result<(), Broken>;

/// The tables, and what is checked of each.
pub(super) const CHECKS: [(&str, Check); 4] = [
    ("deliveries", check_receipts),
    ("rejects", check_rejects),
    ("pending_calls", check_calls),
    ("publications", check_publications),
];

fn check_receipts(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let columns = receipts::COLUMNS;
    let mut statement = connection.prepare(&format!(
        "SELECT {columns}, d.set_id, d.version, d.before FROM deliveries d LEFT JOIN sets s ON s.id = d.set_id"
    ))?;
    let first_more = statement.column_count() - 3;
    let mut standing = HashSet::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some(tally) = found.set_of(row.get(first_more)?) else {
            continue;
        };
        let set = tally.set;
        match check_receipt(row, first_more, tally.version) {
            Ok(Some(whole_set)) => {
                standing.insert(whole_set);
            }
            Ok(None) => {}
            // Without its set's row it cannot be read.
            Err(_) if set.is_none() => {}
            Err(fault) => found.findings.add(set, fault),
        }
    }
    let lacks: Vec<Option<SetId>> = found
        .sets
        .values()
        .filter(|tally| tally.whole_set.is_some_and(|id| !standing.contains(&id)))
        .map(|tally| tally.set)
        .collect();
    lacks
        .into_iter()
        .for_each(|set| found.findings.add(set, Fault::WholeSet));
    Ok(())
}

/// Gives the id of a whole set that stands.
fn check_receipt(row: &Row<'_>, first_more: usize, set_version: u64) -> Result<Option<Uuid>, Fault> {
    const COLUMN: Fault = Fault::Receipt("a column");
    let receipt = receipts::receipt(row).map_err(|cause| Fault::receipt(&cause))?;
    let version: Option<u64> = row.get(first_more + 1).map_err(|_| COLUMN)?;
    let before: Option<String> = row.get(first_more + 2).map_err(|_| COLUMN)?;
    if before.is_some_and(|before| serde_json::from_str::<Standing>(&before).is_err()) {
        return Err(Fault::Receipt("a set before it"));
    }
    let was_published = match receipt.state {
        DeliveryState::Published | DeliveryState::RolledBack | DeliveryState::Superseded => true,
        DeliveryState::Receiving | DeliveryState::Rejected | DeliveryState::Abandoned => false,
    };
    if was_published && (version.is_none() || receipt.published_at.is_none() || receipt.records.is_none()) {
        return Err(Fault::Receipt("a publication"));
    }
    if version.is_some_and(|version| version > set_version) {
        return Err(Fault::Receipt("a version"));
    }
    let stands = receipt.kind == DeliveryKind::WholeSet && receipt.state == DeliveryState::Published;
    Ok(stands.then_some(receipt.delivery_id))
}

fn check_rejects(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let mut statement = connection
        .prepare("SELECT d.set_id, r.faults FROM rejects r LEFT JOIN deliveries d ON d.id = r.delivery")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: Option<i64> = row.get(0)?;
        let set = id.and_then(|id| found.sets.get(&id)).and_then(|tally| tally.set);
        let faults = row.get_ref(1)?.as_str().ok();
        let faults = faults.and_then(|faults| serde_json::from_str::<Vec<LineFault>>(faults).ok());
        if faults.is_none_or(|faults| faults.is_empty()) {
            found.findings.add(set, Fault::Reject);
        }
    }
    Ok(())
}

fn check_calls(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let mut statement = connection.prepare("SELECT set_id, change, key FROM pending_calls")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some(tally) = found.set_of(row.get(0)?) else {
            continue;
        };
        let (set, is_read) = (tally.set, tally.reads(KeyId(row.get(2)?)));
        let mut change = row.get_ref(1)?.as_blob().unwrap_or_default();
        // One change, and nothing after it.
        let is_change = matches!(SetChange::decode(&mut change), Ok(Some(_))) && change.is_empty();
        match is_read {
            Err(fault) => found.findings.add(set, fault),
            Ok(_) if !is_change => found.findings.add(set, Fault::Call),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn check_publications(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let mut statement = connection
        .prepare("SELECT number, set_id, version, drawn, changed FROM publications ORDER BY number")?;
    let mut rows = statement.query([])?;
    let (mut last_number, mut last_versions) = (None, HashMap::new());
    while let Some(row) = rows.next()? {
        let (number, set_id): (i64, i64) = (row.get(0)?, row.get(1)?);
        if last_number.replace(number).is_some_and(|last| last + 1 != number) {
            found.findings.add(None, Fault::Gap);
        }
        let Some(tally) = found.set_of(set_id) else {
            continue;
        };
        let (set, set_version) = (tally.set, tally.version);
        let last_version = last_versions.entry(set_id).or_insert(0);
        match check_publication(row, *last_version, set_version) {
            Ok(version) => *last_version = version,
            Err(fault) => found.findings.add(set, fault),
        }
    }
    Ok(())
}

/// Gives its version.
fn check_publication(row: &Row<'_>, last_version: u64, set_version: u64) -> Result<u64, Fault> {
    let version = row.get(2).map_err(|_| Fault::Publication("a version"))?;
    if version < last_version || version > set_version {
        return Err(Fault::Publication("a version"));
    }
    row.get::<_, [u8; 8]>(3)
        .map_err(|_| Fault::Publication("drawn bytes"))?;
    match row.get_ref(4) {
        Ok(ValueRef::Null) => Ok(version),
        Ok(ValueRef::Blob(tags)) if tags.len().is_multiple_of(8) => Ok(version),
        _ => Err(Fault::Publication("a list of changes")),
    }
}

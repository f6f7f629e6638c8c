//! 1,000 random edits of a record of 10,000 entries in two chains, by somebody without the key. Every one is found,
//! given the heads that were published.

use crate::table::{begin, fault, head, open, place, record, ring, row, tamper, verify};
use aws_lc_rs::digest::{SHA256, digest};
use kundeforhold::record::KeptHead;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ENTRIES: [usize; 2] = [6_000, 4_000];
const EDITS: u64 = 1_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as i64
    }
}

/// Two chains, each closed once in between, and the heads that were published of them.
async fn written() -> (TempDir, PathBuf, Vec<KeptHead>) {
    let (folder, path) = place();
    let mut heads = Vec::new();
    for (entries, number) in ENTRIES.into_iter().zip(0..) {
        for half in 0..2 {
            let recorder = match (number, half) {
                (1, 0) => begin(&path, ring(1, &[])),
                _ => open(&path, ring(1, &[])),
            };
            let first = half * entries / 2;
            record(&recorder, first..first + entries / 2, 0).await;
            recorder.close().await;
            // As it is put into the log at the end.
            heads.push(head(&recorder));
        }
    }
    (folder, path, heads)
}

fn entry_at(table: &Connection, place: i64) -> (Vec<u8>, Vec<u8>) {
    let found = table.query_row(
        "SELECT entry, hash FROM entries WHERE place = ?1",
        [place],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    found.unwrap()
}

fn set(table: &Connection, place: i64, (entry, hash): &(Vec<u8>, Vec<u8>)) {
    let sql = "INSERT OR REPLACE INTO entries (place, entry, hash) VALUES (?1, ?2, ?3)";
    assert_eq!(table.execute(sql, params![place, entry, hash]).unwrap(), 1);
}

fn delete(table: &Connection, first: i64, last: i64) {
    let sql = "DELETE FROM entries WHERE place BETWEEN ?1 AND ?2";
    assert!(table.execute(sql, [first, last]).unwrap() > 0);
}

/// Makes room for one entry before another, or closes up behind one.
fn shift(table: &Connection, from: i64, last: i64, by: i64) {
    let away = 1_i64 << 50;
    let shift = "UPDATE entries SET place = place + ?3 WHERE place BETWEEN ?1 AND ?2";
    table.execute(shift, [from, last, away + by]).unwrap();
    table
        .execute(shift, [from + away + by, last + away + by, -away])
        .unwrap();
}

/// Hashes anew from an entry on, as somebody would who covers a change up.
fn hash_again(table: &Connection, chain: i64, from: i64, last: i64) {
    let (_, mut hash) = entry_at(table, row(chain, from - 1));
    for sequence in from..=last {
        let (entry, _) = entry_at(table, row(chain, sequence));
        let hashed = [&hash[..], &sequence.to_be_bytes(), &entry].concat();
        hash = digest(&SHA256, &hashed).as_ref().to_vec();
        set(table, row(chain, sequence), &(entry, hash.clone()));
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len() as i64) as usize;
    bytes[at] ^= 1 << random.below(8);
}

/// Changes the record, and tells how.
fn edit(table: &Connection, other: &Connection, random: &mut Random) -> &'static str {
    let chain = 1 + random.below(2);
    let last = ENTRIES[chain as usize - 1] as i64;
    let at = 2 + random.below(last - 2);
    match random.below(16) {
        0 => {
            let mut changed = entry_at(table, row(chain, at));
            flip(&mut changed.0, random);
            set(table, row(chain, at), &changed);
            "a bit of an entry flipped"
        }
        1 => {
            let mut changed = entry_at(table, row(chain, at));
            flip(&mut changed.1, random);
            set(table, row(chain, at), &changed);
            "a bit of a hash flipped"
        }
        2 => {
            delete(table, row(chain, 1), row(chain, at));
            "the first entries cut"
        }
        3 => {
            delete(table, row(chain, at), row(chain, last));
            "the end cut"
        }
        4 => {
            delete(table, row(chain, at), row(chain, last));
            table
                .execute("DELETE FROM heads WHERE number > ?1", [1 + 3 * (chain - 1)])
                .unwrap();
            "the end cut, and the list of heads with it"
        }
        5 => {
            let (one, next) = (row(chain, at - 1), row(chain, at));
            let entries = (entry_at(table, one), entry_at(table, next));
            set(table, one, &entries.1);
            set(table, next, &entries.0);
            "two entries swapped"
        }
        6 => {
            delete(table, row(chain, at), row(chain, at));
            "an entry deleted"
        }
        7 => {
            delete(table, row(chain, at), row(chain, at));
            shift(table, row(chain, at + 1), row(chain, last), -1);
            "an entry deleted, and the ones behind it moved up"
        }
        8 => {
            let copy = entry_at(table, row(chain, 1 + random.below(last)));
            shift(table, row(chain, at), row(chain, last), 1);
            set(table, row(chain, at), &copy);
            "an entry inserted"
        }
        9 => {
            for sequence in at..=last {
                set(
                    table,
                    row(chain, sequence),
                    &entry_at(other, row(chain, sequence)),
                );
            }
            "another record's chain spliced in"
        }
        10 => {
            let from = 1 + random.below(ENTRIES[1] as i64 - 1);
            for sequence in from..=ENTRIES[1] as i64 {
                let (one, two) = (row(1, sequence), row(2, sequence));
                let entries = (entry_at(table, one), entry_at(table, two));
                set(table, one, &entries.1);
                set(table, two, &entries.0);
            }
            "the ends of the two chains exchanged"
        }
        11 => {
            let mut changed = entry_at(table, row(chain, at));
            let middle = changed.0.len() / 2;
            changed.0[middle] ^= 1;
            set(table, row(chain, at), &changed);
            hash_again(table, chain, at, last);
            "an entry changed and the rest hashed again"
        }
        12 => {
            delete(table, row(chain, 1), row(chain, last));
            "a chain emptied"
        }
        13 => {
            delete(table, row(chain, 1), row(chain, last));
            table
                .execute("DELETE FROM heads WHERE chain = ?1", [chain])
                .unwrap();
            table
                .execute("UPDATE heads SET number = number - 3 * (?1 = 1)", [chain])
                .unwrap();
            "a chain dropped as a whole"
        }
        14 => {
            let number = 1 + random.below(6);
            match random.below(2) {
                0 => table.execute("DELETE FROM heads WHERE number = ?1", [number]),
                _ => table.execute("UPDATE heads SET at = at - 1 WHERE number = ?1", [number]),
            }
            .unwrap();
            "the list of heads changed"
        }
        _ => {
            delete(table, row(1, 1), row(2, last));
            table.execute("DELETE FROM heads", []).unwrap();
            "all emptied"
        }
    }
}

/// Edits a copy, and verifies it.
fn is_found(
    copy: &Path,
    other: &Connection,
    heads: &[KeptHead],
    random: &mut Random,
) -> (&'static str, bool) {
    let mut table = tamper(copy);
    table.pragma_update(None, "synchronous", "OFF").unwrap();
    let transaction = table.transaction().unwrap();
    let kind = edit(&transaction, other, random);
    transaction.commit().unwrap();
    drop(table);
    let verification = verify(copy, &ring(1, &[]), heads);
    (
        kind,
        !verification.holds() && verification.first_fault().is_some(),
    )
}

#[tokio::test]
async fn every_one_of_1000_random_edits_is_found() {
    let ((folder, path, heads), (_other_folder, other, _)) = (written().await, written().await);
    let (keys, mut random) = (ring(1, &[]), Random(20_261_120));
    assert!(verify(&path, &keys, &heads).holds());
    let (copy, other) = (folder.path().join("copy.sqlite"), tamper(&other));
    let mut kinds = BTreeMap::<&str, u32>::new();
    for number in 0..EDITS {
        std::fs::copy(&path, &copy).unwrap();
        let (kind, found) = is_found(&copy, &other, &heads, &mut random);
        assert!(found, "edit {number}: {kind} was not found");
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds.len(), 16, "{kinds:?}");
    let verification = verify(&path, &keys, &heads);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(
        verification.proofs.iter().map(|proof| proof.entries).sum::<u64>(),
        10_000
    );
}

#[tokio::test]
async fn the_first_bad_entry_is_named() {
    let (_folder, path, heads) = written().await;
    let table = tamper(&path);
    let instance = heads[0].instance.unwrap();
    let mut changed = entry_at(&table, row(1, 4_711));
    changed.0[20] ^= 1;
    set(&table, row(1, 4_711), &changed);
    drop(table);
    let named = fault(&path, &ring(1, &[]), &heads);
    assert!(
        named.contains(&format!("entry 4711 of instance {instance}: ")) && named.contains("changed"),
        "{named}"
    );
}

/// What only a published head can tell: that there was more.
#[tokio::test]
async fn a_chain_that_was_dropped_with_the_end_of_the_list_of_heads_is_found_by_published_heads_only() {
    let (_folder, path, heads) = written().await;
    let table = tamper(&path);
    table.execute("DELETE FROM heads WHERE number > 3", []).unwrap();
    delete(&table, row(2, 1), row(2, ENTRIES[1] as i64));
    drop(table);
    assert!(verify(&path, &ring(1, &[]), &heads[..2]).holds());
    let named = fault(&path, &ring(1, &[]), &heads);
    assert!(named.contains("a chain is gone"), "{named}");
    // The same chain's entries put back do not hide that its end in the list is gone.
    assert!(!verify(&path, &ring(1, &[]), &heads[3..]).holds());
}

//! 1,000 random edits of a log of 10,000 entries, by somebody without the key. Every one is found.

use crate::log::{fault, head, open, record, ring, segments, verify};
use kundeforhold::audit::KeptHead;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ENTRIES: usize = 10_000;
const EDITS: u64 = 1_000;
const SEGMENT_BYTES: u64 = 200_000;

/// Of a segment's header, of a frame's header, of a hash: see `src/chain/format.rs`.
const SEGMENT_HEADER: usize = 88;
const FRAME_HEADER: usize = 21;
const HASH: usize = 32;

type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

async fn written() -> (TempDir, Vec<KeptHead>) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    let mut heads = Vec::new();
    for start in (0..ENTRIES).step_by(2500) {
        record(&recorder, start..start + 2500, 0).await;
        heads.push(head(&recorder));
    }
    recorder.close().await;
    (folder, heads)
}

fn read(folder: &Path) -> Files {
    segments(folder)
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

/// Where each entry's frame begins, and where the last ends.
fn frames(segment: &[u8]) -> Vec<usize> {
    let mut starts = vec![SEGMENT_HEADER];
    let mut at = SEGMENT_HEADER;
    while segment.get(at) == Some(&1) {
        let length = u32::from_be_bytes(segment[at + 1..at + 5].try_into().unwrap());
        at += FRAME_HEADER + length as usize + HASH;
        starts.push(at);
    }
    starts
}

/// Hashes anew from the frame at `from` on, as somebody would who covers a change up.
fn hash_again(segment: &mut [u8], from: usize) {
    let frames = frames(segment);
    for pair in frames.windows(2).filter(|pair| pair[0] >= from) {
        let (start, end) = (pair[0] - HASH, pair[1] - HASH);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &segment[start..end]);
        segment[end..end + HASH].copy_from_slice(hash.as_ref());
    }
}

/// Changes the files, and tells how.
fn edit(files: &mut Files, other: &Files, random: &mut Random) -> &'static str {
    let paths: Vec<PathBuf> = files.keys().cloned().collect();
    let path = random.pick(&paths).clone();
    let segment = files.get_mut(&path).unwrap();
    let frames = frames(segment);
    let entries = frames.len() - 1;
    match random.below(10) {
        0 => {
            let at = random.below(segment.len());
            segment[at] ^= 1 << random.below(8);
            "a bit flipped"
        }
        1 => {
            files.remove(&paths[0]);
            "the first segment deleted"
        }
        2 => {
            let cut = frames[random.below(entries) + 1] - SEGMENT_HEADER;
            let first = files.get_mut(&paths[0]).unwrap();
            first.drain(SEGMENT_HEADER..SEGMENT_HEADER + cut.min(first.len() - SEGMENT_HEADER));
            "the first entries cut"
        }
        3 => {
            paths[1 + random.below(paths.len() - 1)..]
                .iter()
                .for_each(|path| drop(files.remove(path)));
            "the last segments deleted"
        }
        4 => {
            let last = files.get_mut(paths.last().unwrap()).unwrap();
            let length = SEGMENT_HEADER + random.below(last.len() - SEGMENT_HEADER);
            last.truncate(length);
            "the end cut"
        }
        5 => {
            let at = random.below(entries - 1);
            segment[frames[at]..frames[at + 2]].rotate_left(frames[at + 1] - frames[at]);
            "two entries swapped"
        }
        6 => {
            files.remove(&path);
            "a segment deleted"
        }
        7 => {
            let theirs = other.values().nth(random.below(other.len())).unwrap();
            match random.below(2) {
                0 => segment.clone_from(theirs),
                _ => {
                    let theirs = &theirs[SEGMENT_HEADER..];
                    segment.splice(SEGMENT_HEADER.., theirs.iter().copied());
                }
            }
            "another log spliced in"
        }
        8 => {
            let (from, to) = (random.below(entries), random.below(entries + 1));
            let copy = segment[frames[from]..frames[from + 1]].to_vec();
            segment.splice(frames[to]..frames[to], copy);
            "an entry inserted"
        }
        _ => {
            let at = frames[random.below(entries)];
            segment[at + FRAME_HEADER + 45] ^= 1;
            hash_again(segment, at);
            "an entry changed and the rest hashed again"
        }
    }
}

/// Makes the folder's files from what they were to what they shall be.
fn put(were: &Files, shall_be: &Files) {
    for path in were.keys().filter(|path| !shall_be.contains_key(*path)) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in shall_be
        .iter()
        .filter(|(path, bytes)| were.get(*path) != Some(bytes))
    {
        std::fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn every_one_of_1000_random_edits_is_found() {
    let ((folder, heads), (other, _)) = (written().await, written().await);
    let (whole, other) = (read(folder.path()), read(other.path()));
    assert!(whole.len() >= 10, "{} segments", whole.len());
    let (keys, mut random) = (ring(1, &[]), Random(20_261_120));
    assert!(verify(folder.path(), &keys, &heads).holds());
    let mut kinds = BTreeMap::<&str, u32>::new();
    for number in 0..EDITS {
        let mut edited = whole.clone();
        let kind = edit(&mut edited, &other, &mut random);
        assert_ne!(edited, whole, "edit {number}: {kind} changed nothing");
        put(&whole, &edited);
        let verification = verify(folder.path(), &keys, &heads);
        assert!(!verification.holds(), "edit {number}: {kind} was not found");
        assert!(verification.first_fault().is_some());
        *kinds.entry(kind).or_default() += 1;
        put(&edited, &whole);
    }
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    assert!(verify(folder.path(), &keys, &heads).holds());
}

#[tokio::test]
async fn the_first_bad_entry_is_named() {
    let (folder, heads) = written().await;
    let path = segments(folder.path()).remove(3);
    let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut segment = std::fs::read(&path).unwrap();
    let at = frames(&segment)[7] + FRAME_HEADER + 20;
    segment[at] ^= 1;
    std::fs::write(&path, segment).unwrap();
    let named = fault(folder.path(), &ring(1, &[]), &heads);
    assert!(
        named.contains(&format!("segment {first:020}, entry {}:", first + 7)),
        "{named}"
    );
}

#[tokio::test]
async fn a_torn_end_is_reported_and_no_fault() {
    let (folder, heads) = written().await;
    let path = segments(folder.path()).pop().unwrap();
    let mut segment = std::fs::read(&path).unwrap();
    let last = frames(&segment)[0];
    let half = segment[last..last + 60].to_vec();
    segment.extend(half);
    std::fs::write(&path, segment).unwrap();
    let verification = verify(folder.path(), &ring(1, &[]), &heads);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert!(verification.proofs[0].torn_bytes > 0);
    assert_eq!(verification.proofs[0].entries, ENTRIES as u64);
}

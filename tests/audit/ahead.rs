//! The zeros that are written ahead of what is recorded.

use super::log::{open, record, ring, segments, verify};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of the only segment, and where its last one that is not zero ends.
fn length_and_end(folder: &Path) -> (usize, usize) {
    let path = segments(folder).pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let on_disk = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(on_disk as usize >= bytes.len(), "there is a hole");
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (bytes.len(), last + 1)
}

#[tokio::test]
async fn entries_overwrite_zeros_and_what_is_left_of_them_is_cut_off_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), 64 << 20);
    for number in 0..10 {
        record(&recorder, number..number + 1, 0).await;
    }
    let (length, end) = length_and_end(folder.path());
    assert!(length > end + (512 << 10), "{length} {end}");
    record(&recorder, 10..11, 0).await;
    let (after, moved) = length_and_end(folder.path());
    assert_eq!(after, length);
    assert!(moved > end);
    let verification = verify(folder.path(), &ring(1, &[]), &[]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(
        (verification.proofs[0].entries, verification.proofs[0].torn_bytes),
        (11, 0)
    );
    recorder.close().await;
    let (length, end) = length_and_end(folder.path());
    assert_eq!(length, end);
}

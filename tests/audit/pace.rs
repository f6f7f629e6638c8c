//! How long verification takes. `tests/long.sh` asks for a million entries in a release build.

use crate::log::{head, open, record, ring, verify};
use std::time::{Duration, Instant};

const BOUND_PER_MILLION: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_million_entries_are_verified_in_five_seconds() {
    let given = std::env::var("AUDIT_ENTRIES").ok();
    let entries: usize = given.as_deref().map_or(20_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), 64 << 20);
    record(&recorder, 0..entries, 0).await;
    let last = head(&recorder);
    recorder.close().await;
    let started = Instant::now();
    let verification = verify(folder.path(), &ring(1, &[]), &[last]);
    let elapsed = started.elapsed();
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, entries as u64);
    println!("{entries} entries verified in {:.2} s", elapsed.as_secs_f64());
    if given.is_some() {
        assert!(elapsed.as_secs_f64() < BOUND_PER_MILLION.as_secs_f64() * entries as f64 / 1e6);
    }
}

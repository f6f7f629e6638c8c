//! The chain on real files, and on real file systems that fill up, freeze and go away.

use kundeforhold::chain::{
    AppendError, Chain, Corrupt, Entry, Flaw, Head, HeadKey, OpenError, Options, ReadError, Recovery, entries,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const FRAME_OVERHEAD: usize = 53;

fn key() -> HeadKey {
    HeadKey::new([7; 32])
}

fn small_segments() -> Options {
    Options {
        segment_bytes: 2048,
        ..Options::default()
    }
}

fn open(directory: &Path, options: Options) -> (Chain, Recovery) {
    Chain::open(directory, &key(), options).expect("chain opens")
}

fn open_error(directory: &Path, key: &HeadKey) -> OpenError {
    // A process that another test is just starting holds the lock until it has become that process.
    for _ in 0..200 {
        match Chain::open(directory, key, Options::default()).err() {
            Some(OpenError::InUse(_)) => std::thread::sleep(Duration::from_millis(5)),
            refused => return refused.expect("chain does not open"),
        }
    }
    panic!("the chain stays in use");
}

fn payload(number: u64) -> Vec<u8> {
    format!("entry {number} {}", "x".repeat(number as usize % 97)).into_bytes()
}

async fn append_range(chain: &Chain, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let appended = chain.append(payload(number)).await.expect("append succeeds");
        assert_eq!(appended.sequence, number);
    }
}

/// A closed chain of `count` entries.
async fn written(count: u64, options: Options) -> (TempDir, Head) {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), options);
    append_range(&chain, 1..=count).await;
    chain.close().await.unwrap();
    (directory, chain.head())
}

fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    files
}

fn verify(directory: &Path) -> Result<(Vec<Entry>, u64), ReadError> {
    let mut all = entries(directory, &key())?;
    let found = all.by_ref().collect::<Result<Vec<_>, _>>()?;
    Ok((found, all.torn_bytes()))
}

fn first_corruption(directory: &Path) -> Corrupt {
    match verify(directory) {
        Err(ReadError::Corrupt(corrupt)) => corrupt,
        Err(ReadError::Io(fault)) => panic!("{fault}: {}", fault.source),
        Ok((found, torn)) => panic!("no corruption in {} entries, {torn} bytes torn", found.len()),
    }
}

#[tokio::test]
async fn appended_entries_are_read_back_after_reopening() {
    let (directory, head) = written(40, small_segments()).await;
    assert!(segment_files(directory.path()).len() >= 2);
    let (chain, recovery) = open(directory.path(), small_segments());
    assert_eq!(
        recovery,
        Recovery {
            entries: 40,
            torn_bytes: 0,
            created: false
        }
    );
    assert_eq!(chain.head(), head);
    append_range(&chain, 41..=80).await;
    let (found, torn) = verify(directory.path()).unwrap();
    assert_eq!((found.len(), torn), (80, 0));
    for (entry, number) in found.iter().zip(1..) {
        assert_eq!((entry.sequence, &entry.payload), (number, &payload(number)));
    }
    assert_eq!(found[79].hash, chain.head().hash);
    chain.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_flushes() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(
        directory.path(),
        Options {
            segment_bytes: 40_000,
            ..Options::default()
        },
    );
    let appends = (0..2000).map(|number| chain.append(payload(number)));
    let mut sequences: Vec<_> = futures_util::future::join_all(appends)
        .await
        .into_iter()
        .map(|done| done.unwrap().sequence)
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=2000).collect::<Vec<_>>());
    assert!(chain.flushes() < 500, "{} flushes", chain.flushes());
    assert_eq!(verify(directory.path()).unwrap().0.len(), 2000);
    assert_eq!(chain.entries().unwrap().count(), 2000);
}

#[tokio::test]
async fn segments_are_private_and_bounded() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("audit");
    let (chain, _) = open(&directory, small_segments());
    append_range(&chain, 1..=60).await;
    chain.close().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in segment_files(&directory) {
        assert_eq!(mode(&file), 0o600);
        assert!(fs::metadata(&file).unwrap().len() <= 2048);
    }
}

#[tokio::test]
async fn close_cuts_preallocated_zeros() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), Options::default());
    append_range(&chain, 1..=1).await;
    let file = segment_files(directory.path()).remove(0);
    assert_eq!(verify(directory.path()).unwrap().1, 0);
    chain.close().await.unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().len(),
        (88 + FRAME_OVERHEAD + payload(1).len()) as u64
    );
    assert!(matches!(chain.append(payload(2)).await, Err(AppendError::Closed)));
    assert!(matches!(chain.close().await, Err(AppendError::Closed)));
}

#[tokio::test]
async fn chain_that_was_not_closed_keeps_what_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), small_segments());
    append_range(&chain, 1..=30).await;
    let copy = TempDir::new().unwrap();
    for file in segment_files(directory.path()) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let (copied, recovery) = open(copy.path(), small_segments());
    assert_eq!(
        recovery,
        Recovery {
            entries: 30,
            torn_bytes: 0,
            created: false
        }
    );
    assert_eq!(copied.head(), chain.head());
}

#[tokio::test]
async fn torn_tail_at_every_byte_of_the_last_frame_recovers_to_the_entry_before() {
    let (directory, _) = written(6, Options::default()).await;
    let file = segment_files(directory.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let frame_bytes = FRAME_OVERHEAD + payload(6).len();
    let start = whole.len() - frame_bytes;
    for kept in 0..frame_bytes {
        for zeros_after in [0, frame_bytes - kept, 5000] {
            let mut torn = whole[..start + kept].to_vec();
            torn.resize(start + kept + zeros_after, 0);
            let is_whole = torn.starts_with(&whole);
            fs::write(&file, &torn).unwrap();
            assert_eq!(
                verify(directory.path()).unwrap().0.len(),
                if is_whole { 6 } else { 5 }
            );
            let (chain, recovery) = open(directory.path(), Options::default());
            assert_eq!(
                recovery.entries,
                if is_whole { 6 } else { 5 },
                "{kept} bytes kept"
            );
            let written = whole[start..start + kept]
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            assert_eq!(recovery.torn_bytes, if is_whole { 0 } else { written as u64 });
            if kept % 16 == 0 {
                append_range(&chain, recovery.entries + 1..=8).await;
                assert_eq!(verify(directory.path()).unwrap().0.len(), 8);
            }
            chain.close().await.unwrap();
        }
    }
}

/// Appends ten entries until ten share one flush; returns how many entries, and bytes of `file`, came before it.
async fn append_in_one_flush(chain: &Chain, file: &Path) -> (usize, usize) {
    for _ in 0..1000 {
        let (before, flushes) = (chain.head().sequence as usize, chain.flushes());
        let bytes = fs::read(file)
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap()
            + 1;
        let group = (0..10).map(|number| chain.append(payload(50 + number)));
        assert!(
            futures_util::future::join_all(group)
                .await
                .iter()
                .all(Result::is_ok)
        );
        if chain.flushes() == flushes + 1 {
            return (before, bytes);
        }
    }
    panic!("no flush was shared by ten");
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_that_lost_any_sector_is_torn() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), Options::default());
    append_range(&chain, 1..=5).await;
    let file = segment_files(directory.path()).remove(0);
    let (durable, durable_bytes) = append_in_one_flush(&chain, &file).await;
    chain.close().await.unwrap();
    let whole = fs::read(&file).unwrap();
    let mut lost = 0;
    for sector in durable_bytes / 512..whole.len().div_ceil(512) {
        let mut torn = whole.clone();
        torn[(sector * 512).max(durable_bytes)..((sector + 1) * 512).min(whole.len())].fill(0);
        fs::write(&file, &torn).unwrap();
        let (found, torn_bytes) = verify(directory.path()).unwrap();
        assert!(
            (durable..durable + 10).contains(&found.len()),
            "{} entries",
            found.len()
        );
        lost += torn_bytes;
    }
    assert!(lost > 0);
    let (chain, recovery) = open(directory.path(), Options::default());
    append_range(&chain, recovery.entries + 1..=recovery.entries + 3).await;
}

#[tokio::test]
async fn changed_byte_anywhere_is_found() {
    let (directory, _) = written(120, small_segments()).await;
    let files = segment_files(directory.path());
    assert!(files.len() > 4);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..600 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let file = &files[random as usize % files.len()];
        let whole = fs::read(file).unwrap();
        let is_last = Some(file) == files.last();
        let last_frame = if is_last {
            FRAME_OVERHEAD + payload(120).len()
        } else {
            0
        };
        let mut changed = whole.clone();
        changed[(random >> 16) as usize % (whole.len() - last_frame)] ^= 1 << ((random >> 8) % 8);
        fs::write(file, &changed).unwrap();
        let corrupt = first_corruption(directory.path());
        let named = format!("{:020}.seg", corrupt.segment);
        assert_eq!(
            file.file_name().unwrap().to_str(),
            Some(named.as_str()),
            "{corrupt}"
        );
        fs::write(file, &whole).unwrap();
    }
    assert_eq!(verify(directory.path()).unwrap().0.len(), 120);
}

#[tokio::test]
async fn changed_bit_of_the_last_entry_is_no_torn_tail() {
    let (directory, _) = written(4, Options::default()).await;
    let file = segment_files(directory.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let start = whole.len() - FRAME_OVERHEAD - payload(4).len();
    for at in start..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&file, &changed).unwrap();
        assert_eq!(first_corruption(directory.path()).sequence, 4, "byte {at}");
        let refused = open_error(directory.path(), &key());
        assert!(matches!(
            refused,
            OpenError::Corrupt(Corrupt {
                sequence: 4,
                flaw: Flaw::Changed,
                ..
            })
        ));
    }
}

#[tokio::test]
async fn damage_before_the_last_flush_is_never_cut_off() {
    let (directory, _) = written(8, Options::default()).await;
    let file = segment_files(directory.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for from in (88..whole.len() - 2 * FRAME_OVERHEAD - 40).step_by(7) {
        let mut damaged = whole.clone();
        damaged[from..from + 30].fill(0);
        fs::write(&file, &damaged).unwrap();
        let refused = open_error(directory.path(), &key());
        assert!(matches!(refused, OpenError::Corrupt(_)), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), damaged);
    }
}

#[tokio::test]
async fn missing_segment_is_found() {
    let (directory, head) = written(120, small_segments()).await;
    let files = segment_files(directory.path());
    for (missing, file) in files.iter().enumerate().take(files.len() - 1) {
        let bytes = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        assert_eq!(
            first_corruption(directory.path()).flaw,
            Flaw::Missing,
            "segment {missing}"
        );
        assert!(matches!(
            open_error(directory.path(), &key()),
            OpenError::Corrupt(_)
        ));
        fs::write(file, bytes).unwrap();
    }
    fs::remove_file(files.last().unwrap()).unwrap();
    let mut cut = entries(directory.path(), &key()).unwrap();
    assert!(cut.by_ref().all(|entry| entry.is_ok()));
    assert_ne!(cut.head(), head, "a cut tail shows in the head");
}

#[tokio::test]
async fn reordered_or_cut_entries_and_segments_are_found() {
    let (directory, _) = written(120, small_segments()).await;
    let files = segment_files(directory.path());
    let (first, second) = (fs::read(&files[1]).unwrap(), fs::read(&files[2]).unwrap());
    fs::write(&files[1], &second).unwrap();
    fs::write(&files[2], &first).unwrap();
    assert_eq!(first_corruption(directory.path()).flaw, Flaw::Header);
    fs::write(&files[2], &second).unwrap();

    let frame = |number: u64| FRAME_OVERHEAD + payload(number).len();
    let first_number: u64 = files[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let (a, b) = (88, 88 + frame(first_number));
    let c = b + frame(first_number + 1);
    let swapped = [&first[..a], &first[b..c], &first[a..b], &first[c..]].concat();
    let without = [&first[..a], &first[b..]].concat();
    let twice = [&first[..b], &first[a..]].concat();
    for changed in [
        swapped,
        without,
        twice,
        first[..c].to_vec(),
        [&first[..], &[0]].concat(),
    ] {
        fs::write(&files[1], changed).unwrap();
        assert_eq!(first_corruption(directory.path()).segment, first_number);
    }
}

#[tokio::test]
async fn spliced_logs_are_found() {
    let (directory, _) = written(120, small_segments()).await;
    let other = TempDir::new().unwrap();
    let (chain, _) = open(other.path(), small_segments());
    chain.append([&payload(1)[..6], b"2"].concat()).await.unwrap();
    append_range(&chain, 2..=120).await;
    chain.close().await.unwrap();
    let (ours, theirs) = (segment_files(directory.path()), segment_files(other.path()));
    assert_eq!(ours[2].file_name(), theirs[2].file_name());
    fs::copy(&theirs[2], &ours[2]).unwrap();
    assert_eq!(first_corruption(directory.path()).flaw, Flaw::Spliced);
    assert!(matches!(
        open_error(directory.path(), &key()),
        OpenError::Corrupt(_)
    ));
}

#[tokio::test]
async fn another_key_or_version_is_refused() {
    let (directory, _) = written(3, Options::default()).await;
    let flaw = |key: &HeadKey| match open_error(directory.path(), key) {
        OpenError::Corrupt(corrupt) => corrupt.flaw,
        other => panic!("{other}"),
    };
    assert_eq!(flaw(&HeadKey::new([8; 32])), Flaw::Header);
    let file = segment_files(directory.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[7] = 2;
    fs::write(&file, bytes).unwrap();
    assert_eq!(flaw(&key()), Flaw::UnknownVersion(2));
}

#[tokio::test]
async fn second_writer_is_refused_until_the_first_closes() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), Options::default());
    assert!(matches!(
        Chain::open(directory.path(), &key(), Options::default()).err(),
        Some(OpenError::InUse(_))
    ));
    chain.close().await.unwrap();
    open(directory.path(), Options::default());
}

#[tokio::test]
async fn payload_larger_than_its_bound_is_refused() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(
        directory.path(),
        Options {
            max_entry_bytes: 10,
            ..Options::default()
        },
    );
    let refused = chain.append(vec![0; 11]).await;
    assert!(matches!(
        refused,
        Err(AppendError::TooLarge { bytes: 11, limit: 10 })
    ));
    assert_eq!(chain.append(vec![0; 10]).await.unwrap().sequence, 1);
}

#[test]
fn head_key_is_masked() {
    assert_eq!(format!("{:?}", key()), "HeadKey(***)");
}

#[tokio::test]
async fn deleted_segment_is_an_error_for_as_long_as_it_is_gone() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(directory.path(), Options::default());
    append_range(&chain, 1..=3).await;
    let file = segment_files(directory.path()).remove(0);
    let saved = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    for _ in 0..3 {
        let Err(AppendError::Io(fault)) = chain.append(payload(4)).await else {
            panic!("silence")
        };
        assert_eq!(
            (&*fault.path, fault.source.kind()),
            (&*file, std::io::ErrorKind::NotFound)
        );
    }
    fs::write(&file, [&saved[..200], &[9; 2000]].concat()).unwrap();
    assert!(
        matches!(chain.append(payload(4)).await, Err(AppendError::Io(_))),
        "another file is not taken"
    );
    assert_eq!(chain.head().sequence, 3);
    fs::write(&file, saved).unwrap();
    append_range(&chain, 4..=5).await;
    assert_eq!(verify(directory.path()).unwrap().0.len(), 5);
}

#[tokio::test]
async fn directory_that_comes_back_is_written_again() {
    let parent = TempDir::new().unwrap();
    let (here, away) = (parent.path().join("audit"), parent.path().join("away"));
    let (chain, _) = open(&here, small_segments());
    append_range(&chain, 1..=3).await;
    for round in 0..20 {
        fs::rename(&here, &away).unwrap();
        assert!(matches!(chain.append(payload(9)).await, Err(AppendError::Io(_))));
        assert!(!here.exists(), "no new chain is begun");
        fs::rename(&away, &here).unwrap();
        append_range(&chain, 4 + round..=4 + round).await;
    }
    chain.close().await.unwrap();
    assert_eq!(verify(&here).unwrap().0.len(), 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_beside_a_writer_sees_a_prefix() {
    let directory = TempDir::new().unwrap();
    let (chain, _) = open(
        directory.path(),
        Options {
            segment_bytes: 100_000,
            ..Options::default()
        },
    );
    append_range(&chain, 1..=1).await;
    let path = directory.path().to_owned();
    let reader = tokio::task::spawn_blocking(move || {
        let mut most = 0;
        while most < 1500 {
            let (found, _) = verify(&path).unwrap();
            assert!(found.len() >= most);
            most = found.len();
        }
    });
    for _ in 0..200 {
        futures_util::future::join_all((0..10).map(|number| chain.append(payload(number)))).await;
    }
    reader.await.unwrap();
}

/// A file system of its own for a test that runs as root; `None` where none can be mounted.
struct Mount(TempDir);

impl Mount {
    fn new(arguments: &[&str]) -> Option<Self> {
        let point = TempDir::new().unwrap();
        let mounted = Command::new("mount").args(arguments).arg(point.path()).output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(point))
    }

    fn freeze(&self, option: &str) -> bool {
        Command::new("fsfreeze")
            .arg(option)
            .arg(self.0.path())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.0.path()).output();
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn full_disk_is_an_error_until_it_has_room() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=2m", "none"]) else {
        return;
    };
    let directory = mount.0.path().join("audit");
    let (chain, _) = open(
        &directory,
        Options {
            segment_bytes: 100_000,
            ..Options::default()
        },
    );
    append_range(&chain, 1..=3).await;
    let filler = mount.0.path().join("filler");
    let mut number = 3;
    for _ in 0..2 {
        assert!(fs::write(&filler, vec![1; 4 << 20]).is_err());
        let fault = loop {
            match chain.append(payload(number + 1)).await {
                Ok(_) => number += 1,
                Err(AppendError::Io(fault)) => break fault,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(fault.source.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(chain.head().sequence, number);
        assert!(chain.append(payload(0)).await.is_err());
        fs::remove_file(&filler).unwrap();
        append_range(&chain, number + 1..=number + 5).await;
        number += 5;
    }
    chain.close().await.unwrap();
    assert_eq!(verify(&directory).unwrap().0.len() as u64, number);
}

#[tokio::test]
async fn disk_that_blocks_does_not_hang_the_caller() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(image.path()).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return;
    }
    let Some(mount) = Mount::new(&["-o", "loop", image.path().to_str().unwrap()]) else {
        return;
    };
    let wait = Duration::from_millis(200);
    let options = Options {
        append_timeout: wait,
        close_timeout: wait,
        queue_entries: 2,
        ..Options::default()
    };
    let (chain, _) = open(&mount.0.path().join("audit"), options);
    append_range(&chain, 1..=3).await;
    if !mount.freeze("-f") {
        return;
    }
    let started = Instant::now();
    for append in futures_util::future::join_all((0..6).map(|_| chain.append(payload(4)))).await {
        assert!(matches!(append, Err(AppendError::TimedOut)));
    }
    assert!(matches!(
        chain.append(payload(4)).await,
        Err(AppendError::TimedOut)
    ));
    assert!(started.elapsed() < 4 * wait);
    assert!(mount.freeze("-u"));
    let appended = chain.append(payload(9)).await.unwrap();
    chain.close().await.unwrap();
    let (found, torn) = verify(&mount.0.path().join("audit")).unwrap();
    assert_eq!((found.len() as u64, torn), (appended.sequence, 0));
}

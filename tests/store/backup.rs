//! A register to one file and back: proved on the way, and never half there.

use crate::deliveries::{change, kar, record, records, standing_records, whole_set, write};
use crate::place::{Place, on_sqlite, ring};
use kundeforhold::backup::{
    Backup, BackupError, Deed, Keys, Last, Manifest, Part, Restore, Restored, Source, last, note, prove,
    restore,
};
use kundeforhold::copying::{CopyError, Pace, Scratch};
use kundeforhold::pseudonym::{MasterKey, PseudonymRing};
use kundeforhold::record::KeyRing;
use kundeforhold::store::{Held, RowWrite, Store, StoreError, StorePlace};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

fn sources(place: &Place) -> [Source; 1] {
    [Source {
        part: Part::Register,
        path: place.path(),
    }]
}

pub fn archive(place: &Place) -> PathBuf {
    place.scratch().join("backup.tar")
}

/// Of a record that is not in these backups.
static RING: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::new(&MasterKey::generate().unwrap(), &[]));

fn keys(register: &PseudonymRing) -> Keys<'_> {
    Keys {
        register,
        record: &RING,
    }
}

fn fast() -> Pace {
    Pace::new(10_000)
}

pub fn back_up(place: &Place, key: &PseudonymRing, replace: bool) -> Result<Manifest, BackupError> {
    let scratch = Scratch::take(&place.scratch(), 0).unwrap();
    let backup = Backup {
        sources: &sources(place),
        scratch: &scratch,
        keys: keys(key),
        pace: fast(),
        tell: &mut |_| {},
    };
    backup.make(&archive(place), replace)
}

pub fn restore_to(
    place: &Place,
    from: &Path,
    replace: bool,
    key: &PseudonymRing,
) -> Result<Restored, BackupError> {
    let with = Restore {
        sources: &sources(place),
        replace,
        keys: keys(key),
        keep_free_bytes: 0,
        pace: fast(),
        tell: &mut |_| {},
    };
    restore(from, with)
}

fn prove_at(place: &Place, file: &Path) -> Result<Manifest, BackupError> {
    let scratch = Scratch::take(&place.scratch(), 0).unwrap();
    prove(file, &[Part::Register], &keys(&ring(1, None)), &scratch, fast())
}

/// What stands in the folder of a place.
fn files(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.scratch()).unwrap();
    let mut names: Vec<_> = names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_register_comes_back_as_it_was_and_goes_on() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..3_000)).await;
        change(&store, kar(), vec![RowWrite::End(record(7, 7))]).await;
        let (sets, expected) = (store.sets(), standing_records(&store, kar()).await);
        let manifest = back_up(&place, &ring(1, None), false).unwrap();
        let [part] = manifest.parts.as_slice() else {
            panic!("{manifest:?}")
        };
        assert_eq!((part.name.as_str(), part.schema), ("register.sqlite", 1));
        let key = ring(1, None).present().fingerprint();
        assert_eq!(part.keys, [key.map(|byte| format!("{byte:02x}")).concat()]);
        let mode = std::fs::metadata(archive(&place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // Elsewhere, where nothing stands.
        let other = Place::new(crate::place::Engine::Sqlite);
        let restored = restore_to(&other, &archive(&place), false, &ring(1, None)).unwrap();
        assert_eq!((restored.manifest, restored.set_aside), (manifest, vec![]));
        assert_eq!(files(&other), ["register.sqlite", "register.sqlite-lock"]);
        let restored = other.open();
        assert_eq!(*restored.sets(), *sets);
        assert_eq!(standing_records(&restored, kar()).await, expected);
        change(&restored, kar(), vec![RowWrite::Insert(record(7, 7))]).await;
        change(&store, kar(), vec![RowWrite::Insert(record(7, 7))]).await;
        // The same number with other bytes: neither takes the other's entries for its own.
        let (one, other) = (
            store.publications().last().unwrap(),
            restored.publications().last().unwrap(),
        );
        assert_eq!(one.number, other.number);
        assert_ne!(one.drawn, other.drawn);
    });
}

#[test]
fn what_stands_is_refused_or_set_aside_with_its_log() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        back_up(&place, &ring(1, None), false).unwrap();
        assert!(matches!(
            back_up(&place, &ring(1, None), false),
            Err(BackupError::Stands(_))
        ));
        whole_set(&store, kar(), &records(0..20)).await;
        // As if it had been killed: the log stands beside it.
        let killed = place.after_kill();
        assert!(files(&killed).contains(&"register.sqlite-wal".to_owned()));
        let refused = restore_to(&killed, &archive(&place), false, &ring(1, None)).unwrap_err();
        assert!(
            matches!(&refused, BackupError::PartStands(path) if *path == killed.path()),
            "{refused}"
        );
        let restored = restore_to(&killed, &archive(&place), true, &ring(1, None)).unwrap();
        assert_eq!(restored.set_aside.len(), 2, "{restored:?}");
        let aside = restored.set_aside[0].to.clone();
        assert_eq!(standing_records(&killed.open(), kar()).await, records(0..10));
        let sets = Store::look(&StorePlace::Sqlite(aside), &ring(1, None))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            sets.get(kar()).unwrap().standing.records,
            20,
            "it can be opened under its new name"
        );
        // A later backup takes the place of the first one only if told so.
        let first = std::fs::read(archive(&place)).unwrap();
        back_up(&place, &ring(1, None), true).unwrap();
        assert_ne!(std::fs::read(archive(&place)).unwrap(), first);
    });
}

#[test]
fn a_version_that_is_being_written_is_not_in_it() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..500)).await;
        let lock = store.lock(kar(), crate::deliveries::WAIT).await.unwrap();
        let amid = write(lock, &records(400..900)).unwrap();
        back_up(&place, &ring(1, None), false).unwrap();
        drop(amid);
        let other = Place::new(crate::place::Engine::Sqlite);
        restore_to(&other, &archive(&place), false, &ring(1, None)).unwrap();
        let restored = other.open();
        assert_eq!(standing_records(&restored, kar()).await, records(0..500));
        restored.sweep().await.unwrap();
        drop(restored);
        assert_eq!(crate::verify::verified(&other).findings, []);
    });
}

#[test]
fn a_service_that_serves_is_not_restored_to_nor_one_that_is_half_restored_served() {
    on_sqlite(async |place| {
        let store = place.open();
        back_up(&place, &ring(1, None), false).unwrap();
        assert!(matches!(Held::take(&place.path()), Err(StoreError::InUse(_))));
        store.close();
        drop(store);
        let held = Held::take(&place.path()).unwrap();
        held.begin_replacing().unwrap();
        drop(held);
        let half = StoreError::HalfRestored(place.path());
        assert_eq!(place.open_with(ring(1, None)).err(), Some(half.clone()));
        assert_eq!(
            Store::look(&place.address(), &ring(1, None)).await,
            Err(half.clone())
        );
        assert_eq!(Store::migrate(&place.address()).await, Err(half));
        restore_to(&place, &archive(&place), true, &ring(1, None)).unwrap();
        place.open();
    });
}

#[test]
fn no_byte_of_a_backup_can_be_changed_and_none_cut_off() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..300)).await;
        back_up(&place, &ring(1, None), false).unwrap();
        store.close();
        drop(store);
        let whole = std::fs::read(archive(&place)).unwrap();
        let spoiled = place.scratch().join("spoiled.tar");
        let (mut proved, standing) = (0, std::fs::read(place.path()).unwrap());
        // The two blocks of zeros at its end hold nothing.
        let content = whole.len() - 1_024;
        for n in 0..40 {
            let mut bytes = whole.clone();
            bytes[n * content / 40] ^= 1;
            std::fs::write(&spoiled, &bytes).unwrap();
            proved += usize::from(prove_at(&place, &spoiled).is_ok());
            assert!(restore_to(&place, &spoiled, true, &ring(1, None)).is_err());
            std::fs::write(&spoiled, &whole[..n * content / 40]).unwrap();
            let refused = prove_at(&place, &spoiled).unwrap_err();
            assert!(
                matches!(
                    refused,
                    BackupError::Cut(_) | BackupError::NoBackup { .. } | BackupError::Damaged { .. }
                ),
                "{refused}"
            );
        }
        assert_eq!(proved, 0);
        assert_eq!(
            std::fs::read(place.path()).unwrap(),
            standing,
            "nothing was replaced"
        );
        prove_at(&place, &archive(&place)).unwrap();
    });
}

#[test]
fn another_key_a_newer_format_and_what_is_no_backup_are_refused_before_anything_is_replaced() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        back_up(&place, &ring(1, None), false).unwrap();
        store.close();
        drop(store);
        let standing = std::fs::read(place.path()).unwrap();
        let refused = restore_to(&place, &archive(&place), true, &ring(2, None)).unwrap_err();
        assert!(
            matches!(refused, BackupError::Register(StoreError::OtherKey)),
            "{refused}"
        );
        let other = place.scratch().join("other.tar");
        let manifest = place.scratch().join("manifest.json");
        std::fs::write(&manifest, "{\"formatVersion\": 2, \"more\": []}").unwrap();
        tar(&other, &place.scratch(), &["manifest.json"]);
        let refused = restore_to(&place, &other, true, &ring(1, None)).unwrap_err();
        assert!(matches!(refused, BackupError::Format { found: 2 }), "{refused}");
        tar(&other, &place.scratch(), &["register.sqlite"]);
        let refused = restore_to(&place, &other, true, &ring(1, None)).unwrap_err();
        assert!(matches!(refused, BackupError::NoBackup { .. }), "{refused}");
        assert_eq!(std::fs::read(place.path()).unwrap(), standing);
        let left: Vec<_> = files(&place)
            .into_iter()
            .filter(|name| name.contains("-unpacked"))
            .collect();
        assert_eq!(left, [] as [&str; 0]);
    });
}

fn tar(file: &Path, directory: &Path, names: &[&str]) {
    let mut tar = Command::new("tar");
    let made = tar
        .arg("-cf")
        .arg(file)
        .arg("-C")
        .arg(directory)
        .args(names)
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn a_damaged_register_makes_no_backup_and_a_disk_without_room_neither() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..3_000)).await;
        store.close();
        drop(store);
        let scratch = Scratch::take(&place.scratch(), u64::MAX).unwrap();
        let given = ring(1, None);
        let backup = Backup {
            sources: &sources(&place),
            scratch: &scratch,
            keys: keys(&given),
            pace: fast(),
            tell: &mut |_| {},
        };
        let refused = backup.make(&archive(&place), false).unwrap_err();
        assert!(
            matches!(refused, BackupError::Copy(CopyError::NoRoom { .. })),
            "{refused}"
        );
        drop(scratch);
        let mut bytes = std::fs::read(place.path()).unwrap();
        let middle = bytes.len() / 2 / 4_096 * 4_096;
        bytes[middle..middle + 64].fill(0xff);
        std::fs::write(place.path(), bytes).unwrap();
        assert!(back_up(&place, &ring(1, None), false).is_err());
        assert!(!archive(&place).exists());
        assert!(
            !files(&place).iter().any(|name| name.contains("part")),
            "{:?}",
            files(&place)
        );
    });
}

/// Whoever has only the tools of the system.
#[test]
fn tar_unpacks_it() {
    on_sqlite(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        back_up(&place, &ring(1, None), false).unwrap();
        let other = Place::new(crate::place::Engine::Sqlite);
        let mut tar = Command::new("tar");
        let unpacked = tar
            .arg("-xf")
            .arg(archive(&place))
            .arg("-C")
            .arg(other.scratch())
            .status();
        assert!(unpacked.unwrap().success());
        assert_eq!(files(&other), ["manifest.json", "register.sqlite"]);
        assert_eq!(standing_records(&other.open(), kar()).await, records(0..10));
    });
}

#[test]
fn how_it_went_the_last_time_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let register = directory.path().join("register.sqlite");
    assert_eq!(last(&register, Deed::Backup), None);
    let mut went = Last {
        at: "2026-11-20T01:02:03Z".parse().unwrap(),
        seconds: 1.5,
        bytes: 7,
        faults: 0,
    };
    note(&register, Deed::Backup, &went).unwrap();
    assert_eq!(last(&register, Deed::Backup).as_ref(), Some(&went));
    assert_eq!(last(&register, Deed::StoreVerify), None);
    went.faults = 3;
    note(&register, Deed::Backup, &went).unwrap();
    assert_eq!(last(&register, Deed::Backup), Some(went));
}

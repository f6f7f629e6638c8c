//! `generate`, and what it makes in a real service.

use super::{done, program, refused, run, text};
use crate::harness::{EITHER_WAY, Service};
use std::collections::BTreeMap;
use std::path::Path;

fn generate(directory: &Path, more: &[&str]) -> std::process::Output {
    run(&[&["generate", "--directory", text(directory)], more].concat())
}

/// Names and contents of everything in a folder.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_same_seed_makes_the_same_files() {
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str, seed: &str| {
        let folder = directory.path().join(name);
        let output = generate(&folder, &["--relationships", "5000", "--seed", seed]);
        assert!(
            output.stderr.is_empty(),
            "no bar where no terminal is: {output:?}"
        );
        done(output);
        files(&folder)
    };
    let (one, again, other) = (made("one", "5"), made("again", "5"), made("other", "6"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let names: Vec<&String> = one.keys().collect();
    assert_eq!(
        names.len(),
        15,
        "12 banks, two of them in both registers: {names:?}"
    );
    let lines: usize = one
        .values()
        .map(|file| file.iter().filter(|byte| **byte == b'\n').count())
        .sum();
    let participants = one["participants.toml"]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    assert_eq!(lines - participants, 5000);
}

#[test]
fn compressed_files_hold_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str, more: &[&str]| {
        let folder = directory.path().join(name);
        done(generate(
            &folder,
            &[&["--relationships", "2000", "--banks", "1"], more].concat(),
        ));
        files(&folder.join("relationships")).pop_first().unwrap()
    };
    let (name, plain) = made("plain", &[]);
    let (gzip_name, gzip) = made("gzip", &["--gzip"]);
    let (zstd_name, zstd) = made("zstd", &["--zstd"]);
    assert_eq!(gzip_name, format!("{name}.gz"));
    assert_eq!(zstd_name, format!("{name}.zst"));
    assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), plain);
    let mut decoded = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut decoded).unwrap();
    assert_eq!(decoded, plain);
}

#[test]
fn nothing_is_overwritten_and_no_impossible_population_begun() {
    let directory = tempfile::tempdir().unwrap();
    done(generate(directory.path(), &["--relationships", "10"]));
    let before = files(directory.path());
    let said = refused(generate(directory.path(), &["--relationships", "20"]));
    assert!(said.contains("participants.toml"), "{said}");
    assert_eq!(files(directory.path()), before);
    let folder = directory.path().join("none");
    for wrong in [
        ["--banks", "0"],
        ["--customers", "1"],
        ["--relationships", "100000000000"],
    ] {
        refused(generate(&folder, &wrong));
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn a_generated_bank_delivers_and_its_customers_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let asked = directory.path().join("customers");
    let arguments = [
        "--relationships",
        "400",
        "--banks",
        "5",
        "--customers-file",
        text(&asked),
    ];
    done(generate(
        directory.path(),
        &[&arguments[..], &["--customers-listed", "20"]].concat(),
    ));
    let participants = std::fs::read_to_string(directory.path().join("participants.toml")).unwrap();
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service
            .replace_participants(&participants, "a file was read again")
            .await;
        for name in files(&directory.path().join("relationships")).keys() {
            let (bank, register) = name.strip_suffix(".ndjson").unwrap().split_once('-').unwrap();
            let mut push = program(&[
                "push",
                "--url",
                &service.url("/"),
                "--bank",
                bank,
                "--register",
                register,
            ]);
            push.arg("--file")
                .arg(directory.path().join("relationships").join(name));
            push.env("KUNDEFORHOLD_TOKEN", service.issuer.bank_token(bank));
            let said = done(
                tokio::task::spawn_blocking(move || push.output().unwrap())
                    .await
                    .unwrap(),
            );
            assert!(said.contains("published"), "{said}");
        }
        let customers = std::fs::read_to_string(&asked).unwrap();
        assert_eq!(customers.lines().count(), 20);
        for customer in customers.lines() {
            let ever = service.listed_between(customer, "1990-01-01", "2026-06-30").await;
            assert_ne!(ever, serde_json::json!([]), "{caching:?}: {customer}");
        }
    }
}

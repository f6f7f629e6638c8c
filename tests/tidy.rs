//! Holds the house to its order: which room may use which, where the environment is read, how long things are.

use std::path::{Path, PathBuf};

/// Files are mostly at most 300 lines; none may be longer than this.
const LONGEST_FILE: usize = 450;
/// No function may be longer than this.
const LONGEST_FUNCTION: usize = 70;

/// What each room may use of the others. `domain` comes last and uses none.
const ROOMS: [(&str, &[&str]); 21] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "server",
            "backup",
            "copying",
            "http",
            "register",
            "store",
            "record",
            "access",
            "sandbox",
            "config",
            "telemetry",
            "pseudonym",
            "text",
            "domain",
        ],
    ),
    (
        "server",
        &[
            "backup",
            "http",
            "register",
            "store",
            "cache",
            "record",
            "access",
            "config",
            "telemetry",
            "workers",
            "pseudonym",
            "secrets",
            "domain",
        ],
    ),
    (
        "http",
        &["register", "store", "record", "access", "workers", "domain"],
    ),
    (
        "register",
        &[
            "store",
            "cache",
            "record",
            "access",
            "spill",
            "workers",
            "pseudonym",
            "text",
            "domain",
        ],
    ),
    ("sandbox", &["register", "access", "domain"]),
    ("backup", &["record", "store", "copying", "pseudonym", "domain"]),
    (
        "store",
        &["copying", "spill", "workers", "clock", "pseudonym", "domain"],
    ),
    ("cache", &["pseudonym", "domain"]),
    ("record", &["store", "copying", "clock", "pseudonym", "domain"]),
    ("access", &["text", "domain"]),
    ("telemetry", &["config", "text"]),
    ("config", &["access", "pseudonym", "secrets", "text", "domain"]),
    ("pseudonym", &["secrets", "domain"]),
    ("secrets", &["text"]),
    ("copying", &[]),
    ("spill", &[]),
    ("workers", &[]),
    ("clock", &[]),
    ("text", &[]),
    ("domain", &[]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 40);
    found
}

/// `src/http/kfr.rs` and `src/spill.rs` are in the rooms `http` and `spill`.
fn room(path: &Path) -> String {
    let inside = path
        .strip_prefix(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.contains("/tests") || name.ends_with("fixture.rs")
}

/// The part of a file before its own tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn no_room_uses_one_that_stands_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let here = room(path);
        if here == "lib" {
            continue;
        }
        let allowed = ROOMS
            .iter()
            .find(|(name, _)| *name == here)
            .unwrap_or_else(|| panic!("the room {here} is not listed"))
            .1;
        for line in without_tests(text).lines() {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let known = ROOMS.iter().any(|(name, _)| *name == used);
                if known && used != here && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}: {here} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_knows_no_web_no_store_and_no_waiting() {
    for (path, text) in sources().iter().filter(|(path, _)| room(path) == "domain") {
        for word in [
            "actix", "redis::", "rusqlite", "tokio", "async fn", ".await", "Utc::now", "std::fs", "std::net",
            "reqwest",
        ] {
            assert!(
                !without_tests(text).contains(word),
                "{} mentions {word}",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_configuration_reads_the_environment() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| room(path) != "config" && !is_test(path))
    {
        assert!(!without_tests(text).contains("env::var"), "{}", path.display());
    }
}

#[test]
fn only_commands_print() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| room(path) != "cli" && !is_test(path))
    {
        for word in ["println!", "eprintln!", "dbg!"] {
            assert!(
                !without_tests(text).contains(word),
                "{} uses {word}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do_and_no_lint_is_silenced() {
    for (path, text) in sources() {
        for word in [
            "todo!",
            "unimplemented!",
            "TODO",
            "FIXME",
            "#[allow(",
            "#![allow(",
        ] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > LONGEST_FILE {
            wrong.push(format!("{} has {} lines", path.display(), lines.len()));
        }
        for (start, line) in lines.iter().enumerate() {
            let is_function = line.trim_start().starts_with("fn ") || line.contains(" fn ");
            if !is_function || line.trim_end().ends_with(';') || line.trim_start().starts_with("//") {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let closing = format!("{}}}", " ".repeat(indent));
            let length = lines[start..]
                .iter()
                .position(|line| *line == closing)
                .map_or(1, |end| end + 1);
            if length > LONGEST_FUNCTION {
                wrong.push(format!(
                    "{}:{} is a function of {length} lines",
                    path.display(),
                    start + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! The commands, run as an operator or a script runs them.

mod clients;
mod configuration;
mod demo;
mod generate;
mod index;
mod push;

use crate::harness::PROGRAM;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program with nothing of this process's environment that it would read.
pub fn program(arguments: &[&str]) -> Command {
    // What should have ended by itself is ended.
    let mut command = Command::new("timeout");
    command.args(["20", PROGRAM]).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("KUNDEFORHOLD") || name.starts_with("MASKINPORTEN") {
            command.env_remove(name);
        }
    }
    command
}

pub fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// Standard output of a command that did what it should.
pub fn done(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that refused said on standard error, once and to the point, with exit code 1.
pub fn refused(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let (before, sentence) = said.split_once("kundeforhold: ").expect("a sentence of its own");
    assert!(
        !sentence.contains("kundeforhold: ") && !before.contains("panic"),
        "{said}"
    );
    sentence.to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = [
        "demo",
        "serve",
        "check",
        "generate",
        "push",
        "lookup",
        "account",
        "issuer",
        "token",
        "index rebuild",
        "index verify",
        "backup",
        "restore",
        "key new",
        "openapi",
        "healthcheck",
    ];
    for command in commands {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let help = done(run(&arguments));
        assert!(
            help.contains("Example:") && help.contains(&format!("kundeforhold {command}")),
            "{help}"
        );
    }
    let all = done(run(&["--help"]));
    for command in commands {
        assert!(all.contains(command.split(' ').next().unwrap()), "{command}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        vec![],
        vec!["unknown"],
        vec!["serve", "--unknown"],
        vec!["serve", "extra"],
        vec!["demo", "--listen", "nowhere"],
        vec!["key", "new"],
        vec!["index"],
        vec!["lookup"],
        vec!["lookup", "--mandate", "m", "--token", "t", "--client-id", "c"],
        vec!["lookup", "--mandate", "m", "--client-id", "c"],
        vec![
            "lookup",
            "--mandate",
            "m",
            "--token",
            "t",
            "--only-primary-owner",
            "maybe",
        ],
        vec!["account", "--mandate", "m", "--token", "t", "--case", "no-uuid"],
        vec!["lookup", "--mandate", "m", "--token", "t", "--token-file", "f"],
        vec!["generate"],
        vec!["generate", "--directory", "d", "--gzip", "--zstd"],
        vec!["push", "--file", "f"],
        vec!["push", "--bank", "210011014", "--file", "f"],
        vec!["push", "--bank", "210011013", "--file", "f", "--register", "NICS"],
        vec!["push", "--bank", "210011013", "--file", "f", "--sequence", "1"],
        vec!["push", "--bank", "210011013", "--file", "f", "--attempts", "0"],
        vec![
            "push",
            "--bank",
            "210011013",
            "--file",
            "f",
            "--changes",
            "--confirm-shrink",
        ],
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_new_key_is_its_owners_alone_and_never_overwrites_one() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pseudonym.key");
    done(run(&["key", "new", text(&file)]));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key.trim_end());
    assert_eq!((key.lines().count(), decoded.unwrap().len()), (1, 64));
    let said = refused(run(&["key", "new", text(&file)]));
    assert!(said.contains("pseudonym.key"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    let other = directory.path().join("other.key");
    done(run(&["key", "new", text(&other)]));
    assert_ne!(std::fs::read_to_string(&other).unwrap(), key);
    refused(run(&["key", "new", "/nowhere/at/all.key"]));
}

#[test]
fn the_openapi_document_has_every_route_with_its_methods() {
    let document: Value = serde_json::from_str(&done(run(&["openapi"]))).unwrap();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let told: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods
                .filter(|key| *key != "parameters")
                .map(|method| (unnamed(path), method.to_uppercase()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told, routes());
}

/// The routes as the table of contents of the API has them.
fn routes() -> BTreeSet<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes.rs");
    let source = std::fs::read_to_string(file).unwrap();
    let mut routes = BTreeSet::new();
    for scope in source.split("web::scope(\"").skip(1) {
        let (mount, resources) = scope.split_once('"').unwrap();
        for resource in resources.split("resource(").skip(1) {
            let mut quoted = resource.split('"').skip(1).step_by(2);
            let (Some(path), Some(methods)) = (quoted.next(), quoted.next()) else {
                continue;
            };
            // The reading call is there without its last slash too, as one operation.
            if !path.starts_with('/') || path.ends_with("{institution}") {
                continue;
            }
            routes.extend(
                methods
                    .split(", ")
                    .map(|method| (unnamed(&format!("{mount}{path}")), method.to_owned())),
            );
        }
    }
    assert!(routes.len() >= 10, "{routes:?}");
    routes
}

/// A path whose parameters have lost their names.
fn unnamed(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

//! The commands, run as an operator or a script runs them.

mod clients;
mod configuration;
mod deliveries;
mod demo;
mod generate;
mod listings;
mod push;

use crate::harness::PROGRAM;
use kundeforhold::http::routes::lookup_route;
use serde_json::{Value, json};
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

/// Runs a client with this token, off the thread that the test's own servers may need.
pub async fn run_with(token: String, arguments: &[&str]) -> Output {
    let mut command = program(arguments);
    command.env("KUNDEFORHOLD_TOKEN", token);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Standard output of a command that did what it should.
pub fn done(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that refused said on standard error, once and to the point, with exit code 1.
pub fn refused(output: Output) -> String {
    failed(output, 1)
}

/// The same of one that could not reach the service.
pub fn unreachable(output: Output) -> String {
    failed(output, 3)
}

fn failed(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
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

/// The commands that the help of one lists, as they are typed.
fn commands_below(path: &[String]) -> Vec<Vec<String>> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = done(run(&arguments));
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    let below: Vec<Vec<String>> = lines
        .filter(|line| !line.starts_with("   "))
        .map(|line| [path, &[line.split_whitespace().next().unwrap().to_owned()]].concat())
        .collect();
    let commands = below.iter().flat_map(|command| commands_below(command));
    if below.is_empty() {
        vec![path.to_vec()]
    } else {
        commands.collect()
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = commands_below(&[]);
    assert!(commands.len() >= 23, "{commands:?}");
    for command in commands {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let typed = format!("kundeforhold {}", command.join(" "));
        arguments.push("--help");
        let help = done(run(&arguments));
        let example = help.split_once("Example:").expect(&typed).1;
        assert!(example.contains(&typed), "{help}");
    }
}

#[test]
fn shells_are_told_how_to_complete() {
    for (shell, test) in [
        ("bash", "bash -n"),
        ("zsh", "cat >/dev/null"),
        ("fish", "cat >/dev/null"),
    ] {
        let script = done(run(&["completions", shell]));
        assert!(script.contains("healthcheck") && script.contains("management-listen"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let checked = Command::new("sh")
            .args(["-c", &format!("{test} < {}", file.path().display())])
            .status();
        assert!(checked.unwrap().success(), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn no_color_is_respected() {
    // `script` gives it a terminal.
    let said = |no_color: &str| {
        let typed = format!("{PROGRAM} serve --unknown");
        let mut command = Command::new("script");
        command
            .args(["-qec", &typed, "/dev/null"])
            .env("NO_COLOR", no_color);
        let output = command.env("TERM", "xterm").stdin(Stdio::null()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(said("").contains('\u{1b}'), "{}", said(""));
    assert!(!said("1").contains('\u{1b}'), "{}", said("1"));
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
        vec!["cache"],
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
        vec!["receipts"],
        vec!["receipts", "--bank", "210011013", "--rejects"],
        vec!["receipts", "--bank", "210011013", "--limit", "501"],
        vec!["receipts", "--bank", "210011013", "--before", "no-uuid"],
        vec!["rollback", "--bank", "210011013"],
        vec!["participants", "--token", "t", "--token-file", "f"],
        vec!["services", "extra"],
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
    let lookups = told.iter().filter(|(path, _)| lookup_route(path).is_some());
    assert_eq!(lookups.count(), 4, "those that are shed under load");
}

#[test]
fn the_openapi_document_admits_every_encoding_that_is_taken() {
    let document: Value = serde_json::from_str(&done(run(&["openapi"]))).unwrap();
    let methods = document["paths"].as_object().unwrap().values();
    let operations = methods.flat_map(|methods| methods.as_object().unwrap().values());
    let parameters = operations.filter_map(|operation| operation["parameters"].as_array());
    let patterns: Vec<&Value> = parameters
        .flatten()
        .filter(|parameter| parameter["name"] == "Content-Encoding")
        .map(|parameter| &parameter["schema"]["pattern"])
        .collect();
    assert_eq!(patterns, ["^(identity|gzip|zstd)$"; 2]);
}

#[test]
fn the_openapi_document_tells_what_coverage_and_rejects_are_made_of() {
    let document: Value = serde_json::from_str(&done(run(&["openapi"]))).unwrap();
    let answer = &document["paths"]["/v2/customers/customerRelationships"]["get"]["responses"]["200"];
    let coverage = answer["headers"]["Register-Coverage"]["description"]
        .as_str()
        .unwrap();
    for part in [
        "stale",
        "notLoaded",
        "beforeCoverage",
        "unknownOwnership",
        "beforeRetention",
    ] {
        assert!(coverage.contains(&format!("{part}=")), "{part}: {coverage}");
    }
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["RejectBody"]["required"], json!(["line", "faults"]));
    assert_eq!(
        schemas["FaultBody"]["required"],
        json!(["parameter", "code", "reason"])
    );
    let kind = schemas["ReceiptBody"]["properties"]["kind"]["description"]
        .as_str()
        .unwrap();
    for name in ["wholeSet", "changes", "batch", "rollback", "kfrCalls"] {
        assert!(kind.contains(&format!("`{name}`")), "{name}: {kind}");
    }
    let record = &schemas["RecordLine"]["required"];
    assert_eq!(*record, json!(["customerID", "role", "fromDate"]));
}

/// The routes as the table of contents of the API has them.
fn routes() -> BTreeSet<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes.rs");
    let source = std::fs::read_to_string(file).unwrap();
    // Its own tests have paths that are no routes.
    let (table, _tests) = source.split_once("#[cfg(test)]").unwrap();
    let mut routes = BTreeSet::new();
    for scope in table.split("web::scope(\"").skip(1) {
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

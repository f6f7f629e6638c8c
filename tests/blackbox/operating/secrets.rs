//! Secrets as Kubernetes and systemd mount them, and from the environment.

use crate::commands::{done, program, refused};
use crate::harness::{Caching, Service};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

const TOKEN: &str = "a-token-of-operators-that-is-long-enough";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn check(service: &Service, variables: &[(&str, &str)]) -> Output {
    let configuration = service.configuration();
    let mut command = program(&["check", "--config", configuration.to_str().unwrap()]);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[tokio::test]
async fn a_secret_that_its_group_may_read_is_taken_and_one_open_to_others_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("operator.token");
    std::fs::write(&token, TOKEN).unwrap();
    set_mode(&token, 0o440);
    let configuration = format!(
        "[console]\noperator_token_file = {:?}\n",
        token.display().to_string()
    );
    let mut service = Service::start_on_file(Caching::Without, &configuration).await;
    service.terminate();
    let key = service.directory.path().join("pseudonym.key");
    for file in [&key, &token] {
        for mode in [0o440, 0o640, 0o400] {
            set_mode(file, mode);
            done(check(&service, &[]));
        }
        for mode in [0o444, 0o660, 0o604] {
            set_mode(file, mode);
            let said = refused(check(&service, &[]));
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(
                said.contains("chmod 600") && said.contains(name),
                "{mode:o}: {said}"
            );
        }
        set_mode(file, 0o440);
    }
    service.start_again();
    service.wait_until_ready().await;
}

#[tokio::test]
async fn every_secret_may_be_in_the_environment_and_is_taken_as_it_is_written() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    let key_file = service.directory.path().join("pseudonym.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    std::fs::remove_file(&key_file).unwrap();
    refused(check(&service, &[]));
    let key = ("KUNDEFORHOLD__PSEUDONYM__KEY", key.trim());
    assert!(done(check(&service, &[key])).contains("operators: without a token"));
    let token = ("KUNDEFORHOLD__CONSOLE__OPERATOR_TOKEN", TOKEN);
    assert!(done(check(&service, &[key, token])).contains("operators: with a token"));
    let short = ("KUNDEFORHOLD__CONSOLE__OPERATOR_TOKEN", "short");
    let said = refused(check(&service, &[key, short]));
    assert!(
        said.contains("console.operator_token") && !said.contains("short\""),
        "{said}"
    );
    // Digits stay the digits that they are.
    let digits = (
        "KUNDEFORHOLD__CONSOLE__OPERATOR_TOKEN",
        "00000000000000000000000000000000007",
    );
    done(check(&service, &[key, digits]));
    let no_pem = ("KUNDEFORHOLD__SERVER__TLS__KEY_PEM", "no key");
    let said = refused(check(&service, &[key, no_pem]));
    assert!(said.contains("server.tls.certificate"), "{said}");
}

#[tokio::test]
async fn a_list_is_empty_where_the_environment_says_so() {
    let mut service = Service::start_on_file(Caching::Without, "").await;
    service.terminate();
    done(check(&service, &[("KUNDEFORHOLD__IDENTIFIERS__SYNTHETIC", "")]));
    done(check(
        &service,
        &[("KUNDEFORHOLD__IDENTIFIERS__SYNTHETIC", " tenor, dolly ")],
    ));
    done(check(&service, &[("KUNDEFORHOLD__RECORD__KEYS", "")]));
    let said = refused(check(&service, &[("KUNDEFORHOLD__ACCESS__SCOPES__WRITE", "")]));
    assert!(said.contains("access.scopes.write is empty"), "{said}");
}

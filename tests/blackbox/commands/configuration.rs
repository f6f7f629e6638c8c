//! `check`: a good configuration, and each kind of bad one, told in one sentence.

use super::{done, program, refused, run, text};
use crate::harness::{Caching, EITHER_WAY, Service};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A service that is down, its configuration to be changed.
struct Configured {
    service: Service,
    sound: toml::Table,
}

impl Configured {
    async fn on(caching: Caching) -> Self {
        Self::of(Service::start(caching).await)
    }

    fn of(mut service: Service) -> Self {
        service.terminate();
        let sound = std::fs::read_to_string(service.configuration())
            .unwrap()
            .parse()
            .unwrap();
        Self { service, sound }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.service.directory.path().join(name)
    }

    fn check(&self) -> std::process::Output {
        run(&["check", "--config", text(&self.service.configuration())])
    }

    /// With one setting changed; `None` takes it away.
    fn check_with(&self, key: &str, value: Option<toml::Value>) -> std::process::Output {
        let mut table = self.sound.clone();
        let (mut section, mut name) = (&mut table, key);
        while let Some((outer, rest)) = name.split_once('.') {
            let inner = section.entry(outer).or_insert_with(|| toml::Table::new().into());
            (section, name) = (inner.as_table_mut().unwrap(), rest);
        }
        match value {
            Some(value) => drop(section.insert(name.to_owned(), value)),
            None => drop(section.remove(name)),
        }
        std::fs::write(self.service.configuration(), table.to_string()).unwrap();
        self.check()
    }
}

#[tokio::test]
async fn a_good_configuration_is_told_to_be_good() {
    for caching in EITHER_WAY {
        let configured = Configured::on(caching).await;
        let said = done(configured.check());
        for part in ["participants: 13", "record of use: writable", "store: 0 sets"] {
            assert!(said.contains(part), "{caching:?}: {said}");
        }
        assert_eq!(
            said.contains("cache: reachable"),
            caching == Caching::With,
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_terms_that_are_printed_are_a_good_terms_file() {
    let configured = Configured::on(Caching::Without).await;
    let file = configured.file("printed.toml");
    std::fs::write(&file, done(run(&["terms"]))).unwrap();
    let built_in = done(configured.check_with("access.services_file", Some("".into())));
    let printed = done(configured.check_with("access.services_file", Some(text(&file).into())));
    assert!(
        built_in.contains("service terms: 6 services, 1 switched off"),
        "{built_in}"
    );
    assert_eq!(printed, built_in);
}

#[tokio::test]
async fn each_bad_setting_is_named() {
    let configured = Configured::of(Service::start_on_file(Caching::Without, "").await);
    let text = |value: &str| Some(toml::Value::from(value));
    let folder = format!("sqlite:{}", configured.service.directory.path().display());
    for (key, value, said) in [
        ("participants_file", None, "participants_file"),
        ("participants_file", text("/nowhere.toml"), "/nowhere.toml"),
        ("maskinporten.issuer", None, "maskinporten.issuer"),
        (
            "maskinporten.issuer",
            text("http://maskinporten.no/"),
            "maskinporten.issuer",
        ),
        ("maskinporten.issuer", text("maskinporten"), "maskinporten.issuer"),
        (
            "maskinporten.jwks_uri",
            text("http://maskinporten.no/jwk"),
            "maskinporten.jwks_uri",
        ),
        (
            "maskinporten.well_known_url",
            text("x"),
            "maskinporten.well_known_url",
        ),
        ("store.url", text("mysql://x"), "store.url"),
        ("store.url", text("sqlite:"), "store.url"),
        ("store.url", text(&folder), "store"),
        ("store.url", text("sqlite:/proc/nowhere/x"), "/proc/nowhere/x"),
        ("cache.url", text("memcached://x"), "cache.url"),
        (
            "cache.url",
            text("redis-sentinel://127.0.0.1:1"),
            "redis-sentinel://",
        ),
        ("pseudonym.key_file", None, "kundeforhold key new"),
        ("pseudonym.key_file", text("/nowhere.key"), "kundeforhold key new"),
        (
            "access.scopes.write",
            Some(toml::Value::from(vec!["two words"])),
            "access.scopes.write",
        ),
        ("record.url", text("sqlite:/proc/nowhere/x"), "/proc/nowhere"),
        ("record.url", text("mysql://x"), "record.url"),
        ("unknown", text("x"), "unknown"),
        ("server.listne", text("127.0.0.1:1"), "listne"),
        ("server.listen", text("nowhere"), "server.listen"),
        ("identifiers.check", text("lax"), "identifiers.check"),
        (
            "identifiers.synthetic",
            Some(toml::Value::from(vec!["other"])),
            "identifiers.synthetic",
        ),
        (
            "delivery.pause_seconds",
            Some(toml::Value::from(-1)),
            "pause_seconds",
        ),
    ] {
        let output = configured.check_with(key, value.clone());
        assert!(!output.status.success(), "{key} = {value:?} is taken");
        let sentence = refused(output);
        assert!(sentence.contains(said), "{key} = {value:?}: {sentence}");
    }
    std::fs::write(configured.service.configuration(), "[server\n").unwrap();
    refused(configured.check());
    let sentence = refused(run(&["check", "--config", "/nowhere/config.toml"]));
    assert!(sentence.contains("/nowhere/config.toml"), "{sentence}");
}

#[tokio::test]
async fn each_bad_file_is_told() {
    let configured = Configured::on(Caching::Without).await;
    let key = configured.file("pseudonym.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(configured.check()).contains("chmod 600"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let right = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, "c2hvcnQ=\n").unwrap();
    let sentence = refused(configured.check());
    assert!(
        sentence.contains("base64") && !sentence.contains("c2hvcnQ"),
        "{sentence}"
    );
    std::fs::write(&key, right).unwrap();

    let participants = configured.file("participants.toml");
    let whole = std::fs::read_to_string(&participants).unwrap();
    for (from, to, said) in [
        ("210011013", "210011014", "Blåbærlia"),
        ("staleAfter = \"36h\"", "staleAfter = \"soon\"", "36h"),
        ("registers = [\"KAR\"]", "registers = [\"XXX\"]", "XXX"),
        ("kfrRole", "kfrRolle", "kfrRolle"),
        ("successor = \"210011013\"", "successor = \"210099999\"", ""),
        ("mergedOn", "mergedAt", "mergedAt"),
    ] {
        std::fs::write(&participants, whole.replacen(from, to, 1)).unwrap();
        let sentence = refused(configured.check());
        assert!(sentence.contains(said), "{to}: {sentence}");
    }
    std::fs::write(&participants, &whole).unwrap();
    done(configured.check());
}

#[tokio::test]
async fn the_environment_overrides_the_file() {
    let configured = Configured::on(Caching::Without).await;
    let configuration = configured.service.configuration();
    let with = |variables: &[(&str, &str)]| {
        let mut command = program(&["check", "--config", text(&configuration)]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    done(with(&[
        ("KUNDEFORHOLD__IDENTIFIERS__SYNTHETIC", "tenor,dolly"),
        ("KUNDEFORHOLD__SERVER__WORKERS", "3"),
    ]));
    done(with(&[(
        "KUNDEFORHOLD__ACCESS__SCOPES__WRITE",
        "one:scope,other:scope",
    )]));
    for (name, value, said) in [
        (
            "KUNDEFORHOLD__PARTICIPANTS_FILE",
            "/nowhere.toml",
            "/nowhere.toml",
        ),
        (
            "KUNDEFORHOLD__IDENTIFIERS__SYNTHETIC",
            "tenor,other",
            "identifiers.synthetic",
        ),
        ("KUNDEFORHOLD__SERVER__LISTNE", "x", "listne"),
        ("KUNDEFORHOLD__UNKNOWN__KEY", "x", "unknown"),
        ("KUNDEFORHOLD__STORE__URL", "mysql://x", "store.url"),
        (
            "KUNDEFORHOLD__MASKINPORTEN__ISSUER",
            "http://maskinporten.no/",
            "maskinporten.issuer",
        ),
    ] {
        let sentence = refused(with(&[(name, value)]));
        assert!(sentence.contains(said), "{name}: {sentence}");
    }
    // A secret in the environment is used, and not told when it is no good.
    let key = std::fs::read_to_string(configured.file("pseudonym.key")).unwrap();
    std::fs::rename(configured.file("pseudonym.key"), configured.file("elsewhere.key")).unwrap();
    done(with(&[("KUNDEFORHOLD__PSEUDONYM__KEY", key.trim())]));
    let sentence = refused(with(&[("KUNDEFORHOLD__PSEUDONYM__KEY", "secret-but-wrong")]));
    assert!(!sentence.contains("secret-but-wrong"), "{sentence}");
}

#[tokio::test]
async fn what_the_platform_injects_is_read_where_the_file_is_silent() {
    let configured = Configured::on(Caching::Without).await;
    let issuer = &configured.service.issuer;
    let mut silent = configured.sound.clone();
    silent.remove("maskinporten");
    std::fs::write(configured.service.configuration(), silent.to_string()).unwrap();
    let configuration = configured.service.configuration();
    let with = |variables: &[(&str, &str)]| {
        let mut command = program(&["check", "--config", text(&configuration)]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    assert!(refused(with(&[])).contains("maskinporten.issuer"));
    let (name, keys) = (issuer.name(), issuer.jwks_uri());
    done(with(&[
        ("MASKINPORTEN_ISSUER", &name),
        ("MASKINPORTEN_JWKS_URI", &keys),
    ]));
    for variable in [
        "MASKINPORTEN_ISSUER",
        "MASKINPORTEN_JWKS_URI",
        "MASKINPORTEN_WELL_KNOWN_URL",
    ] {
        let mut variables = vec![("MASKINPORTEN_ISSUER", name.as_str())];
        variables.retain(|(present, _)| *present != variable);
        variables.push((variable, "http://maskinporten.no/"));
        let sentence = refused(with(&variables));
        assert!(sentence.contains("maskinporten."), "{variable}: {sentence}");
    }
    // What the file says comes first.
    std::fs::write(&configuration, configured.sound.to_string()).unwrap();
    done(with(&[
        ("MASKINPORTEN_ISSUER", "http://maskinporten.no/"),
        ("MASKINPORTEN_JWKS_URI", "x"),
    ]));
}

#[tokio::test]
async fn migrate_makes_the_store_and_a_second_time_finds_nothing_to_do() {
    let configured = Configured::on(Caching::Without).await;
    for file in configured.service.store_files() {
        let _ = std::fs::remove_file(file);
    }
    // `serve` would make it, so it is no fault.
    done(configured.check());
    assert!(!configured.service.store().exists());
    let configuration = configured.service.configuration();
    for _ in 0..2 {
        done(run(&["migrate", "--config", text(&configuration)]));
        assert!(done(configured.check()).contains("store: 0 sets"));
    }
}

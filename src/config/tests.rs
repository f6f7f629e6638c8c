use super::*;

#[test]
fn the_defaults_are_those_of_the_specification() {
    let settings = Settings::from_toml("").unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.management_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.server.drain_seconds, 5);
    assert_eq!(settings.retention.closed_years, 10);
    assert_eq!(settings.record.retention_years, 13);
    assert!(!settings.record.has_own_keys());
    assert!(settings.access.services_file().is_none());
    assert!(settings.access.enforcement == Enforcement::Enforce);
    assert_eq!(settings.access.today_grace_days, 1);
    assert_eq!(
        settings.store.path().unwrap().unwrap(),
        PathBuf::from("./data/register.sqlite")
    );
    assert_eq!(
        settings.store.scratch_directory().unwrap(),
        PathBuf::from("./data")
    );
    assert_eq!(
        settings.record_path().unwrap(),
        Some(PathBuf::from("./data/record.sqlite"))
    );
    assert!(settings.cache.url().is_none());
    assert_eq!(settings.identifier_rules(), IdentifierRules::PRODUCTION);
    assert!(settings.participants_file().is_err());
}

#[test]
fn an_unknown_key_is_an_error() {
    for text in [
        "unknown = 1",
        "[server]\nlistne = \"127.0.0.1:1\"",
        "[identifiers]\nsynthetic = [\"other\"]",
        "[access]\nenforcement = \"off\"",
        "[access]\ntoday_grace_days = -1",
    ] {
        assert!(
            matches!(Settings::from_toml(text), Err(ConfigError::Faults(_))),
            "{text}"
        );
    }
}

#[test]
fn a_bank_may_not_have_all_turns_of_deliveries() {
    let settings = |at_once: usize, batches: usize| {
        Settings::from_toml(&format!(
            "[delivery]\nmax_at_once = {at_once}\nmax_batches_per_bank = {batches}"
        ))
    };
    assert!(settings(4, 1).is_ok());
    for (at_once, batches) in [(3, 1), (6, 4), (8, 0), (8, i64::MAX as usize)] {
        let refused = settings(at_once, batches).err().unwrap().to_string();
        assert!(
            refused.contains("delivery.max_"),
            "{at_once} {batches}: {refused}"
        );
    }
}

#[test]
fn a_refused_configuration_does_not_show_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    for text in [
        "[cache]\nurl = \"redis://:s3cret@h",
        "[pseudonym]\nkey = \"s3cret",
        "[cache]\nurl = [\"s3cret\"]",
        "[record]\nkeys = [[\"s3cret\"]]",
        "[store]\npassword = [\"s3cret\"]",
        "[server.tls]\nkey_pem = [\"s3cret\"]",
        "[console]\noperator_token = [\"s3cret\"]",
        "s3cret = \"s3cret",
    ] {
        std::fs::write(&path, text).unwrap();
        let refused = Settings::load(Some(&path)).err().unwrap().to_string();
        assert!(!refused.contains("s3cret"), "{refused}");
    }
}

#[test]
fn a_store_is_a_sqlite_file_or_in_postgresql() {
    let path = |text: &str| {
        Settings::from_toml(&format!("[store]\nurl = \"{text}\""))
            .unwrap()
            .store
            .path()
    };
    assert_eq!(path("sqlite:./x").unwrap(), Some(PathBuf::from("./x")));
    assert_eq!(path("postgres://u@h/d").unwrap(), None);
    for text in ["sqlite:", "x", "", "redis://127.0.0.1:6379/0"] {
        assert!(
            matches!(path(text), Err(ConfigError::Value { key: "store.url", .. })),
            "{text}"
        );
    }
}

#[test]
fn the_record_of_use_is_a_file_beside_the_register_or_where_it_is_named() {
    let path = |text: &str| Settings::from_toml(text).unwrap().record_path();
    let beside = path("[store]\nurl = \"sqlite:/a/b.sqlite\"").unwrap();
    assert_eq!(beside.as_deref(), Some(Path::new("/a/record.sqlite")));
    let named = path("[record]\nurl = \"sqlite:/c/d\"").unwrap();
    assert_eq!(named.as_deref(), Some(Path::new("/c/d")));
    let database = "[store]\nurl = \"postgres://u@h/d\"\n";
    assert_eq!(path(database).unwrap(), None);
    let beside_a_database = path(&format!("{database}[record]\nurl = \"sqlite:/c/d\""));
    assert!(beside_a_database.is_err(), "instances keep nothing");
    for text in ["sqlite:", "x", "sqlite:./data/register.sqlite"] {
        assert!(
            matches!(
                path(&format!("[record]\nurl = \"{text}\"")),
                Err(ConfigError::Value {
                    key: "record.url",
                    ..
                })
            ),
            "{text}"
        );
    }
}

#[test]
fn plain_http_is_for_loopback_only() {
    let issuer = |text: &str| {
        Settings::from_toml(&format!(
            "[maskinporten]\nissuer = \"{text}\"\njwks_uri = \"{text}\""
        ))
    };
    assert!(issuer("http://127.0.0.1:8081/").is_ok());
    assert!(issuer("https://maskinporten.no/").is_ok());
    let refused = issuer("http://maskinporten.no/").err().unwrap().to_string();
    assert!(
        refused.contains("maskinporten.issuer must be https") && refused.contains("maskinporten.jwks_uri"),
        "{refused}"
    );
}

#[test]
fn operators_by_certificate_need_an_authority() {
    let asked = "[console]\nclient_certificate = true\n";
    let Err(refused) = Settings::from_toml(asked) else {
        panic!("nobody could sign for an operator");
    };
    assert!(
        refused.to_string().contains("server.management_tls.client_ca"),
        "{refused}"
    );
    let with_authority = format!("{asked}[server.management_tls]\nclient_ca = \"operators.pem\"\n");
    assert!(Settings::from_toml(&with_authority).is_ok());
}

#[test]
fn all_faults_are_told_at_once_with_key_value_and_range() {
    let refused = Settings::from_toml(
        "unknown = 1\n[server]\nworkers = \"many\"\nlistne = \"x\"\nmax_lookups_per_worker = 0\nlisten = \"nowhere\"\n\
         keep_alive_seconds = 0\n[access]\nrate_per_second = 0\nenforcement = \"off\"\n[access.scopes]\nwrite = []\n\
         [retention]\nclosed_years = 0\n[delivery]\nshrink_percent = 101\n[traces]\notlp_endpoint = \"collector:4318\"\n\
         [identifiers]\nsynthetic = [\"tenor\", \"other\"]\n[maskinporten]\naudience = \"\"",
    );
    let Err(ConfigError::Faults(faults)) = refused else {
        panic!("it is taken")
    };
    let mut told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    told.sort();
    let expected = [
        ("access.enforcement", "is \"off\", and must be"),
        ("access.rate_per_second", "is \"0\", and must be"),
        ("access.scopes.write", "is empty"),
        ("delivery.shrink_percent", "is 101, and must be 0 to 100"),
        ("identifiers.synthetic[1]", "is \"other\", and must be"),
        ("maskinporten.audience", "is empty"),
        ("retention.closed_years", "is 0, and must be 1 to 1000"),
        ("server.keep_alive_seconds", "is 0, and must be 1 to"),
        ("server.listen", "is \"nowhere\", and must be"),
        ("server.listne", "is no setting; there are `listen`"),
        ("server.max_lookups_per_worker", "is 0, and must be 1 to"),
        ("server.workers", "is \"many\", and must be"),
        ("traces.otlp_endpoint", "and must be an address with http://"),
        ("unknown", "is no setting; there are `participants_file`"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (key, reason)) in told.iter().zip(expected) {
        assert!(told.starts_with(key) && told.contains(reason), "{told}");
    }
}

#[test]
fn two_ports_are_two_places() {
    for (public, management, is_good) in [
        ("127.0.0.1:8080", "127.0.0.1:8080", false),
        ("0.0.0.0:8080", "127.0.0.1:8080", false),
        ("[::]:8080", "127.0.0.1:8080", false),
        ("127.0.0.1:0", "127.0.0.1:0", true),
        ("127.0.0.1:8080", "127.0.0.2:8080", true),
    ] {
        let text = format!("[server]\nlisten = \"{public}\"\nmanagement_listen = \"{management}\"");
        assert_eq!(
            Settings::from_toml(&text).is_ok(),
            is_good,
            "{public} {management}"
        );
    }
}

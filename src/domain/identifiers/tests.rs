use super::*;

fn customer(text: &str, rules: &IdentifierRules) -> Result<CustomerKind, InvalidIdentifier> {
    CustomerId::parse(text, rules).map(|id| id.kind())
}

#[test]
fn published_person_numbers_are_valid() {
    for text in [
        "13097248022",
        "29029648784",
        "15021951940",
        "20036914700",
        "02013299997",
        "02013299903",
        "53097248016",
        "17912099997",
        "57912075186",
        "15507600333",
        "49710697182",
    ] {
        assert_eq!(
            customer(text, &IdentifierRules::SYNTHETIC),
            Ok(CustomerKind::Person),
            "{text}"
        );
    }
}

#[test]
fn wrong_check_digits_and_dates_are_told_apart() {
    for text in ["13097248032", "13097248023", "02013299987"] {
        assert_eq!(
            customer(text, &IdentifierRules::SYNTHETIC),
            Err(InvalidIdentifier::CheckDigit),
            "{text}"
        );
    }
    for text in ["19575770838", "15407300685"] {
        assert_eq!(
            customer(text, &IdentifierRules::SYNTHETIC),
            Err(InvalidIdentifier::Date),
            "{text}"
        );
    }
}

#[test]
fn the_reform_of_2032_is_a_setting() {
    let rules = IdentifierRules {
        accept_2032: false,
        ..IdentifierRules::PRODUCTION
    };
    assert_eq!(customer("02013299997", &rules), Ok(CustomerKind::Person));
    assert_eq!(
        customer("02013299903", &rules),
        Err(InvalidIdentifier::CheckDigit)
    );
    assert_eq!(
        customer("02013299903", &IdentifierRules::PRODUCTION),
        Ok(CustomerKind::Person)
    );
}

#[test]
fn each_synthetic_series_has_its_own_switch() {
    let none = SyntheticSeries::NONE;
    for (series, accepted, refused) in [
        (
            SyntheticSeries { tenor: true, ..none },
            "57912075186",
            ["15507600333", "49710697182"],
        ),
        (
            SyntheticSeries { dolly: true, ..none },
            "15507600333",
            ["17912099997", "49710697182"],
        ),
        (
            SyntheticSeries {
                helsenett: true,
                ..none
            },
            "49710697182",
            ["17912099997", "15507600333"],
        ),
    ] {
        let rules = IdentifierRules {
            synthetic: series,
            ..IdentifierRules::PRODUCTION
        };
        assert_eq!(customer(accepted, &rules), Ok(CustomerKind::Person));
        assert_eq!(
            customer(accepted, &IdentifierRules::PRODUCTION),
            Err(InvalidIdentifier::Date)
        );
        for text in refused {
            assert_eq!(customer(text, &rules), Err(InvalidIdentifier::Date), "{text}");
        }
    }
}

#[test]
fn organisation_numbers_follow_mod_11() {
    for text in ["123456785", "988077917"] {
        assert_eq!(
            customer(text, &IdentifierRules::PRODUCTION),
            Ok(CustomerKind::Organization)
        );
        assert_eq!(
            OrganizationNumber::parse(text).map(|n| n.to_string()),
            Ok(text.to_owned())
        );
    }
    for text in ["988077918", "123456789"] {
        assert_eq!(
            customer(text, &IdentifierRules::PRODUCTION),
            Err(InvalidIdentifier::CheckDigit)
        );
        assert!(OrganizationNumber::parse(text).is_err());
    }
}

#[test]
fn accounts_are_checked_in_deliveries_only() {
    for text in ["86011117947", "97104133219"] {
        assert!(AccountNumber::parse_delivered(text, &IdentifierRules::PRODUCTION).is_ok());
    }
    assert_eq!(
        AccountNumber::parse_delivered("86011117949", &IdentifierRules::PRODUCTION),
        Err(InvalidIdentifier::CheckDigit)
    );
    assert_eq!(
        AccountNumber::parse_delivered("00001117949", &IdentifierRules::PRODUCTION),
        Err(InvalidIdentifier::LeadingZeros)
    );
    assert!(AccountNumber::parse_lookup_key("86011117949").is_ok());
    assert!(AccountNumber::parse_lookup_key("8601111794").is_err());
}

#[test]
fn only_ascii_digits_with_surrounding_blanks_pass() {
    let rules = &IdentifierRules::PRODUCTION;
    assert!(CustomerId::parse(" \t13097248022 ", rules).is_ok());
    for text in [
        "",
        " ",
        "1309724802",
        "130972480222",
        "1309724802a",
        "130972 48022",
        "１３０９７２４８０２２",
        "+3097248022",
        "13097248022\n",
    ] {
        assert!(CustomerId::parse(text, rules).is_err(), "{text:?}");
    }
}

#[test]
fn format_check_relaxes_to_length_and_digits() {
    let rules = IdentifierRules {
        check: Check::Format,
        ..IdentifierRules::PRODUCTION
    };
    assert_eq!(customer("99999999999", &rules), Ok(CustomerKind::Person));
    assert_eq!(customer("999999999", &rules), Ok(CustomerKind::Organization));
    assert!(customer("9999999999", &rules).is_err());
    assert!(AccountNumber::parse_delivered("00000000001", &rules).is_ok());
}

#[test]
fn sensitive_types_do_not_show_digits() {
    let id = CustomerId::parse("13097248022", &IdentifierRules::PRODUCTION).unwrap();
    let account = AccountNumber::parse_lookup_key("86011117947").unwrap();
    let shown = format!("{id:?}{account:?}");
    assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{shown}");
}

#[test]
fn an_organization_number_is_read_back_from_its_number_and_no_other_is() {
    let number = OrganizationNumber::parse("988077917").unwrap();
    assert_eq!(OrganizationNumber::from_u32(number.as_u32()), Some(number));
    for value in [0, 988_077_917, 988_077_918, 98_807_791, 1_988_077_917, u32::MAX] {
        let written = OrganizationNumber::parse(&format!("{value:09}")).ok();
        assert_eq!(OrganizationNumber::from_u32(value), written, "{value}");
    }
}

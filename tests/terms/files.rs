//! The terms' file: what is read, and what is refused with its line.

use crate::{day, default_terms};
use kundeforhold::access::terms::{DEFAULT, PeriodRule, Terms, Today};

/// Eight lines after a comment, so that line 2 begins the service.
const GOOD: &str = "# terms
[[service]]
name = \"Trial\"
consumer = \"974761076\"
endpoints = [\"customerRelationships\"]
mandate = \"§ 1\"
customer = \"any\"
period = \"any\"
only_primary_owner = \"either\"
";

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    for (text, says) in [
        (format!("{GOOD}unknown = 1\n"), "line 10"),
        (format!("{GOOD}[[services]]\n"), "line 10"),
        (GOOD.replace("974761076", "974761077"), "line 4"),
        (GOOD.replace("\"974761076\"", "[\"974761076\", \"x\"]"), "line 4"),
        (GOOD.replace("\"974761076\"", "[]"), "line 4"),
        (GOOD.replace("\"974761076\"", "974761076"), "line 4"),
        (GOOD.replace("[\"customerRelationships\"]", "[]"), "line 5"),
        (
            GOOD.replace("customerRelationships", "customerrelationships"),
            "line 5",
        ),
        (GOOD.replace("\"§ 1\"", "\" \""), "line 6"),
        (GOOD.replace("\"§ 1\"", "[]"), "line 6"),
        (GOOD.replace("\"§ 1\"", "[\"§ 1\", \"*\"]"), "line 2"),
        (GOOD.replace("mandate = \"§ 1\"\n", ""), "line 2"),
        (GOOD.replace("\"any\"\nperiod", "\"human\"\nperiod"), "line 7"),
        (GOOD.replace("period = \"any\"", "period = \"always\""), "line 8"),
        (
            GOOD.replace("period = \"any\"", "period = { from_years_back = 0 }"),
            "line 8",
        ),
        (
            GOOD.replace(
                "period = \"any\"",
                "period = { from_years_back = 10, too = \"today\" }",
            ),
            "line 8",
        ),
        (
            GOOD.replace(
                "period = \"any\"",
                "period = { from_years_back = 10, to = \"monday\" }",
            ),
            "line 8",
        ),
        (GOOD.replace("either", "false"), "line 9"),
        (format!("{GOOD}unknown_ownership = \"yes\"\n"), "line 10"),
        (format!("{GOOD}supplier = \"1\"\n"), "line 10"),
        (format!("{GOOD}scope = \"two words\"\n"), "line 10"),
        (format!("{GOOD}enabled = \"no\"\n"), "line 10"),
        (GOOD.replace("Trial", ""), "line 3"),
        (GOOD.replace("Trial", &"x".repeat(65)), "line 3"),
        (GOOD.replace("Trial", "a\\u0007b"), "line 3"),
        (format!("{GOOD}{}", GOOD.replace("# terms\n", "")), "line 10"),
        (GOOD.replace("= \"§ 1\"", "= \"§ 1"), "line 6"),
        (String::new(), "no service"),
        ("# nothing\n".to_owned(), "no service"),
    ] {
        let message = Terms::parse(&text)
            .map(|_| "taken")
            .map_or_else(|cause| cause.to_string(), str::to_owned);
        assert!(message.contains(says), "{text}\n{message}");
    }
    assert!(Terms::parse(GOOD).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let message = Terms::read(Some("/nowhere/terms.toml".as_ref()))
        .unwrap_err()
        .to_string();
    assert!(message.contains("/nowhere/terms.toml"), "{message}");
}

#[test]
fn the_table_that_ships_is_the_file_that_documents_it() {
    assert_eq!(Terms::parse(DEFAULT).unwrap(), default_terms());
    let terms = default_terms();
    let names: Vec<&str> = terms.all().iter().map(|service| service.name.as_str()).collect();
    let expected = [
        "Skatt-Kontroll",
        "Politi-Utlevering",
        "Vergekontroll",
        "Konkursbehandling",
        "Oppgjør etter dødsfall",
        "FI-Utlegg",
    ];
    assert_eq!(names, expected);
    assert!(terms.enabled().all(|service| !service.is_wide()));
}

#[test]
fn a_service_of_any_mandate_or_any_period_is_wide() {
    let wide = |text: &str| Terms::parse(text).unwrap().all()[0].is_wide();
    assert!(wide(GOOD));
    let narrow = GOOD.replace("period = \"any\"", "period = \"today only\"");
    assert!(!wide(&narrow));
    assert!(wide(&narrow.replace("§ 1", "*")));
}

#[test]
fn days_of_grace_are_for_rules_about_today_only() {
    let today = |grace_days| Today {
        day: day("2027-01-01"),
        grace_days,
    };
    let years = "10".parse().unwrap();
    for rule in [
        PeriodRule::Any,
        PeriodRule::YearsBack(years),
        PeriodRule::PreviousCalendarYear,
    ] {
        assert_eq!(rule.dates_on(today(0)), rule.dates_on(today(3)), "{rule:?}");
    }
    for rule in [PeriodRule::YearsBackToToday(years), PeriodRule::TodayOnly] {
        assert_eq!(rule.dates_on(today(0)).earliest_to, Some(day("2027-01-01")));
        assert_eq!(rule.dates_on(today(3)).earliest_to, Some(day("2026-12-29")));
        assert_eq!(rule.dates_on(today(3)).latest_to, Some(day("2027-01-01")));
    }
}

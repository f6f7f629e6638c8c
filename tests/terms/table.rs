//! Every service × endpoint × mandate × customer kind × period × onlyPrimaryOwner.

use crate::{GENERAL, POLITI, SKATT, SRF, VERGE_MANDATE, caller, day, judge, relationships, verdict};
use chrono::{DateTime, NaiveDate, Utc};
use kundeforhold::access::terms::{DEFAULT, Terms, Wanted};
use kundeforhold::domain::calendar::oslo_day;
use kundeforhold::domain::identifiers::CustomerKind;
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq)]
enum Dates {
    TenYears,
    TenYearsToToday,
    PreviousYear,
    Today,
}

/// A row of the specification's table.
struct Row {
    service: &'static str,
    consumers: &'static [&'static str],
    supplier: Option<&'static str>,
    scope: &'static str,
    mandates: &'static [&'static str],
    /// Another section, or a word less: none of them is a mandate of anybody.
    close_mandates: &'static [&'static str],
    persons_only: bool,
    dates: Dates,
    true_only: bool,
    account_too: bool,
}

const ROWS: [Row; 6] = [
    Row {
        service: "Skatt-Kontroll",
        consumers: &[SKATT],
        supplier: None,
        scope: GENERAL,
        mandates: &[
            "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1",
        ],
        close_mandates: &[
            "Skatteforvaltningsloven § 10-3 første ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1",
            "Skatteforvaltningsloven § 10-2 ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1",
            "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14",
        ],
        persons_only: false,
        dates: Dates::TenYears,
        true_only: false,
        account_too: false,
    },
    Row {
        service: "Politi-Utlevering",
        consumers: &[POLITI],
        supplier: None,
        scope: GENERAL,
        mandates: &[
            "Straffeprosessloven §210 (3) første punktum",
            "Straffeprosessloven §210 (3) andre punktum",
        ],
        close_mandates: &[
            "Straffeprosessloven §210 (3) tredje punktum",
            "Straffeprosessloven §211 (3) første punktum",
            "Straffeprosessloven §210 (3) punktum",
        ],
        persons_only: false,
        dates: Dates::TenYears,
        true_only: false,
        account_too: true,
    },
    Row {
        service: "Vergekontroll",
        consumers: &[SRF],
        supplier: None,
        scope: GENERAL,
        mandates: &[VERGE_MANDATE],
        close_mandates: &[
            "Vergemålsloven § 54 (2), jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) b",
            "Vergemålsloven § 54, jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) a",
            "Vergemålsloven § 54 (2), jf. vergemålsforskriften § 20 (2), jf. vergemålsforskriften § 20a (1) b-e",
        ],
        persons_only: true,
        dates: Dates::PreviousYear,
        true_only: true,
        account_too: false,
    },
    Row {
        service: "Konkursbehandling",
        consumers: &["974760673"],
        supplier: None,
        scope: GENERAL,
        mandates: &["kkl. §156 (3) og (4), jf. kkfor.§21"],
        close_mandates: &[
            "kkl. §156 (3) og (5), jf. kkfor.§21",
            "kkl. §156 (3) (4), jf. kkfor.§21",
            "kkl. §156 (3) og (4)",
        ],
        persons_only: false,
        dates: Dates::TenYearsToToday,
        true_only: true,
        account_too: false,
    },
    Row {
        service: "Oppgjør etter dødsfall",
        consumers: &["974720760", "991825827"],
        supplier: None,
        scope: GENERAL,
        mandates: &["Arveloven § 92 første ledd og § 118, jf. § 88 a, jf. forskrift om Digitalt dødsbo"],
        close_mandates: &[
            "Arveloven § 92 første ledd og § 118, jf. § 88 b, jf. forskrift om Digitalt dødsbo",
            "Arveloven § 92 første ledd og § 118, jf. § 88 a, jf. forskrift om dødsbo",
        ],
        persons_only: true,
        dates: Dates::TenYearsToToday,
        true_only: true,
        account_too: false,
    },
    // Switched off, unless a test switches it on.
    Row {
        service: "FI-Utlegg",
        consumers: &[POLITI],
        supplier: Some(SKATT),
        scope: "bits:kundeforhold.fi.utlegg.an",
        mandates: &["FI-Utlegg-Test"],
        close_mandates: &["FI-Utlegg"],
        persons_only: false,
        dates: Dates::Today,
        true_only: true,
        account_too: false,
    },
];

/// A moment, a period, and which kinds of dates admit it then.
const PERIODS: [(&str, &str, &str, &[Dates]); 46] = {
    use Dates::{PreviousYear, TenYears, TenYearsToToday, Today};
    const NOON: &str = "2026-11-20T12:00:00Z";
    // 23:59:59 on New Year's Eve in Oslo, and midnight.
    const EVE: &str = "2026-12-31T22:59:59Z";
    const NEW_YEAR: &str = "2026-12-31T23:00:00Z";
    const LEAP: &str = "2028-02-29T12:00:00Z";
    [
        (NOON, "2016-11-19", "2026-11-20", &[]),
        (NOON, "2016-11-20", "2026-11-20", &[TenYears, TenYearsToToday]),
        (NOON, "2016-11-20", "2016-11-20", &[TenYears]),
        (NOON, "2016-11-21", "2026-11-19", &[TenYears, TenYearsToToday]),
        (NOON, "2025-11-20", "2026-11-18", &[TenYears]),
        (NOON, "2025-11-20", "2026-11-21", &[TenYears]),
        (NOON, "2025-11-20", "2027-11-20", &[TenYears]),
        (
            NOON,
            "2026-11-20",
            "2026-11-20",
            &[TenYears, TenYearsToToday, Today],
        ),
        (
            NOON,
            "2026-11-19",
            "2026-11-19",
            &[TenYears, TenYearsToToday, Today],
        ),
        (NOON, "2026-11-18", "2026-11-18", &[TenYears]),
        (NOON, "2026-11-18", "2026-11-20", &[TenYears, TenYearsToToday]),
        (NOON, "2026-11-20", "2026-11-21", &[TenYears]),
        (NOON, "2025-01-01", "2025-12-31", &[TenYears, PreviousYear]),
        (NOON, "2025-06-01", "2025-06-30", &[TenYears, PreviousYear]),
        (NOON, "2025-01-01", "2025-01-01", &[TenYears, PreviousYear]),
        (NOON, "2025-12-31", "2025-12-31", &[TenYears, PreviousYear]),
        (NOON, "2024-12-31", "2025-12-31", &[TenYears]),
        (NOON, "2025-01-01", "2026-01-01", &[TenYears]),
        (NOON, "2024-01-01", "2024-12-31", &[TenYears]),
        (NOON, "2026-01-01", "2026-11-20", &[TenYears, TenYearsToToday]),
        (NOON, "0001-01-01", "9999-12-31", &[]),
        (EVE, "2025-01-01", "2025-12-31", &[TenYears, PreviousYear]),
        (EVE, "2026-01-01", "2026-12-31", &[TenYears, TenYearsToToday]),
        (EVE, "2016-12-31", "2026-12-31", &[TenYears, TenYearsToToday]),
        (EVE, "2016-12-30", "2026-12-31", &[]),
        (
            EVE,
            "2026-12-31",
            "2026-12-31",
            &[TenYears, TenYearsToToday, Today],
        ),
        (EVE, "2026-12-31", "2027-01-01", &[TenYears]),
        (NEW_YEAR, "2025-01-01", "2025-12-31", &[TenYears]),
        (
            NEW_YEAR,
            "2026-01-01",
            "2026-12-31",
            &[TenYears, TenYearsToToday, PreviousYear],
        ),
        (NEW_YEAR, "2026-01-01", "2026-12-30", &[TenYears, PreviousYear]),
        (
            NEW_YEAR,
            "2026-12-31",
            "2026-12-31",
            &[TenYears, TenYearsToToday, PreviousYear, Today],
        ),
        (NEW_YEAR, "2026-01-01", "2027-01-01", &[TenYears, TenYearsToToday]),
        (NEW_YEAR, "2025-12-31", "2026-12-31", &[TenYears, TenYearsToToday]),
        (NEW_YEAR, "2016-12-31", "2027-01-01", &[]),
        (NEW_YEAR, "2017-01-01", "2027-01-01", &[TenYears, TenYearsToToday]),
        (
            NEW_YEAR,
            "2027-01-01",
            "2027-01-01",
            &[TenYears, TenYearsToToday, Today],
        ),
        (NEW_YEAR, "2026-12-30", "2026-12-30", &[TenYears, PreviousYear]),
        (LEAP, "2018-02-28", "2028-02-29", &[TenYears, TenYearsToToday]),
        (LEAP, "2018-02-27", "2028-02-29", &[]),
        (LEAP, "2018-03-01", "2028-02-28", &[TenYears, TenYearsToToday]),
        (LEAP, "2018-03-01", "2028-02-27", &[TenYears]),
        (
            LEAP,
            "2028-02-29",
            "2028-02-29",
            &[TenYears, TenYearsToToday, Today],
        ),
        (
            LEAP,
            "2028-02-28",
            "2028-02-28",
            &[TenYears, TenYearsToToday, Today],
        ),
        (LEAP, "2027-01-01", "2027-12-31", &[TenYears, PreviousYear]),
        (LEAP, "2026-12-31", "2027-12-31", &[TenYears]),
        (LEAP, "2027-12-31", "2028-01-01", &[TenYears]),
    ]
};

/// One question, as the table below asks it.
#[derive(Debug, Clone, Copy)]
struct Asked<'q> {
    supplier: Option<&'q str>,
    scope: &'q str,
    mandate: Option<&'q str>,
    /// Customer, index into [`PERIODS`] and `onlyPrimaryOwner`; `None` is a question about an account.
    relationships: Option<(CustomerKind, usize, Option<bool>)>,
}

/// The terms of a row that a question fails, by their place in the order and their name.
fn failing(row: &Row, asked: &Asked<'_>) -> Option<(usize, &'static str)> {
    let (kind_fits, dates_fit, ownership_fits) = match asked.relationships {
        None => (true, true, true),
        Some((kind, period, only)) => (
            !row.persons_only || kind == CustomerKind::Person,
            PERIODS[period].3.contains(&row.dates),
            !row.true_only || only == Some(true),
        ),
    };
    let met = [
        (
            "supplier",
            row.supplier.is_none() || row.supplier == asked.supplier,
        ),
        ("scope", row.scope == asked.scope),
        ("endpoint", row.account_too || asked.relationships.is_some()),
        (
            "mandate",
            asked
                .mandate
                .is_some_and(|mandate| row.mandates.contains(&mandate)),
        ),
        ("customer", kind_fits),
        ("period", dates_fit),
        ("onlyPrimaryOwner", ownership_fits),
    ];
    let first = met.iter().position(|(_, met)| !met)?;
    Some((first, met[first].0))
}

fn expected<'r>(rows: &[&'r Row], asked: &Asked<'_>) -> Result<&'r str, &'static str> {
    let failing: Vec<_> = rows
        .iter()
        .map(|row| (row.service, failing(row, asked)))
        .collect();
    if let Some((service, _)) = failing.iter().find(|(_, failing)| failing.is_none()) {
        return Ok(service);
    }
    let closest = failing.iter().filter_map(|(_, failing)| *failing).max();
    Err(closest.map_or("consumer", |(_, term)| term))
}

fn today_at(period: usize) -> NaiveDate {
    let now: DateTime<Utc> = PERIODS[period].0.parse().unwrap();
    oslo_day(now)
}

fn all_asked() -> Vec<Asked<'static>> {
    let texts = |row: &'static Row| row.mandates.iter().chain(row.close_mandates);
    let mandates: Vec<Option<&str>> = ROWS
        .iter()
        .flat_map(texts)
        .copied()
        .map(Some)
        .chain([None])
        .collect();
    let mut wanted = vec![None];
    for kind in [CustomerKind::Person, CustomerKind::Organization] {
        for period in 0..PERIODS.len() {
            wanted.extend([None, Some(false), Some(true)].map(|only| Some((kind, period, only))));
        }
    }
    let mut all = Vec::new();
    for (supplier, scope) in [
        (None, GENERAL),
        (Some(SKATT), GENERAL),
        (Some(SKATT), ROWS[5].scope),
        (None, ROWS[5].scope),
    ] {
        for mandate in &mandates {
            all.extend(wanted.iter().map(|relationships| Asked {
                supplier,
                scope,
                mandate: *mandate,
                relationships: *relationships,
            }));
        }
    }
    all
}

/// Asks everything for every consumer, and counts the verdicts.
fn hold_against_table(terms: &Terms, rows: &[&Row]) -> BTreeMap<String, usize> {
    let mut consumers: Vec<&str> = rows.iter().flat_map(|row| row.consumers).copied().collect();
    // A bank, and an agency of nothing.
    consumers.extend(["988077917", "889640782"]);
    let mut seen = BTreeMap::new();
    for asked in all_asked() {
        for consumer in &consumers {
            let own: Vec<&Row> = rows
                .iter()
                .copied()
                .filter(|row| row.consumers.contains(consumer))
                .collect();
            let (wanted, today) = match asked.relationships {
                None => (Wanted::Account, day("2026-11-20")),
                Some((kind, period, only)) => {
                    let (_, from, to, _) = PERIODS[period];
                    (relationships(kind, from, to, only), today_at(period))
                }
            };
            let caller = caller(consumer, asked.supplier, asked.scope);
            let said = verdict(judge(terms, &caller, wanted, asked.mandate, today));
            let expected = expected(&own, &asked);
            assert_eq!(
                said.as_deref().map_err(|term| *term),
                expected,
                "{consumer} {asked:?} on {today}"
            );
            let key = expected.map_or_else(|term| format!("not: {term}"), str::to_owned);
            *seen.entry(key).or_insert(0) += 1;
        }
    }
    seen
}

#[test]
fn the_days_of_the_table_are_those_of_oslo() {
    let days: Vec<String> = [0, 21, 27, 37]
        .map(|period| today_at(period).to_string())
        .to_vec();
    assert_eq!(days, ["2026-11-20", "2026-12-31", "2027-01-01", "2028-02-29"]);
}

#[test]
fn the_default_terms_are_the_table_of_the_specification() {
    let terms = Terms::read(None).unwrap();
    let rows: Vec<&Row> = ROWS[..5].iter().collect();
    let seen = hold_against_table(&terms, &rows);
    for row in rows {
        assert!(seen.get(row.service).is_some_and(|times| *times >= 2), "{seen:?}");
    }
    // No enabled service names a supplier.
    for term in [
        "consumer",
        "scope",
        "endpoint",
        "mandate",
        "customer",
        "period",
        "onlyPrimaryOwner",
    ] {
        assert!(seen.contains_key(&format!("not: {term}")), "{seen:?}");
    }
}

#[test]
fn the_beta_service_is_present_switched_off_and_works_when_it_is_switched_on() {
    let terms = Terms::read(None).unwrap();
    let off: Vec<&str> = terms
        .all()
        .iter()
        .filter(|service| !service.enabled)
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(off, ["FI-Utlegg"]);
    let terms = Terms::parse(&DEFAULT.replace("enabled = false", "enabled = true")).unwrap();
    let seen = hold_against_table(&terms, &ROWS.iter().collect::<Vec<_>>());
    assert!(seen["FI-Utlegg"] >= 2, "{seen:?}");
}

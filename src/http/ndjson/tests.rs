use super::*;
use crate::domain::delivery::FaultCode;

const RULES: IdentifierRules = IdentifierRules::SYNTHETIC;

fn parse(line: &str, register: Register) -> Result<RelationshipRecord, Vec<LineFault>> {
    match parse_record(line.as_bytes(), register, &RULES) {
        Ok(Line::Put(record)) => Ok(record),
        Ok(line) => panic!("{line:?}"),
        Err(faults) => Err(faults),
    }
}

/// The fields that are at fault and why, in order; no identifier of the line is among it.
fn told(line: &str, faults: &[LineFault]) -> String {
    let told: Vec<String> = faults
        .iter()
        .map(|fault| format!("{} {}", fault.parameter, fault.reason))
        .collect();
    let told = told.join("; ");
    assert!(
        !told.contains("1791209999") && !told.contains("8601111794"),
        "{line}: {told}"
    );
    told
}

#[test]
fn flags_default_by_register_role_and_agreement() {
    for (extra, register, creditable, holds_funds) in [
        (
            r#""role":"owner","accountID":"86011117947""#,
            Register::Kar,
            true,
            true,
        ),
        (
            r#""role":"owner","accountID":"86011117947""#,
            Register::Kfr,
            false,
            true,
        ),
        (
            r#""role":"secondaryOwner","agreementID":"A-1""#,
            Register::Kar,
            false,
            true,
        ),
        (r#""role":"other""#, Register::Kar, false, false),
        (
            r#""role":"unknown","holdsFunds":true"#,
            Register::Kfr,
            false,
            true,
        ),
        (
            r#""role":"owner","creditable":true,"holdsFunds":false"#,
            Register::Kar,
            true,
            false,
        ),
    ] {
        let line = format!(r#"{{"customerID":"17912099997","fromDate":"2020-01-01",{extra}}}"#);
        let relationship = parse(&line, register).unwrap().relationship;
        assert_eq!(
            (relationship.creditable, relationship.holds_funds),
            (creditable, holds_funds),
            "{extra}"
        );
    }
}

/// A line, and all that is wrong with it.
#[track_caller]
fn assert_faults(parse: impl Fn(&str) -> Result<Line, Vec<LineFault>>, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let faults = parse(line).expect_err(line);
        assert_eq!(told(line, &faults), *expected, "{line}");
    }
}

#[test]
fn all_that_is_wrong_with_a_record_is_told_at_once() {
    let wrong_three = r#"{"customerID":"17912099998","accountID":"86011117949","role":"owner","fromDate":"2020-01-01","toDate":"2019-12-31"}"#;
    let faults = parse(wrong_three, Register::Kar).unwrap_err();
    let codes: Vec<_> = faults
        .iter()
        .map(|fault| (fault.parameter.as_str(), fault.code))
        .collect();
    let expected = [
        ("customerID", FaultCode::InvalidCustomer),
        ("accountID", FaultCode::InvalidRecord),
        ("toDate", FaultCode::InvalidDate),
    ];
    assert_eq!(codes, expected);
    told(wrong_three, &faults);
    assert_faults(
        |line| parse_record(line.as_bytes(), Register::Kfr, &RULES),
        &[
            (
                "{}",
                "customerID is missing; role is missing; fromDate is missing",
            ),
            (
                r#"{"customerID":"17912099997","role":"17912099997","creditable":true,"fromDate":"2020-02-30","toDate":"x"}"#,
                "role must be owner, secondaryOwner, other or unknown; creditable cannot be true in KFR; \
                 fromDate must be a day, YYYY-MM-DD; toDate must be a day, YYYY-MM-DD",
            ),
            (
                r#"{"customerID":null,"role":"owner","agreementID":"","fromDate":"2020-01-01"}"#,
                "customerID is missing; agreementID must be 1 to 64 printable ASCII characters",
            ),
            (
                r#"{"customerID":"17912099997","role":"owner","agreementID":"a","accountID":"86011117947","fromDate":"2020-01-01"}"#,
                "agreementID cannot stand beside accountID",
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_the_form_names_only_our_own_fields() {
    let base = r#""role":"owner","fromDate":"2020-01-01""#;
    let with = |more: &str| format!(r#"{{{base},{more}}}"#);
    let lines = [
        (
            with(r#""17912099997":1"#),
            "line has a field that is not known; customerID is missing",
        ),
        (
            with(r#""toDate` 17912099997":1,"other":2"#),
            "line has a field that is not known; customerID is missing",
        ),
        (
            with(r#""customerId":"17912099997""#),
            "customerID is to be written like this, and is not",
        ),
        (
            with(r#""put":{}"#),
            "put does not belong here; customerID is missing",
        ),
        (
            with(r#""role":"other""#),
            "role is there twice; customerID is missing",
        ),
        (with(r#""customerID":17912099997"#), "customerID must be a text"),
        (
            with(r#""customerID":["17912099997"],"toDate":20200101,"creditable":"17912099997""#),
            "creditable must be true or false; customerID must be a text; toDate must be a text",
        ),
        (
            with(r#""customerID":"17912099998","holdsFunds":"yes","toDate":"x""#),
            "holdsFunds must be true or false; customerID has a wrong check digit; toDate must be a day, YYYY-MM-DD",
        ),
        (
            r#"{"customerID":"17912099997","role":{"owner":null},"fromDate":"2020-01-01"}"#.to_owned(),
            "role must be a text",
        ),
        (
            r#"["17912099997",null,null,"owner",null,null,"2020-01-01",null]"#.to_owned(),
            "line is not a JSON object",
        ),
        ("17912099997".to_owned(), "line is not a JSON object"),
        ("{".to_owned(), "line is not a JSON object"),
        (
            with("").replace(",}", "}{}"),
            "line holds more than one object; each has to stand on a line of its own",
        ),
    ];
    for (line, expected) in lines {
        let faults = parse(&line, Register::Kar).unwrap_err();
        let told = told(&line, &faults);
        let told = told.split(" (column ").next().unwrap();
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn a_line_holds_one_change_and_all_that_is_wrong_with_it_is_told() {
    let identity = r#""customerID":"17912099997","fromDate":"2020-01-01""#;
    let good = format!(r#"{{"end":{{{identity},"toDate":"2020-01-01"}}}}"#);
    assert!(parse_change(good.as_bytes(), Register::Kar, &RULES).is_ok());
    let two = format!(r#"{{"remove":{{{identity}}},"end":{{{identity},"toDate":"2020-01-01"}}}}"#);
    let record_with_end = format!(r#"{{"remove":{{{identity},"toDate":"2020-01-01"}}}}"#);
    let twice = format!(r#"{{"remove":{{{identity}}},"remove":{{{identity}}}}}"#);
    assert_faults(
        |line| parse_change(line.as_bytes(), Register::Kar, &RULES),
        &[
            (
                &two,
                "line holds more than one of put, end and remove; each change is a line of its own",
            ),
            ("{}", "line must hold put, end or remove"),
            (&record_with_end, "toDate does not belong here"),
            (&twice, "remove is there twice"),
            (r#"{"put":null}"#, "put must be an object"),
            (
                r#"{"put":["17912099997",null],"end":17912099997}"#,
                "end must be an object; put must be an object",
            ),
            (
                r#"{"put":{"customerID":17912099997,"holdsFunds":"yes"}}"#,
                "customerID must be a text; holdsFunds must be true or false; role is missing; fromDate is missing",
            ),
            (
                r#"{"put":{"customerID":1},"end":{"customerID":"17912099997"}}"#,
                "customerID must be a text; \
                 line holds more than one of put, end and remove; each change is a line of its own",
            ),
            (
                r#"{"end":{"accountID":"86011117949","toDate":"2020-13-01"}}"#,
                "customerID is missing; accountID has a wrong check digit; fromDate is missing; \
                 toDate must be a day, YYYY-MM-DD",
            ),
            (
                r#"{"end":{"customerID":"17912099997","fromDate":"2020-01-02"}}"#,
                "toDate is missing",
            ),
            (
                r#"{"end":{"customerID":"17912099997","fromDate":"2020-01-02","toDate":"2020-01-01"}}"#,
                "toDate must not lie before fromDate",
            ),
            (
                r#"{"remove":{"agreementID":""}}"#,
                "customerID is missing; agreementID must be 1 to 64 printable ASCII characters; fromDate is missing",
            ),
        ],
    );
}

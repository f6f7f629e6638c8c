//! Suppliers, own scopes, several services of one consumer, and what a service adds to its answers.

use crate::{GENERAL, POLITI, SKATT, SRF, caller, day, judge, relationships, verdict};
use kundeforhold::access::caller::{RequiredScopes, Scope};
use kundeforhold::access::terms::{
    Enforcement, LookupEndpoint, Terms, TermsInForce, UnknownOwnership, Wanted,
};
use kundeforhold::domain::identifiers::CustomerKind;

const OWN: &str = "bits:kundeforhold.own";

/// A service that admits all but what `terms` say otherwise.
fn service(name: &str, terms: &str) -> String {
    let mut all = String::new();
    for (key, value) in [
        ("consumer", "\"974761076\""),
        (
            "endpoints",
            "[\"customerRelationships\", \"accountServicingProvider\"]",
        ),
        ("mandate", "\"*\""),
        ("customer", "\"any\""),
        ("period", "\"any\""),
        ("only_primary_owner", "\"either\""),
    ] {
        if !terms.contains(&format!("{key} =")) {
            all += &format!("{key} = {value}\n");
        }
    }
    format!("[[service]]\nname = \"{name}\"\n{terms}\n{all}")
}

fn parse(services: &[String]) -> Terms {
    Terms::parse(&services.concat()).unwrap()
}

fn anything() -> Wanted {
    relationships(CustomerKind::Organization, "1990-01-01", "2030-01-01", None)
}

fn told(terms: &Terms, supplier: Option<&str>, scopes: &str) -> Result<String, &'static str> {
    let caller = caller(SKATT, supplier, scopes);
    verdict(judge(terms, &caller, anything(), None, day("2026-11-20")))
}

#[test]
fn a_named_supplier_narrows_and_an_unnamed_one_changes_nothing() {
    let terms = parse(&[service("Named", "supplier = \"986186999\"")]);
    assert_eq!(told(&terms, Some(SRF), GENERAL).as_deref(), Ok("Named"));
    assert_eq!(told(&terms, Some(POLITI), GENERAL), Err("supplier"));
    assert_eq!(told(&terms, None, GENERAL), Err("supplier"));

    let terms = parse(&[service("Plain", "")]);
    for supplier in [None, Some(SRF), Some(POLITI)] {
        assert_eq!(told(&terms, supplier, GENERAL).as_deref(), Ok("Plain"));
    }
}

#[test]
fn a_supplier_has_none_of_its_own_rights_when_it_calls_for_another() {
    let terms = parse(&[service("Skatt", "")]);
    let srf_through_skatt = caller(SRF, Some(SKATT), GENERAL);
    let said = verdict(judge(
        &terms,
        &srf_through_skatt,
        anything(),
        None,
        day("2026-11-20"),
    ));
    assert_eq!(said, Err("consumer"));
}

#[test]
fn an_own_scope_stands_in_for_the_general_one_for_that_service_alone() {
    let own = parse(&[service("Own", &format!("scope = \"{OWN}\""))]);
    assert_eq!(told(&own, None, OWN).as_deref(), Ok("Own"));
    assert_eq!(told(&own, None, GENERAL), Err("scope"));
    assert_eq!(told(&own, None, ""), Err("scope"));
    let general = parse(&[service("General", "")]);
    assert_eq!(told(&general, None, OWN), Err("scope"));

    let both = parse(&[
        service("Own", &format!("scope = \"{OWN}\"")),
        service("General", ""),
    ]);
    assert_eq!(told(&both, None, OWN).as_deref(), Ok("Own"));
    assert_eq!(told(&both, None, GENERAL).as_deref(), Ok("General"));
}

#[test]
fn one_service_must_fit_in_every_term() {
    let terms = parse(&[
        service(
            "Persons",
            "customer = \"person\"\nperiod = \"any\"\nmandate = \"A\"",
        ),
        service(
            "Today",
            "customer = \"any\"\nperiod = \"today only\"\nmandate = \"B\"",
        ),
    ]);
    let ask = |kind, mandate, from| {
        let wanted = relationships(kind, from, "2026-11-20", None);
        verdict(judge(
            &terms,
            &caller(SKATT, None, GENERAL),
            wanted,
            Some(mandate),
            day("2026-11-20"),
        ))
    };
    assert_eq!(
        ask(CustomerKind::Person, "A", "2020-01-01").as_deref(),
        Ok("Persons")
    );
    assert_eq!(
        ask(CustomerKind::Organization, "B", "2026-11-20").as_deref(),
        Ok("Today")
    );
    // Each fits one term of each: the closest is the one whose failing term comes last.
    assert_eq!(
        ask(CustomerKind::Organization, "A", "2026-11-20"),
        Err("customer")
    );
    assert_eq!(ask(CustomerKind::Person, "B", "2020-01-01"), Err("period"));
    assert_eq!(ask(CustomerKind::Person, "C", "2026-11-20"), Err("mandate"));
}

#[test]
fn the_closest_service_is_named() {
    let terms = parse(&[
        service("One", "mandate = \"A\""),
        service("Two", "mandate = \"B\"\ncustomer = \"person\""),
    ]);
    let skatt = caller(SKATT, None, GENERAL);
    let judged = |mandate| judge(&terms, &skatt, anything(), Some(mandate), day("2026-11-20")).unwrap_err();
    assert_eq!(judged("B").service.as_deref(), Some("Two"));
    assert_eq!(judged("C").service.as_deref(), Some("One"));
    let nobody = caller(SRF, None, GENERAL);
    let judged = judge(&terms, &nobody, anything(), Some("A"), day("2026-11-20")).unwrap_err();
    assert_eq!(judged.service, None);
}

#[test]
fn a_service_says_what_becomes_of_unknown_ownership() {
    let terms = parse(&[
        service("Lists", "unknown_ownership = \"list\""),
        service("Leaves", "consumer = \"986186999\""),
    ]);
    let permit = |consumer| {
        judge(
            &terms,
            &caller(consumer, None, GENERAL),
            anything(),
            None,
            day("2026-11-20"),
        )
        .unwrap()
    };
    assert_eq!(permit(SKATT).unknown_ownership, UnknownOwnership::List);
    assert_eq!(permit(SRF).unknown_ownership, UnknownOwnership::LeaveOut);
}

#[test]
fn a_question_about_an_account_is_not_held_against_terms_it_cannot_have() {
    let narrow =
        "customer = \"person\"\nperiod = \"today only\"\nonly_primary_owner = \"true only\"\nmandate = \"A\"";
    let terms = parse(&[service("Narrow", narrow)]);
    let ask = |mandate| {
        let skatt = caller(SKATT, None, GENERAL);
        verdict(judge(&terms, &skatt, Wanted::Account, mandate, day("2026-11-20")))
    };
    assert_eq!(ask(Some("A")).as_deref(), Ok("Narrow"));
    assert_eq!(ask(Some("B")), Err("mandate"));
    assert_eq!(ask(None), Err("mandate"));
}

#[test]
fn what_is_put_in_force_counts_from_the_next_question_on() {
    let scope = |text| vec![Scope::parse(text).unwrap()];
    let scopes = RequiredScopes {
        customer_relationships: scope(GENERAL),
        account_servicing_provider: vec![
            Scope::parse(GENERAL).unwrap(),
            Scope::parse("bits:kundeforhold.konto").unwrap(),
        ],
        write: scope("bits:kundeforhold.write"),
    };
    let own = service(
        "Own",
        &format!("scope = \"{OWN}\"\nendpoints = \"accountServicingProvider\""),
    );
    let in_force = TermsInForce::new(parse(&[service("Before", "")]), scopes, Enforcement::Enforce, 1);
    let shared = in_force.clone();
    let (skatt, owner) = (caller(SKATT, None, GENERAL), caller(SKATT, None, OWN));
    let ask = |caller| verdict(shared.authorize(caller, anything(), None, day("2026-11-20")));
    assert_eq!(ask(&skatt).as_deref(), Ok("Before"));
    assert!(!shared.has_any_own_scope(&owner));

    in_force.replace(parse(&[service("After", "mandate = \"A\""), own]));
    assert_eq!(ask(&skatt), Err("mandate"));
    assert!(shared.has_any_own_scope(&owner) && !shared.has_any_own_scope(&skatt));
    assert!(shared.has_own_scope(&owner, LookupEndpoint::AccountServicingProvider));
    assert!(!shared.has_own_scope(&owner, LookupEndpoint::CustomerRelationships));
    let konto = caller(SKATT, None, "bits:kundeforhold.konto");
    let account = |caller| verdict(shared.authorize(caller, Wanted::Account, Some("A"), day("2026-11-20")));
    assert_eq!(account(&konto).as_deref(), Ok("After"));
    assert_eq!(account(&owner).as_deref(), Ok("Own"));
}

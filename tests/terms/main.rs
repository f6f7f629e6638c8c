//! DSOP service terms: the specification's table, written out here a second time, and the terms' file.

mod files;
mod mandates;
mod narrowing;
mod table;

use chrono::NaiveDate;
use kundeforhold::access::caller::{Caller, Scope, Scopes};
use kundeforhold::access::terms::{OutsideTerms, Permit, Question, Terms, Today, Wanted};
use kundeforhold::domain::calendar::Period;
use kundeforhold::domain::identifiers::{CustomerKind, OrganizationNumber};

const GENERAL: &str = "bits:kundeforhold";
const SKATT: &str = "974761076";
const POLITI: &str = "915429785";
const SRF: &str = "986186999";
const VERGE_MANDATE: &str =
    "Vergemålsloven § 54 (2), jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) a";

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn organization(number: &str) -> OrganizationNumber {
    OrganizationNumber::parse(number).unwrap()
}

fn caller(consumer: &str, supplier: Option<&str>, scopes: &str) -> Caller {
    Caller {
        consumer: organization(consumer),
        supplier: supplier.map(organization),
        scopes: Scopes::new(scopes),
        token_id: None,
        client_amr: None,
        system_user: None,
    }
}

fn relationships(kind: CustomerKind, from: &str, to: &str, only_primary_owner: Option<bool>) -> Wanted {
    Wanted::Relationships {
        customer: kind,
        period: Period::new(day(from), day(to)).unwrap(),
        only_primary_owner,
    }
}

/// What the terms say on a day, with one day of grace.
fn judge(
    terms: &Terms,
    caller: &Caller,
    wanted: Wanted,
    mandate: Option<&str>,
    today: NaiveDate,
) -> Result<Permit, OutsideTerms> {
    let general_scopes = [Scope::parse(GENERAL).unwrap()];
    let question = Question {
        wanted,
        mandate,
        general_scopes: &general_scopes,
        today: Today {
            day: today,
            grace_days: 1,
        },
    };
    terms.authorize(caller, &question)
}

/// The service that fits, or the name of the term that fails.
fn verdict(judged: Result<Permit, OutsideTerms>) -> Result<String, &'static str> {
    judged
        .map(|permit| permit.service)
        .map_err(|outside| outside.term.name())
}

fn default_terms() -> Terms {
    Terms::read(None).unwrap()
}

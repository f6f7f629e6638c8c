//! One relationship: what it is follows from its set and its place in it.

use super::numbers::{self, CustomerNumber};
use super::scatter::Dice;
use super::{GeneratedSet, MOST_PER_CUSTOMER, customer_at};
use crate::domain::relationship::{Register, Role};
use chrono::{Days, NaiveDate};
use std::fmt;

/// Nothing begins or ends after this day, so that a population is the same on whatever day it is made.
pub const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(2026, 6, 30) {
    Some(day) => day,
    None => NaiveDate::MAX,
};
/// What runs began in these last 30 years.
const RUNNING_DAYS: u64 = 30 * 365;
/// What is closed was closed in these last 9 years: the register forgets it after 10.
const CLOSED_DAYS: u64 = 9 * 365;
/// It was open for up to 20 years.
const OPEN_DAYS: u64 = 20 * 365;

/// One line of a set, shown as the bank writes it, without the line's end.
pub struct GeneratedRecord {
    pub customer: CustomerNumber,
    agreement: GeneratedAgreement,
    role: Role,
    from: NaiveDate,
    to: Option<NaiveDate>,
}

#[derive(Clone, Copy)]
enum GeneratedAgreement {
    Account(u64),
    /// A loan, with the bank's own reference.
    Loan(u64),
    CustomerLevel,
}

/// A relationship before it is known whether it is shared with another customer.
struct Draft {
    agreement: GeneratedAgreement,
    role: Role,
    from: NaiveDate,
    to: Option<NaiveDate>,
}

/// The relationship at a place below the set's number of them.
pub fn generate(set: &GeneratedSet, ordinal: u64) -> GeneratedRecord {
    let mut draft = draft(set, ordinal);
    let may_share = matches!(draft.role, Role::SecondaryOwner | Role::Other);
    if may_share
        && matches!(draft.agreement, GeneratedAgreement::Account(_))
        && let Some(owner) = shared_account(set, ordinal)
    {
        draft = Draft {
            role: draft.role,
            ..owner
        };
    }
    GeneratedRecord {
        customer: set.customer(customer_at(ordinal)),
        agreement: draft.agreement,
        role: draft.role,
        from: draft.from,
        to: draft.to,
    }
}

/// The account of another customer, that a little earlier in the set was given to its owner.
fn shared_account(set: &GeneratedSet, ordinal: u64) -> Option<Draft> {
    let owner = draft(set, ordinal.checked_sub(MOST_PER_CUSTOMER)?);
    let is_owned = matches!(owner.agreement, GeneratedAgreement::Account(_)) && owner.role == Role::Owner;
    is_owned.then_some(owner)
}

fn draft(set: &GeneratedSet, ordinal: u64) -> Draft {
    let mut dice = Dice::new(set.seed, ordinal);
    let (kind, role) = (dice.below(100), dice.below(100));
    let (from, to) = interval(&mut dice);
    // At most one at customer level for each customer, so that no identity comes twice.
    let is_first = ordinal == 0 || customer_at(ordinal - 1) != customer_at(ordinal);
    let agreement = match (set.id.register, is_first, kind) {
        (Register::Kfr, true, _) | (Register::Kar, true, 90..) => GeneratedAgreement::CustomerLevel,
        (Register::Kar, _, 0..80) => GeneratedAgreement::Account(set.first_account + ordinal),
        _ => GeneratedAgreement::Loan(ordinal),
    };
    let role = match (set.id.register, role) {
        (Register::Kar, 0..76) | (Register::Kfr, 0..20) => Role::Owner,
        (Register::Kar, 76..86) | (Register::Kfr, 20..25) => Role::SecondaryOwner,
        (Register::Kar, 86..95) | (Register::Kfr, 25..30) => Role::Other,
        _ => Role::Unknown,
    };
    Draft {
        agreement,
        role,
        from,
        to,
    }
}

/// One in five is closed.
fn interval(dice: &mut Dice) -> (NaiveDate, Option<NaiveDate>) {
    let before = |day: NaiveDate, days| day.checked_sub_days(Days::new(days)).unwrap_or(day);
    if dice.below(5) == 0 {
        let to = before(LAST_DAY, dice.below(CLOSED_DAYS));
        (before(to, dice.below(OPEN_DAYS)), Some(to))
    } else {
        (before(LAST_DAY, dice.below(RUNNING_DAYS)), None)
    }
}

impl fmt::Display for GeneratedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"customerID\":\"{}\"", self.customer)?;
        match self.agreement {
            GeneratedAgreement::Account(place) => {
                write!(f, ",\"accountID\":\"{:011}\"", numbers::account(place))?
            }
            GeneratedAgreement::Loan(place) => {
                write!(f, ",\"agreementID\":\"L-{place}\",\"holdsFunds\":false")?
            }
            GeneratedAgreement::CustomerLevel => {}
        }
        let role = match self.role {
            Role::Owner => "owner",
            Role::SecondaryOwner => "secondaryOwner",
            Role::Other => "other",
            Role::Unknown => "unknown",
        };
        write!(f, ",\"role\":\"{role}\",\"fromDate\":\"{}\"", self.from)?;
        if let Some(to) = self.to {
            write!(f, ",\"toDate\":\"{to}\"")?;
        }
        f.write_str("}")
    }
}

//! Identifiers that follow from a number by arithmetic, with valid check digits and none of them twice.
//!
//! Not every row of digits has check digits: where one would be 10, there is no such number. Of the ten rows that
//! differ in the last free digit alone, each check digit excludes at most one. So at least nine account or
//! organisation numbers begin with the same digits, and eight person numbers, which have two.

use super::scatter::{Scatter, mix};
use chrono::{Datelike, Days, NaiveDate};
use std::fmt;

const VALID_OF_TEN: u64 = 9;
const PERSONS_OF_TEN: u64 = 8;

/// Days of a hundred years with every fourth a leap year, as two digits of a year tell them.
const BIRTHDAYS: u64 = 36_525;
const FIRST_BIRTHDAY: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
/// The first two of a person's three serial digits.
const SERIAL_PAIRS: u64 = 100;
const PERSONS: u64 = BIRTHDAYS * SERIAL_PAIRS * PERSONS_OF_TEN;
/// Added to the month: Tenor's synthetic series.
const TENOR: u32 = 80;
/// Added to the day of a D-number.
const D_NUMBER: u32 = 40;

/// Customers begin with 3, banks with 22: no real organisation does.
const FIRST_ORGANIZATION: u64 = 3_000_000;
const ORGANIZATIONS: u64 = 1_000_000 * VALID_OF_TEN;
const FIRST_BANK: u64 = 2_200_000;
/// The first nine digits of the first account, far from the forbidden `0000`.
const FIRST_ACCOUNT: u64 = 100_000_000;

/// Of so many customers one is an organisation, one has a D-number and the others are persons with a
/// fødselsnummer.
const KINDS: u64 = 20;
const PERSONS_OF_KINDS: u64 = KINDS - 2;

/// There are numbers for so many customers.
pub const MAX_CUSTOMERS: u64 = PERSONS / PERSONS_OF_KINDS * KINDS;
const _: () = assert!(
    MAX_CUSTOMERS / KINDS <= ORGANIZATIONS,
    "a number for each organisation"
);
/// Far more than there are, and below the 900,000 that there are numbers for.
pub const MAX_BANKS: u64 = 1000;
/// There are numbers for so many accounts.
pub const MAX_ACCOUNTS: u64 = (1_000_000_000 - FIRST_ACCOUNT) * VALID_OF_TEN;

/// The number of a synthetic customer, as a bank writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CustomerNumber {
    /// A fødselsnummer or D-number with 80 added to the month.
    Person(u64),
    Organization(u64),
}

impl fmt::Display for CustomerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(number) => write!(f, "{number:011}"),
            Self::Organization(number) => write!(f, "{number:09}"),
        }
    }
}

/// The numbers of all customers of a population.
#[derive(Clone, Copy)]
pub struct Customers {
    count: u64,
    persons: Scatter,
    organizations: Scatter,
}

impl Customers {
    /// `count` is at most [`MAX_CUSTOMERS`].
    pub fn new(count: u64, seed: u64) -> Self {
        Self {
            count,
            persons: Scatter::new(PERSONS, mix(seed)),
            organizations: Scatter::new(ORGANIZATIONS, mix(seed)),
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of the customer with this index, which is below the count.
    pub fn number(&self, index: u64) -> CustomerNumber {
        let (group, kind) = (index / KINDS, index % KINDS);
        match kind {
            0 => CustomerNumber::Organization(organization(FIRST_ORGANIZATION, self.organizations.at(group))),
            1 => CustomerNumber::Person(person(self.persons.at(group), D_NUMBER)),
            _ => {
                let place = group * PERSONS_OF_KINDS + kind - 2;
                CustomerNumber::Person(person(self.persons.at(place), 0))
            }
        }
    }
}

/// The person number at a place below [`PERSONS`].
fn person(place: u64, added_to_day: u32) -> u64 {
    let (nth, place) = (place % PERSONS_OF_TEN, place / PERSONS_OF_TEN);
    let (serial, day) = (place % SERIAL_PAIRS, place / SERIAL_PAIRS);
    let birthday = FIRST_BIRTHDAY + Days::new(day);
    let (day, month) = (birthday.day() + added_to_day, birthday.month() + TENOR);
    let date = u64::from(day * 10_000 + month * 100) + u64::from(birthday.year_ce().1 % 100);
    completed(nth, date * SERIAL_PAIRS + serial, |nine| {
        let ten = with_check_digit(nine, &[3, 7, 6, 1, 8, 9, 4, 5, 2])?;
        with_check_digit(ten, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
    })
}

/// The account at a place below [`MAX_ACCOUNTS`].
pub fn account(place: u64) -> u64 {
    completed(
        place % VALID_OF_TEN,
        FIRST_ACCOUNT + place / VALID_OF_TEN,
        |ten| with_check_digit(ten, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]),
    )
}

/// The number of the bank at a place below [`MAX_BANKS`].
pub fn bank(place: u64) -> u64 {
    organization(FIRST_BANK, place)
}

fn organization(first: u64, place: u64) -> u64 {
    completed(place % VALID_OF_TEN, first + place / VALID_OF_TEN, |eight| {
        with_check_digit(eight, &[3, 2, 7, 6, 5, 4, 3, 2])
    })
}

/// The `nth` valid number that begins so. There always is one while `nth` is below what the module's head says.
fn completed(nth: u64, beginning: u64, complete: impl Fn(u64) -> Option<u64>) -> u64 {
    (0..10)
        .filter_map(|digit| complete(beginning * 10 + digit))
        .nth(nth as usize)
        .unwrap_or_default()
}

/// The number with its MOD11 check digit; `None` where that would be 10. One weight for each digit.
fn with_check_digit(number: u64, weights: &[u64]) -> Option<u64> {
    let (mut sum, mut rest) = (0, number);
    for weight in weights.iter().rev() {
        sum += rest % 10 * weight;
        rest /= 10;
    }
    let check_digit = (11 - sum % 11) % 11;
    (check_digit < 10).then_some(number * 10 + check_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identifiers::{
        AccountNumber, CustomerId, CustomerKind, IdentifierRules, OrganizationNumber, SyntheticSeries,
    };

    fn rules() -> IdentifierRules {
        IdentifierRules {
            synthetic: SyntheticSeries {
                tenor: true,
                ..SyntheticSeries::NONE
            },
            accept_2032: false,
            ..IdentifierRules::PRODUCTION
        }
    }

    /// Both ends and places between them.
    fn places(count: u64) -> impl Iterator<Item = u64> {
        (0..2000)
            .chain(count - 2000..count)
            .chain((0..20_000).map(move |n| mix(n) % count))
    }

    #[test]
    fn every_person_is_valid_in_the_series_of_tenor_alone() {
        for place in places(PERSONS) {
            for added in [0, D_NUMBER] {
                let number = CustomerNumber::Person(person(place, added)).to_string();
                let parsed = CustomerId::parse(&number, &rules()).map(|id| id.kind());
                assert_eq!(parsed, Ok(CustomerKind::Person), "{number}");
                assert!(CustomerId::parse(&number, &IdentifierRules::PRODUCTION).is_err());
            }
        }
    }

    #[test]
    fn every_organisation_bank_and_account_is_valid() {
        for place in places(ORGANIZATIONS) {
            let number = CustomerNumber::Organization(organization(FIRST_ORGANIZATION, place)).to_string();
            assert!(
                number.starts_with('3') && OrganizationNumber::parse(&number).is_ok(),
                "{number}"
            );
        }
        for place in 0..MAX_BANKS {
            let number = bank(place).to_string();
            assert!(
                number.starts_with("22") && OrganizationNumber::parse(&number).is_ok(),
                "{number}"
            );
        }
        for place in places(MAX_ACCOUNTS) {
            let number = account(place).to_string();
            assert!(
                AccountNumber::parse_delivered(&number, &rules()).is_ok(),
                "{number}"
            );
        }
    }

    #[test]
    fn no_number_comes_twice() {
        const MANY: u64 = 300_000;
        let distinct = |numbers: Vec<u64>| {
            let mut sorted = numbers;
            sorted.sort_unstable();
            sorted.windows(2).all(|pair| pair[0] < pair[1])
        };
        assert!(distinct((0..MANY).map(account).collect()));
        assert!(distinct((0..MANY).map(bank).collect()));
        assert!(distinct((0..MANY).map(|place| person(place, 0)).collect()));
        let customers = Customers::new(MAX_CUSTOMERS, 7);
        let mut numbers: Vec<CustomerNumber> = (0..MANY).map(|index| customers.number(index)).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_last_customer_has_a_number_too() {
        let customers = Customers::new(MAX_CUSTOMERS, 3);
        for index in MAX_CUSTOMERS - 1000..MAX_CUSTOMERS {
            let number = customers.number(index).to_string();
            assert!(CustomerId::parse(&number, &rules()).is_ok(), "{index}: {number}");
        }
    }
}

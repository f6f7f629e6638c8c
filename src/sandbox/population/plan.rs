//! How a population is shared out among banks.

use super::numbers::{self, Customers, MAX_ACCOUNTS, MAX_BANKS, MAX_CUSTOMERS};
use super::scatter::{Scatter, mix};
use super::{GeneratedBank, GeneratedSet, Population, customers_of};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::{Register, SetId};

/// Bound of the relationships of a population: even those of a single bank have enough customers.
pub const MAX_RELATIONSHIPS: u64 = 100_000_000;
const _: () = assert!(MAX_RELATIONSHIPS <= MAX_ACCOUNTS, "an account each");
const _: () = assert!(
    customers_of(MAX_RELATIONSHIPS) <= MAX_CUSTOMERS,
    "a number for each customer"
);
/// Relationships for each customer unless a number of customers is given: those of a customer at a bank, times
/// the banks that a customer has on average.
const RELATIONSHIPS_PER_CUSTOMER: u64 = 5;
/// The largest bank has one in so many relationships.
const SHARE_OF_LARGEST: u64 = 5;
/// Of a bank in both registers, one in so many relationships is in KFR.
const SHARE_OF_KFR: u64 = 5;
/// Weights are fractions of this.
const WEIGHT: u64 = 1_000_000_000;

const PLACES: [&str; 20] = [
    "Lyng", "Ravn", "Fjell", "Tind", "Elve", "Skog", "Stein", "Havn", "Moss", "Bekke", "Furu", "Gras",
    "Isbre", "Krokus", "Løv", "Myr", "Nype", "Orre", "Rogne", "Sol",
];
const ENDINGS: [&str; 12] = [
    "vik", "dal", "nes", "øy", "åsen", "heim", "stad", "lia", "bakken", "holmen", "tunet", "fossen",
];

/// How large a population is. The same size and seed give the same population, today and later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopulationSize {
    /// From 1 to 1,000.
    pub banks: u64,
    /// Relationships of all banks together, at most [`MAX_RELATIONSHIPS`].
    pub relationships: u64,
    /// Customers to choose from; absent: as many as go with the relationships.
    pub customers: Option<u64>,
    pub seed: u64,
}

/// Why there is no such population.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PopulationError {
    #[error("there are from 1 to {MAX_BANKS} banks")]
    Banks,
    #[error("there are at most {MAX_RELATIONSHIPS} relationships")]
    Relationships,
    #[error("there are from {least} customers, which the largest set has, to {MAX_CUSTOMERS}")]
    Customers { least: u64 },
    #[error("a bank has no number")]
    BankNumber,
}

/// A set before its place in the population is known.
struct Share {
    id: SetId,
    weight: u64,
}

pub fn population(size: &PopulationSize) -> Result<Population, PopulationError> {
    if !(1..=MAX_BANKS).contains(&size.banks) {
        return Err(PopulationError::Banks);
    }
    if size.relationships > MAX_RELATIONSHIPS {
        return Err(PopulationError::Relationships);
    }
    let banks: Vec<GeneratedBank> = (0..size.banks).map(bank).collect::<Result<_, _>>()?;
    let shares = shares(&banks);
    let allotted = allot(size.relationships, &shares);
    let least = allotted
        .iter()
        .map(|n| customers_of(*n))
        .max()
        .unwrap_or(0)
        .max(1);
    let usual = (size.relationships / RELATIONSHIPS_PER_CUSTOMER).max(least);
    let count = size.customers.unwrap_or(usual.min(MAX_CUSTOMERS));
    if !(least..=MAX_CUSTOMERS).contains(&count) {
        return Err(PopulationError::Customers { least });
    }
    let customers = Customers::new(count, size.seed);
    let mut first_account = 0;
    let sets = shares
        .iter()
        .zip(allotted)
        .zip(1..)
        .map(|((share, relationships), nth)| {
            let seed = mix(size.seed ^ mix(nth));
            let set = GeneratedSet {
                id: share.id,
                seed,
                relationships,
                first_account,
                customers,
                chosen: Scatter::new(count, seed),
            };
            first_account += relationships;
            set
        });
    let sets = sets.collect();
    Ok(Population {
        banks,
        sets,
        customers,
        seed: size.seed,
    })
}

/// Of five banks three are in KAR, one is in both registers and one in KFR. The first is the largest.
fn bank(nth: u64) -> Result<GeneratedBank, PopulationError> {
    let organization = u32::try_from(numbers::bank(nth))
        .ok()
        .and_then(OrganizationNumber::from_u32)
        .ok_or(PopulationError::BankNumber)?;
    let registers = match nth % 5 {
        3 => vec![Register::Kar, Register::Kfr],
        4 => vec![Register::Kfr],
        _ => vec![Register::Kar],
    };
    Ok(GeneratedBank {
        organization,
        name: name(nth as usize),
        registers,
    })
}

/// Made up; from the 241st bank on with a number.
fn name(nth: usize) -> String {
    let (place, ending) = (
        PLACES[nth % PLACES.len()],
        ENDINGS[nth / PLACES.len() % ENDINGS.len()],
    );
    match nth / (PLACES.len() * ENDINGS.len()) {
        0 => format!("{place}{ending} Sparebank"),
        again => format!("{place}{ending} Sparebank {}", again + 1),
    }
}

/// The first bank has its share; of the others, the n-th has one n-th of what the first would have.
fn shares(banks: &[GeneratedBank]) -> Vec<Share> {
    let others: u64 = (2..=banks.len() as u64).map(|nth| WEIGHT / nth).sum();
    let largest = (others / (SHARE_OF_LARGEST - 1)).max(WEIGHT / 2);
    let weights = std::iter::once(largest).chain((2..).map(|nth| WEIGHT / nth));
    banks
        .iter()
        .zip(weights)
        .flat_map(|(bank, weight)| {
            let in_both = bank.registers.len() > 1;
            bank.registers.iter().map(move |register| Share {
                id: SetId {
                    bank: bank.organization,
                    register: *register,
                },
                weight: match register {
                    Register::Kar if in_both => weight - weight / SHARE_OF_KFR,
                    Register::Kfr if in_both => weight / SHARE_OF_KFR,
                    _ => weight,
                },
            })
        })
        .collect()
}

/// So many relationships for each share; together exactly all of them.
fn allot(relationships: u64, shares: &[Share]) -> Vec<u64> {
    let total: u64 = shares.iter().map(|share| share.weight).sum();
    let up_to = |weight: u64| {
        // Below `relationships`, since no weight is above the total.
        (u128::from(relationships) * u128::from(weight) / u128::from(total)) as u64
    };
    let mut before = 0;
    let allotted = shares.iter().map(|share| {
        let (from, to) = (before, before + share.weight);
        before = to;
        up_to(to) - up_to(from)
    });
    allotted.collect()
}

//! A synthetic population of any size: banks, customers and relationships.
//!
//! Nothing of it is held. Every relationship follows by arithmetic from the seed, its set and its place in the
//! set, and every customer's number from the seed and the customer's place in the population. So it can be
//! streamed in constant memory, and asked about again at any time.

mod numbers;
mod plan;
mod record;
mod scatter;

pub use numbers::CustomerNumber;
pub use plan::{PopulationError, PopulationSize};
pub use record::GeneratedRecord;

use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::{Register, SetId};
use numbers::Customers;
use scatter::{Scatter, mix};
use std::fmt::Write;

/// How many relationships the customers of a set have, over and over again: 3.5 on average.
const PER_CUSTOMER: [u64; 16] = [3, 1, 4, 2, 3, 5, 2, 8, 3, 4, 1, 6, 2, 5, 3, 4];
/// The relationships of sixteen customers.
const CYCLE: usize = 56;
/// No customer has more relationships in a set.
const MOST_PER_CUSTOMER: u64 = 8;
/// Whose relationship each of a cycle is.
const CUSTOMER_IN_CYCLE: [u64; CYCLE] = customers_in_cycle();

const fn customers_in_cycle() -> [u64; CYCLE] {
    let mut owners = [0; CYCLE];
    let (mut customer, mut at) = (0, 0);
    while customer < PER_CUSTOMER.len() {
        let end = at + PER_CUSTOMER[customer] as usize;
        while at < end {
            owners[at] = customer as u64;
            at += 1;
        }
        customer += 1;
    }
    owners
}

/// The place, among the customers of a set, of the one that a relationship belongs to.
const fn customer_at(ordinal: u64) -> u64 {
    let cycle = CYCLE as u64;
    ordinal / cycle * PER_CUSTOMER.len() as u64 + CUSTOMER_IN_CYCLE[(ordinal % cycle) as usize]
}

/// How many customers so many relationships of a set belong to.
const fn customers_of(relationships: u64) -> u64 {
    match relationships.checked_sub(1) {
        None => 0,
        Some(last) => customer_at(last) + 1,
    }
}

/// A generated bank.
pub struct GeneratedBank {
    pub organization: OrganizationNumber,
    pub name: String,
    /// One or both, in the order KAR, KFR.
    pub registers: Vec<Register>,
}

/// The whole set of a generated bank in a register.
pub struct GeneratedSet {
    pub id: SetId,
    seed: u64,
    relationships: u64,
    /// The accounts of the sets before it were given to others.
    first_account: u64,
    customers: Customers,
    /// Which customers of the population are the set's.
    chosen: Scatter,
}

impl GeneratedSet {
    /// Number of relationships.
    pub fn relationships(&self) -> u64 {
        self.relationships
    }

    /// Number of customers.
    pub fn customers(&self) -> u64 {
        customers_of(self.relationships)
    }

    /// All relationships, each a line of NDJSON without its end. A customer's stand together.
    pub fn records(&self) -> impl Iterator<Item = GeneratedRecord> + '_ {
        (0..self.relationships).map(|ordinal| record::generate(self, ordinal))
    }

    /// The customer at a place below [`customers`](Self::customers).
    fn customer(&self, place: u64) -> CustomerNumber {
        self.customers.number(self.chosen.at(place))
    }
}

/// Banks, customers and relationships of a size and a seed: the same ones each time.
pub struct Population {
    banks: Vec<GeneratedBank>,
    sets: Vec<GeneratedSet>,
    customers: Customers,
    seed: u64,
}

impl Population {
    /// # Errors
    /// When a number is out of bounds, or there are fewer customers than the largest set has.
    pub fn new(size: &PopulationSize) -> Result<Self, PopulationError> {
        plan::population(size)
    }

    pub fn banks(&self) -> &[GeneratedBank] {
        &self.banks
    }

    /// One for each bank and register it takes part in.
    pub fn sets(&self) -> &[GeneratedSet] {
        &self.sets
    }

    /// Number of customers, those of no bank among them.
    pub fn customers(&self) -> u64 {
        self.customers.count()
    }

    /// The customer with an index; indexes wrap around at [`customers`](Self::customers).
    pub fn customer(&self, index: u64) -> CustomerNumber {
        self.customers.number(index % self.customers.count())
    }

    /// Customers that have relationships, in no order, from all sets by their size; nobody if there are no
    /// relationships. Who is a customer of several sets comes as often, and all begin again after the last.
    pub fn existing_customers(&self) -> impl Iterator<Item = CustomerNumber> + '_ {
        let total: u64 = self.sets.iter().map(GeneratedSet::customers).sum();
        let order = Scatter::new(total, mix(self.seed));
        (0..total).cycle().filter_map(move |index| {
            let mut place = order.at(index);
            let set = self
                .sets
                .iter()
                .find(|set| match place.checked_sub(set.customers()) {
                    Some(beyond) => {
                        place = beyond;
                        false
                    }
                    None => true,
                })?;
            Some(set.customer(place))
        })
    }

    /// The banks as the service reads them from its `participants_file`.
    pub fn participants_file(&self) -> String {
        let mut text = String::from("# Generated banks. None of them is real.\n");
        for bank in &self.banks {
            let registers: Vec<String> = bank.registers.iter().map(|r| format!("\"{r}\"")).collect();
            let (number, name, registers) = (bank.organization, &bank.name, registers.join(", "));
            // Writing to a String does not fail.
            let _ = write!(
                text,
                "\n[[participant]]\norganizationID = \"{number}\"\nname = \"{name}\"\nregisters = [{registers}]\n\
                 staleAfter = \"36h\"\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests;

use super::plan::MAX_RELATIONSHIPS;
use super::record::LAST_DAY;
use super::*;
use crate::domain::identifiers::{CustomerId, IdentifierRules, SyntheticSeries};
use crate::domain::relationship::{Agreement, RelationshipRecord, Role};
use crate::http::ndjson::parse_record;
use crate::register::delivery::Line;
use crate::register::participants;
use std::collections::{HashMap, HashSet};

/// Strict, and of the synthetic series that of Tenor only.
const RULES: IdentifierRules = IdentifierRules {
    synthetic: SyntheticSeries {
        tenor: true,
        ..SyntheticSeries::NONE
    },
    ..IdentifierRules::PRODUCTION
};

fn size(relationships: u64, seed: u64) -> PopulationSize {
    PopulationSize {
        banks: 120,
        relationships,
        customers: None,
        seed,
    }
}

fn lines(population: &Population) -> String {
    let lines = population.sets().iter().flat_map(GeneratedSet::records);
    lines.map(|record| format!("{record}\n")).collect()
}

fn parsed(set: &GeneratedSet) -> Vec<RelationshipRecord> {
    let parse = |record: GeneratedRecord| {
        let line = record.to_string();
        match parse_record(line.as_bytes(), set.id.register, &RULES) {
            Ok(Line::Put(record)) => record,
            other => panic!("{line}: {other:?}"),
        }
    };
    set.records().map(parse).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let [one, again, other] = [1, 1, 2].map(|seed| Population::new(&size(20_000, seed)).unwrap());
    assert_eq!(lines(&one), lines(&again));
    assert_eq!(one.participants_file(), again.participants_file());
    assert!(
        one.existing_customers()
            .take(100)
            .eq(again.existing_customers().take(100))
    );
    let (ones, others) = (lines(&one), lines(&other));
    let known: HashSet<&str> = ones.lines().collect();
    let shared = others.lines().filter(|line| known.contains(line)).count();
    assert!(shared < 20, "{shared}");
}

#[test]
fn a_seed_gives_what_it_gave_last_year() {
    let population = Population::new(&PopulationSize {
        banks: 1,
        ..size(4, 7)
    });
    let given = r#"{"customerID":"365326827","accountID":"10000000006","role":"owner","fromDate":"2016-02-29","toDate":"2021-10-27"}
{"customerID":"365326827","accountID":"10000000014","role":"owner","fromDate":"2023-08-18"}
{"customerID":"365326827","accountID":"10000000022","role":"owner","fromDate":"2025-12-11"}
{"customerID":"44923236586","accountID":"10000000030","role":"owner","fromDate":"2013-03-03"}
"#;
    assert_eq!(lines(&population.unwrap()), given);
}

#[test]
fn every_record_is_taken_by_the_product_and_no_identity_comes_twice() {
    let population = Population::new(&size(200_000, 3)).unwrap();
    let mut count = 0;
    for set in population.sets() {
        let mut identities = HashSet::new();
        for record in parsed(set) {
            let customer = record.customer.to_secret_bytes();
            let interval = record.relationship.interval();
            assert!(
                identities.insert((customer, record.agreement, interval.from())),
                "{}",
                set.id
            );
            assert!(interval.to().unwrap_or(interval.from()) <= LAST_DAY);
        }
        assert_eq!(identities.len() as u64, set.relationships());
        count += set.relationships();
    }
    assert_eq!(count, 200_000);
}

#[test]
fn customers_have_three_and_a_half_relationships_at_a_bank() {
    let population = Population::new(&size(100_000, 3)).unwrap();
    for set in population.sets().iter().filter(|set| set.relationships() > 1000) {
        let mut owned: HashMap<CustomerNumber, u64> = HashMap::new();
        set.records()
            .for_each(|record| *owned.entry(record.customer).or_default() += 1);
        assert_eq!(owned.len() as u64, set.customers(), "{}", set.id);
        let average = set.relationships() as f64 / owned.len() as f64;
        assert!((3.4..3.6).contains(&average), "{average}");
        assert!(owned.values().all(|count| *count <= MOST_PER_CUSTOMER));
    }
}

#[test]
fn one_bank_in_120_has_a_fifth_and_every_kind_of_record_occurs() {
    let population = Population::new(&size(100_000, 3)).unwrap();
    assert_eq!(population.sets()[0].relationships().div_ceil(100), 200);
    let all: Vec<_> = population
        .sets()
        .iter()
        .flat_map(|set| parsed(set).into_iter().map(|r| (set.id, r)))
        .collect();
    let share = |of: &dyn Fn(&(SetId, RelationshipRecord)) -> bool| {
        all.iter().filter(|record| of(record)).count() as f64 / all.len() as f64
    };
    for role in [Role::Owner, Role::SecondaryOwner, Role::Other, Role::Unknown] {
        assert!(
            share(&|(_, record)| record.relationship.role == role) > 0.03,
            "{role:?}"
        );
    }
    let closed = share(&|(_, record)| record.relationship.interval().to().is_some());
    assert!((0.15..0.25).contains(&closed), "{closed}");
    assert!(share(&|(set, _)| set.register == Register::Kfr) > 0.1);
    assert!(share(&|(_, record)| record.agreement == Agreement::CustomerLevel) > 0.03);
    assert!(share(&|(_, record)| matches!(record.agreement, Agreement::Reference(_))) > 0.1);
    let organizations = share(&|(_, record)| {
        record.customer.kind() == crate::domain::identifiers::CustomerKind::Organization
    });
    assert!((0.04..0.06).contains(&organizations), "{organizations}");
    let accounts: Vec<_> = all
        .iter()
        .filter_map(|(_, record)| match record.agreement {
            Agreement::Account(account) => Some(account),
            _ => None,
        })
        .collect();
    let distinct: HashSet<_> = accounts.iter().collect();
    let shared = accounts.len() - distinct.len();
    assert!(
        accounts.len() / 20 < shared && shared < accounts.len() / 4,
        "{shared} of {}",
        accounts.len()
    );
}

#[test]
fn the_service_takes_the_participants_file() {
    let population = Population::new(&PopulationSize {
        banks: 300,
        ..size(1000, 1)
    })
    .unwrap();
    let participants = participants::parse(&population.participants_file()).unwrap();
    assert_eq!(participants.iter().count(), 300);
    let names: HashSet<_> = participants.iter().map(|bank| bank.name.clone()).collect();
    assert_eq!(names.len(), 300);
    let sets: Vec<SetId> = participants
        .iter()
        .flat_map(|bank| bank.sets().collect::<Vec<_>>())
        .collect();
    assert!(
        sets.iter()
            .copied()
            .eq(population.sets().iter().map(|set| set.id))
    );
}

#[test]
fn existing_customers_have_relationships() {
    let population = Population::new(&size(10_000, 9)).unwrap();
    let having: HashSet<_> = population
        .sets()
        .iter()
        .flat_map(GeneratedSet::records)
        .map(|r| r.customer)
        .collect();
    let total: u64 = population.sets().iter().map(GeneratedSet::customers).sum();
    let existing: Vec<_> = population.existing_customers().take(total as usize).collect();
    assert!(existing.iter().all(|customer| having.contains(customer)));
    assert_eq!(existing.into_iter().collect::<HashSet<_>>(), having);
    let of_index: HashSet<_> = (0..population.customers())
        .map(|index| population.customer(index))
        .collect();
    assert!(having.is_subset(&of_index) && having.len() < of_index.len());
    let all = having
        .iter()
        .all(|customer| CustomerId::parse(&customer.to_string(), &RULES).is_ok());
    assert!(all);
}

#[test]
fn there_is_a_population_of_any_size_within_bounds() {
    for (banks, relationships) in [(1, 0), (1, 1), (2, 1), (5, 55), (1000, 10), (3, 57)] {
        let population = Population::new(&PopulationSize {
            banks,
            ..size(relationships, 1)
        })
        .unwrap();
        assert_eq!(lines(&population).lines().count() as u64, relationships);
        assert_eq!(
            population.existing_customers().take(5).count() == 0,
            relationships == 0
        );
    }
    for banks in [1, 120] {
        let largest = PopulationSize {
            banks,
            ..size(MAX_RELATIONSHIPS, 1)
        };
        assert!(Population::new(&largest).is_ok());
    }
    let refused = |size| Population::new(&size).err();
    assert_eq!(
        refused(PopulationSize {
            banks: 0,
            ..size(1, 1)
        }),
        Some(PopulationError::Banks)
    );
    assert_eq!(
        refused(PopulationSize {
            banks: 1001,
            ..size(1, 1)
        }),
        Some(PopulationError::Banks)
    );
    assert_eq!(
        refused(size(MAX_RELATIONSHIPS + 1, 1)),
        Some(PopulationError::Relationships)
    );
    for customers in [15, 100_000_000] {
        let size = PopulationSize {
            banks: 1,
            customers: Some(customers),
            ..size(56, 1)
        };
        assert_eq!(refused(size), Some(PopulationError::Customers { least: 16 }));
    }
}

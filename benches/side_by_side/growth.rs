//! More relationships, more banks, longer answers.

use super::deployment::{Deployment, Service, Set, World, scratch, start_issuer, tokens};
use super::figures::{Rounds, median, print_heading, print_ratio, print_table};
use super::requests::Questions;
use super::settings;
use super::wrk::{Measured, Target};
use kundeforhold::domain::relationship::Register;
use kundeforhold::sandbox::population::{Population, PopulationSize};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const CONNECTIONS: usize = 64;

/// A service with a population of its own, loaded and running.
struct Grown {
    service: Service,
    requests: PathBuf,
    _directory: TempDir,
}

impl Grown {
    fn of(make: impl FnOnce(&Path) -> World) -> Self {
        let directory = scratch();
        let world = make(directory.path());
        let issuer = start_issuer(&world.banks);
        let live = tokens(&issuer, settings::tokens());
        let questions = Questions {
            customers: &world.customers,
            tokens: &live,
        };
        let requests = questions.for_service(&directory.path().join("requests"));
        let deployment = Deployment::new(directory.path().join("service"), &world);
        let service = deployment.start(&issuer, None);
        service.load(&world, &issuer);
        world
            .sets
            .iter()
            .for_each(|set| std::fs::remove_file(&set.file).unwrap());
        Self {
            service,
            requests,
            _directory: directory,
        }
    }

    fn measure(&self) -> Measured {
        let target = Target {
            address: &self.service.address,
            requests: &self.requests,
            processes: &[&self.service.process],
            processor: None,
        };
        target.measure(CONNECTIONS)
    }
}

/// All of them in each round, in turn.
fn interleaved(grown: &[(String, Grown)]) -> Vec<Rounds> {
    let named = |(name, _): &(String, Grown)| Rounds::new(name.as_str(), CONNECTIONS);
    let mut rounds: Vec<Rounds> = grown.iter().map(named).collect();
    for _ in 0..settings::rounds() {
        for (rounds, (_, grown)) in rounds.iter_mut().zip(grown) {
            rounds.measured.push(grown.measure());
        }
    }
    rounds
}

pub fn measure_size() {
    print_heading("More relationships, more banks");
    const FEW: u64 = 100_000;
    let population = |name: String, relationships, banks, customers| {
        let size = PopulationSize {
            banks,
            relationships,
            customers,
            seed: 1,
        };
        (name, Grown::of(|directory| World::generate(&size, directory)))
    };
    println!("on SQLite; relationships of 12 banks, and {FEW} of 1 bank and of 120\n");
    let sizes = std::iter::once(FEW).chain(settings::grown_relationships());
    let grown: Vec<_> = sizes
        .map(|size| population(format!("{size} relationships"), size, 12, None))
        .collect();
    compare(&grown);
    drop(grown);
    // So many customers that most have one bank, however many banks there are.
    let banks = |number| population(format!("{number} banks"), FEW, number, Some(FEW));
    compare(&[banks(1), banks(120)]);
}

/// Each of the others with the first.
fn compare(grown: &[(String, Grown)]) {
    let rounds = interleaved(grown);
    print_table(&rounds);
    let [first, others @ ..] = rounds.as_slice() else {
        return;
    };
    others
        .iter()
        .for_each(|other| print_ratio("goal 0.85", other, first));
}

pub fn measure_answers() {
    print_heading("More relationships a customer");
    const LENGTHS: [u64; 4] = [1, 15, 30, 60];
    let grown = LENGTHS.map(|length| {
        let grown = Grown::of(|directory| customers_with(length, directory));
        (length.to_string(), grown)
    });
    let rounds = interleaved(&grown);
    print_table(&rounds);
    let cost = |rounds: &Rounds| median(rounds.measured.iter().map(|measured| measured.cpu_seconds * 1e3));
    let costs: Vec<f64> = rounds.iter().map(cost).collect();
    let each = |from: usize, to: usize| (costs[to] - costs[from]) / (LENGTHS[to] - LENGTHS[from]) as f64;
    println!(
        "µs of processor time for each relationship more (linear: all alike): 1→15 {:.2}, 15→30 {:.2}, 30→60 {:.2}",
        each(0, 1),
        each(1, 2),
        each(2, 3)
    );
}

/// Customers with so many relationships each, two at a bank.
fn customers_with(relationships: u64, directory: &Path) -> World {
    // Some of them are in KFR alone.
    const BANKS: u64 = 60;
    let population = Population::new(&PopulationSize {
        banks: BANKS,
        relationships: 1_000_000,
        customers: None,
        seed: 1,
    });
    let population = population.unwrap();
    let customers: Vec<String> = (0..settings::customers() as u64)
        .map(|customer| population.customer(customer).to_string())
        .collect();
    let in_kar = population
        .banks()
        .iter()
        .filter(|bank| bank.registers.contains(&Register::Kar));
    let sets = in_kar.zip(0..relationships.div_ceil(2));
    let sets = sets.map(|(bank, place)| {
        let bank = bank.organization.to_string();
        let register = Register::Kar.name();
        let file = directory.join(format!("{bank}.ndjson"));
        let mut out = BufWriter::new(std::fs::File::create(&file).unwrap());
        let at_bank = (relationships - 2 * place).min(2);
        for customer in &customers {
            for agreement in 0..at_bank {
                writeln!(out, "{{\"customerID\":\"{customer}\",\"agreementID\":\"loan-{agreement}\",\"role\":\"owner\",\"fromDate\":\"2015-03-01\"}}").unwrap();
            }
        }
        out.flush().unwrap();
        Set { bank, register, file }
    });
    World {
        sets: sets.collect(),
        participants: population.participants_file(),
        banks: population.banks().iter().map(|bank| bank.organization).collect(),
        customers,
    }
}

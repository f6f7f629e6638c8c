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
fn interleaved<const N: usize>(names: [&'static str; N], grown: &[Grown; N]) -> [Rounds; N] {
    let mut rounds = names.map(|name| Rounds::new(name, CONNECTIONS));
    for _ in 0..settings::rounds() {
        for (rounds, grown) in rounds.iter_mut().zip(grown) {
            rounds.measured.push(grown.measure());
        }
    }
    rounds
}

pub fn measure_size() {
    print_heading("More relationships, more banks");
    let (few, many) = (100_000, settings::grown_relationships());
    println!("embedded; {few} and {many} relationships of 12 banks, {few} of 1 and of 120\n");
    let population = |relationships, banks, customers| {
        Grown::of(|directory| {
            let size = PopulationSize {
                banks,
                relationships,
                customers,
                seed: 1,
            };
            World::generate(&size, directory)
        })
    };
    let relationships = [population(few, 12, None), population(many, 12, None)];
    let rounds = interleaved(["few relationships", "many relationships"], &relationships);
    drop(relationships);
    print_table(&rounds);
    print_ratio("goal 0.85", &rounds[1], &rounds[0]);
    // So many customers that most have one bank, however many banks there are.
    let banks = [population(few, 1, Some(few)), population(few, 120, Some(few))];
    let rounds = interleaved(["1 bank", "120 banks"], &banks);
    print_table(&rounds);
    print_ratio("goal 0.85", &rounds[1], &rounds[0]);
}

pub fn measure_answers() {
    print_heading("More relationships a customer");
    const LENGTHS: [u64; 4] = [1, 15, 30, 60];
    let grown = LENGTHS.map(|length| Grown::of(|directory| customers_with(length, directory)));
    let rounds = interleaved(["1", "15", "30", "60"], &grown);
    print_table(&rounds);
    let cost = |rounds: &Rounds| median(rounds.measured.iter().map(|measured| measured.cpu_seconds * 1e3));
    let costs = rounds.each_ref().map(cost);
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

//! The service on PostgreSQL, beside the same on SQLite and beside pgbench, which only selects and inserts.

use super::deployment::{Deployment, Service, scratch};
use super::figures::{Rounds, median, print_heading, print_ratio, print_table};
use super::lookups::{Filled, SideBySide};
use super::settings;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const CONNECTIONS: usize = 64;
/// Subjects that pgbench selects, and rows as long as an entry of the record of use.
const SUBJECTS: &str = "
    CREATE TABLE bench_subjects AS SELECT row_number() OVER () AS n, subject
        FROM (SELECT DISTINCT subject FROM relationships LIMIT 10000) s;
    ALTER TABLE bench_subjects ADD PRIMARY KEY (n);
    CREATE TABLE bench_entries (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry bytea, hash bytea);
    ANALYZE";
const TRANSACTION: &str = "\\set n random(1, 10000)
    BEGIN;
    SELECT r.set_id, r.terms, r.from_day, r.to_day FROM relationships r
        WHERE r.subject = (SELECT subject FROM bench_subjects WHERE n = :n);
    INSERT INTO bench_entries (entry, hash) VALUES (decode(repeat('ab', 200), 'hex'), decode(repeat('cd', 32), 'hex'));
    COMMIT;";

/// A server that waits for its disk, as one in use does.
pub struct Postgres {
    /// Its stdin ends with this process.
    _script: Child,
    url: String,
}

impl Postgres {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local-postgres.sh");
        let mut script = Command::new(script)
            .args(["--until-stdin-ends", "--durable"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut told = BufReader::new(script.stdout.take().unwrap());
        told.read_line(&mut url).unwrap();
        assert!(url.contains("DATABASE"), "PostgreSQL did not come up");
        Self {
            _script: script,
            url: url.trim().to_owned(),
        }
    }

    pub fn url(&self, database: &str) -> String {
        self.url.replace("DATABASE", database)
    }

    pub fn run(&self, database: &str, sql: &str) {
        let run = Command::new("psql")
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url(database))
            .status();
        assert!(run.unwrap().success(), "{sql}");
    }

    /// Transactions a second.
    fn pgbench(&self, database: &str, script: &Path) -> f64 {
        let seconds = settings::seconds().as_secs().to_string();
        let output = Command::new("pgbench")
            .args([
                "-n",
                "-M",
                "prepared",
                "-j",
                "2",
                "-T",
                &seconds,
                "-c",
                &CONNECTIONS.to_string(),
                "-f",
            ])
            .arg(script)
            .arg(self.url(database))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        rate.split(' ').next().unwrap().parse().unwrap()
    }
}

pub fn measure() {
    print_heading("Lookups on PostgreSQL");
    let all = SideBySide::prepare();
    let (postgres, directory) = (Postgres::start(), scratch());
    postgres.run("postgres", "CREATE DATABASE register");
    let url = postgres.url("register");
    let deployment = Deployment::on_database(directory.path().join("service"), &all.world, url);
    deployment.start(&all.issuer, None).load(&all.world, &all.issuer);
    postgres.run("register", SUBJECTS);
    let script = directory.path().join("transaction.sql");
    std::fs::write(&script, TRANSACTION).unwrap();
    let of = |name: &str| Rounds::new(name, CONNECTIONS);
    let mut table = [
        of("on SQLite, cache, all hits"),
        of("on PostgreSQL, cache, all hits"),
        of("on PostgreSQL"),
    ];
    let mut bare = Vec::new();
    for _ in 0..settings::rounds() {
        for (rounds, deployment) in table.iter_mut().zip([&all.deployment, &deployment]) {
            let service = deployment.start(&all.issuer, Some(&all.redis));
            rounds.measured.push(all.filled(&service));
        }
        let service = deployment.start(&all.issuer, None);
        table[2].measured.push(all.asked(&service));
        drop(service);
        bare.push(postgres.pgbench("register", &script));
    }
    print_table(&table);
    let [sqlite, cached, uncached] = &table;
    print_ratio("goal 0.9", cached, sqlite);
    let bare = median(bare);
    println!(
        "on PostgreSQL ÷ pgbench of a select and an insert a transaction ({bare:.0} a second), {CONNECTIONS} connections: **{:.2}** (goal 2.5)\n",
        uncached.per_second() / bare
    );
}

impl SideBySide {
    fn filled(&self, service: &Service) -> super::wrk::Measured {
        let processes = [&service.process, &self.redis.process];
        let target = self.target(&service.address, &self.for_service, &processes);
        let filled = Filled::fill(service, &target);
        let measured = target.measure(CONNECTIONS);
        filled.check();
        measured
    }

    fn asked(&self, service: &Service) -> super::wrk::Measured {
        self.target(&service.address, &self.for_service, &[&service.process])
            .measure(CONNECTIONS)
    }
}

//! A bare handler, one that only asks Redis, webdis, the service on SQLite, with and without a cache in front, and the
//! former program on its embedded index, sent the same requests in turn.

use super::bare::Bare;
use super::deployment::{Deployment, Service, World, scratch, start_issuer, tokens};
use super::figures::{Rounds, print_heading, print_ratio, print_table};
use super::process::Process;
use super::requests::Questions;
use super::settings;
use super::webdis::{Redis, Webdis};
use super::wrk::Target;
use kundeforhold::sandbox::issuer::Issuer;
use kundeforhold::sandbox::population::PopulationSize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONNECTIONS: [usize; 2] = [64, 256];
/// Of lookups that are to find all in the cache, those that may not: on a busy machine it is late now and then.
const FEW: f64 = 0.01;
/// Longest that it takes to fill it.
const FILLED_WITHIN: Duration = Duration::from_secs(120);

/// A customer has about three banks.
const RELATIONSHIPS_PER_CUSTOMER: u64 = 9;

/// Everything that the servers need, loaded.
pub struct SideBySide {
    pub issuer: Issuer,
    pub world: World,
    pub deployment: Deployment,
    /// Before the register moved into a database.
    pub former: Option<Deployment>,
    pub redis: Redis,
    pub redis_of_webdis: Redis,
    pub for_service: PathBuf,
    pub for_webdis: PathBuf,
    directory: TempDir,
}

impl SideBySide {
    pub fn prepare() -> Self {
        let directory = scratch();
        let size = PopulationSize {
            banks: 12,
            relationships: settings::relationships(),
            customers: Some(settings::relationships() / RELATIONSHIPS_PER_CUSTOMER),
            seed: 1,
        };
        let world = World::generate(&size, directory.path());
        let issuer = start_issuer(&world.banks);
        let live = tokens(&issuer, settings::tokens());
        let questions = Questions {
            customers: &world.customers,
            tokens: &live,
        };
        let for_service = questions.for_service(&directory.path().join("service.requests"));
        let for_webdis = questions.for_webdis(&directory.path().join("webdis.requests"));
        let (redis, redis_of_webdis) = (
            Redis::start(&sub(&directory, "redis")),
            Redis::start(&sub(&directory, "filled")),
        );
        redis_of_webdis.fill(&world.customers);
        let deployment = Deployment::new(directory.path().join("service"), &world);
        deployment.start(&issuer, None).load(&world, &issuer);
        let former = Deployment::former(directory.path().join("former"), &world);
        if let Some(former) = &former {
            former.start(&issuer, None).load(&world, &issuer);
        }
        Self {
            issuer,
            world,
            deployment,
            former,
            redis,
            redis_of_webdis,
            for_service,
            for_webdis,
            directory,
        }
    }

    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }
}

fn sub(directory: &TempDir, name: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Bare,
    BareHgetall,
    Webdis,
    OverRedis,
    OnSqlite,
    Former,
}

const SERVERS: [(Server, &str); 6] = [
    (Server::Bare, "bare actix"),
    (Server::BareHgetall, "bare HGETALL"),
    (Server::Webdis, "webdis"),
    (Server::OverRedis, "over Redis, all hits"),
    (Server::OnSqlite, "on SQLite"),
    (Server::Former, "former program, embedded"),
];

pub fn measure() {
    print_heading("Lookups side by side");
    let all = SideBySide::prepare();
    let servers: Vec<(Server, &str)> = SERVERS
        .into_iter()
        .filter(|(server, _)| *server != Server::Former || all.former.is_some())
        .collect();
    let of = |connections| {
        servers
            .iter()
            .map(move |(_, name)| Rounds::new(*name, connections))
    };
    let mut tables = CONNECTIONS.map(|connections| of(connections).collect::<Vec<Rounds>>());
    for _ in 0..settings::rounds() {
        for (at, (server, _)) in servers.iter().enumerate() {
            all.with_server(*server, |target| {
                for (table, connections) in tables.iter_mut().zip(CONNECTIONS) {
                    table[at].measured.push(target.measure(connections));
                }
            });
        }
    }
    for table in &tables {
        print_table(table);
        let [bare, hgetall, webdis, over_redis, on_sqlite, rest @ ..] = table.as_slice() else {
            unreachable!()
        };
        match rest {
            [former] => print_ratio("goal 1.0", on_sqlite, former),
            _ => println!("the former program is not built: benches/side_by_side.sh does that"),
        }
        print_ratio("goal 0.63", over_redis, webdis);
        print_ratio("reported", over_redis, hgetall);
        print_ratio("reported", on_sqlite, bare);
        print_ratio("reported", over_redis, on_sqlite);
        println!();
    }
}

/// The service, with a cache that holds all that is asked about.
pub struct Filled<'s> {
    service: &'s Service,
    before: [f64; 2],
}

impl<'s> Filled<'s> {
    pub fn fill(service: &'s Service, target: &Target) -> Self {
        let since = Instant::now();
        let mut before = Self::hits_and_all(service);
        loop {
            target.ask(CONNECTIONS[0], Duration::from_secs(2));
            let now = Self::hits_and_all(service);
            if now[0] - before[0] >= (now[1] - before[1]) * (1.0 - FEW) {
                return Self { service, before: now };
            }
            assert!(since.elapsed() < FILLED_WITHIN, "the cache is not filled");
            before = now;
        }
    }

    fn hits_and_all(service: &Service) -> [f64; 2] {
        let count = |result: &str| {
            service.count(&format!(
                "kundeforhold_cache_lookups_total{{result=\"{result}\"}}"
            ))
        };
        let hits = count("hit");
        [hits, hits + count("miss") + count("refused") + count("error")]
    }

    /// What was measured meanwhile was answered from the cache.
    pub fn check(self) {
        let now = Self::hits_and_all(self.service);
        let (hits, all) = (now[0] - self.before[0], now[1] - self.before[1]);
        assert!(hits >= all * (1.0 - FEW), "{hits} of {all} were in the cache");
    }
}

impl SideBySide {
    /// Starts one of the servers for the time of a measurement.
    fn with_server(&self, server: Server, measure: impl FnOnce(&Target)) {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let log = self.scratch().join("servers.log");
        match server {
            Server::Bare => {
                let bare = Bare::start(&["bare"], workers, &[], &log);
                measure(&self.target(&bare.address, &self.for_service, &[&bare.process]));
            }
            Server::BareHgetall => {
                let role = ["hgetall", &self.redis_of_webdis.address];
                let bare = Bare::start(&role, workers, &[], &log);
                let processes = [&bare.process, &self.redis_of_webdis.process];
                measure(&self.target(&bare.address, &self.for_service, &processes));
            }
            Server::Webdis => {
                let webdis = Webdis::start(&self.redis_of_webdis, self.scratch());
                let processes = [&webdis.process, &self.redis_of_webdis.process];
                measure(&self.target(&webdis.address, &self.for_webdis, &processes));
            }
            Server::OverRedis => {
                let service = self.deployment.start(&self.issuer, Some(&self.redis));
                let processes = [&service.process, &self.redis.process];
                let target = self.target(&service.address, &self.for_service, &processes);
                let filled = Filled::fill(&service, &target);
                measure(&target);
                filled.check();
            }
            Server::OnSqlite => self.with_service(&self.deployment, measure),
            Server::Former => {
                if let Some(former) = &self.former {
                    self.with_service(former, measure);
                }
            }
        }
    }

    fn with_service(&self, deployment: &Deployment, measure: impl FnOnce(&Target)) {
        let service = deployment.start(&self.issuer, None);
        measure(&self.target(&service.address, &self.for_service, &[&service.process]));
    }

    pub fn target<'t>(
        &self,
        address: &'t str,
        requests: &'t Path,
        processes: &'t [&'t Process],
    ) -> Target<'t> {
        Target {
            address,
            requests,
            processes,
            processor: None,
        }
    }
}

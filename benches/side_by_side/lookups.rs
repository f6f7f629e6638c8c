//! A bare handler, one that only asks Redis, webdis, and the service over Redis and on the embedded index, sent the same requests in turn.

use super::bare::Bare;
use super::deployment::{Deployment, World, scratch, start_issuer, tokens};
use super::figures::{Rounds, print_heading, print_ratio, print_table};
use super::process::Process;
use super::requests::Questions;
use super::settings;
use super::webdis::{Redis, Webdis};
use super::wrk::Target;
use kundeforhold::sandbox::issuer::Issuer;
use kundeforhold::sandbox::population::PopulationSize;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const CONNECTIONS: [usize; 2] = [64, 256];
const SERVERS: [&str; 5] = ["bare actix", "bare HGETALL", "webdis", "over Redis", "embedded"];
/// A customer has about three banks.
const RELATIONSHIPS_PER_CUSTOMER: u64 = 9;

/// Everything that the servers need, loaded.
pub struct SideBySide {
    pub issuer: Issuer,
    pub world: World,
    pub deployment: Deployment,
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
        // Over Redis the index is built from the journal.
        drop(deployment.start(&issuer, Some(&redis)));
        Self {
            issuer,
            world,
            deployment,
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

pub fn measure() {
    print_heading("Lookups side by side");
    let all = SideBySide::prepare();
    let mut rounds: Vec<Rounds> = CONNECTIONS
        .into_iter()
        .flat_map(|connections| SERVERS.map(|name| Rounds::new(name, connections)))
        .collect();
    for _ in 0..settings::rounds() {
        for (at, _) in SERVERS.iter().enumerate() {
            all.with_server(at, |target| {
                for (block, connections) in CONNECTIONS.into_iter().enumerate() {
                    rounds[block * SERVERS.len() + at]
                        .measured
                        .push(target.measure(connections));
                }
            });
        }
    }
    print_table(&rounds);
    for of in rounds.chunks(SERVERS.len()) {
        let [bare, hgetall, webdis, over_redis, embedded] = of else {
            unreachable!()
        };
        print_ratio("goal 0.75", over_redis, hgetall);
        print_ratio("goal 1.2", over_redis, webdis);
        print_ratio("goal 0.65", embedded, bare);
    }
}

impl SideBySide {
    /// Starts one of the servers for the time of a measurement.
    fn with_server(&self, server: usize, measure: impl FnOnce(&Target)) {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let log = self.scratch().join("servers.log");
        match server {
            0 => {
                let bare = Bare::start(&["bare"], workers, &[], &log);
                measure(&self.target(&bare.address, &self.for_service, &[&bare.process]));
            }
            1 => {
                let role = ["hgetall", &self.redis_of_webdis.address];
                let bare = Bare::start(&role, workers, &[], &log);
                let processes = [&bare.process, &self.redis_of_webdis.process];
                measure(&self.target(&bare.address, &self.for_service, &processes));
            }
            2 => {
                let webdis = Webdis::start(&self.redis_of_webdis, self.scratch());
                let processes = [&webdis.process, &self.redis_of_webdis.process];
                measure(&self.target(&webdis.address, &self.for_webdis, &processes));
            }
            3 => {
                let service = self.deployment.start(&self.issuer, Some(&self.redis));
                let processes = [&service.process, &self.redis.process];
                measure(&self.target(&service.address, &self.for_service, &processes));
            }
            _ => {
                let service = self.deployment.start(&self.issuer, None);
                measure(&self.target(&service.address, &self.for_service, &[&service.process]));
            }
        }
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

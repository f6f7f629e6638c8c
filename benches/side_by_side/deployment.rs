//! The service with a population in it, started and stopped at will.

use super::process::{Process, command_under, free_address, wait_for};
use super::requests;
use super::webdis::Redis;
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::sandbox::issuer::Issuer;
use kundeforhold::sandbox::population::{Population, PopulationSize};
use kundeforhold::sandbox::world;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kundeforhold");
/// Of tokens: longer than any measurement takes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The program as it was before the register moved into a database, for comparison: `benches/side_by_side.sh` builds it.
const FORMER_PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/former/kundeforhold");
/// Longest wait for readiness.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where everything of a measurement is kept.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The stand-in issuer, on a thread of its own until the program ends.
pub fn start_issuer(banks: &[OrganizationNumber]) -> Issuer {
    let (made, issuer) = std::sync::mpsc::channel();
    let clients = world::clients(banks).unwrap();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let (issuer, server) = Issuer::bind("127.0.0.1:0".parse().unwrap(), clients).unwrap();
            made.send(issuer).unwrap();
            server.await.unwrap();
        });
    });
    issuer.recv().unwrap()
}

/// Tokens of an agency, each another.
pub fn tokens(issuer: &Issuer, number: usize) -> Vec<String> {
    let sign = || issuer.token("skatt", TOKEN_LIFETIME).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let share = |at: usize| number / threads + usize::from(at < number % threads);
        let signing: Vec<_> = (0..threads)
            .map(|at| scope.spawn(move || (0..share(at)).map(|_| sign()).collect::<Vec<_>>()))
            .collect();
        signing
            .into_iter()
            .flat_map(|signing| signing.join().unwrap())
            .collect()
    })
}

/// A bank's whole set, as lines.
pub struct Set {
    pub bank: String,
    pub register: &'static str,
    pub file: PathBuf,
}

/// Banks, what they deliver, and whom to ask about.
pub struct World {
    pub participants: String,
    pub banks: Vec<OrganizationNumber>,
    pub sets: Vec<Set>,
    pub customers: Vec<String>,
}

impl World {
    /// Generates banks and writes what they deliver.
    pub fn generate(size: &PopulationSize, directory: &Path) -> Self {
        let population = Population::new(size).unwrap();
        let sets = population.sets().iter().map(|set| {
            let (bank, register) = (set.id.bank.to_string(), set.id.register.name());
            let file = directory.join(format!("{bank}-{register}.ndjson"));
            let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&file).unwrap());
            set.records()
                .for_each(|record| writeln!(out, "{record}").unwrap());
            out.flush().unwrap();
            Set { bank, register, file }
        });
        Self {
            participants: population.participants_file(),
            banks: population.banks().iter().map(|bank| bank.organization).collect(),
            sets: sets.collect(),
            customers: requests::customers(&population),
        }
    }
}

/// Where a program keeps what.
enum Storage {
    /// In a file of its own.
    File,
    /// In this database.
    Database(String),
    /// The former program's.
    Former,
}

/// How a service is deployed for measuring.
pub struct Deployment {
    directory: PathBuf,
    program: &'static str,
    storage: Storage,
    /// The command that runs it, if it is not run by itself.
    pub under: Vec<String>,
}

/// A ready service.
pub struct Service {
    program: &'static str,
    pub process: Process,
    pub address: String,
    pub management: String,
}

impl Deployment {
    /// Writes what does not change; `directory` is made.
    pub fn new(directory: PathBuf, world: &World) -> Self {
        Self::of(PROGRAM, Storage::File, directory, world)
    }

    /// The same with the register in a database.
    pub fn on_database(directory: PathBuf, world: &World, url: String) -> Self {
        Self::of(PROGRAM, Storage::Database(url), directory, world)
    }

    /// The former program on its embedded index, if it was built.
    pub fn former(directory: PathBuf, world: &World) -> Option<Self> {
        let built = Path::new(FORMER_PROGRAM).exists();
        built.then(|| Self::of(FORMER_PROGRAM, Storage::Former, directory, world))
    }

    fn of(program: &'static str, storage: Storage, directory: PathBuf, world: &World) -> Self {
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("participants.toml"), &world.participants).unwrap();
        let key = Command::new(program)
            .args(["key", "new"])
            .arg(directory.join("pseudonym.key"))
            .stdout(Stdio::null())
            .status();
        assert!(key.unwrap().success());
        Self {
            directory,
            program,
            storage,
            under: Vec::new(),
        }
    }

    /// Starts the service, with a cache or without, and waits until it is ready.
    pub fn start(&self, issuer: &Issuer, cache: Option<&Redis>) -> Service {
        let (address, management) = (free_address(), free_address());
        let configuration = self.directory.join("kundeforhold.toml");
        let text = self.configuration(&address, &management, issuer);
        std::fs::write(&configuration, text + &self.storage(cache)).unwrap();
        let mut started = command_under(&self.under, self.program);
        started.arg("serve").arg("--config").arg(&configuration);
        let mut process = Process::start(&mut started, &self.directory.join("log.jsonl"));
        wait_for(&management, &mut process);
        let service = Service {
            program: self.program,
            process,
            address,
            management,
        };
        let since = Instant::now();
        while !service.get("/isready").contains(" 200 ") {
            let log = self.directory.join("log.jsonl");
            assert!(since.elapsed() < READY_TIMEOUT, "not ready: {}", log.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    fn configuration(&self, address: &str, management: &str, issuer: &Issuer) -> String {
        let path = |name: &str| self.directory.join(name).display().to_string();
        format!(
            "participants_file = {:?}\n\
             [server]\nlisten = \"{address}\"\nmanagement_listen = \"{management}\"\ndrain_seconds = 0\n\
             [maskinporten]\nissuer = \"{}\"\njwks_uri = \"{}\"\n\
             [access]\nrate_per_second = 100000000\nrate_burst = 100000000\ndaily_customers = 1000000000\n\
             [identifiers]\nsynthetic = [\"tenor\"]\n",
            path("participants.toml"),
            issuer.name(),
            issuer.jwks_uri(),
        )
    }

    /// Sections of TOML.
    fn storage(&self, cache: Option<&Redis>) -> String {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let cache = cache.map_or_else(String::new, |redis| format!("redis://{}/0", redis.address));
        let store = match &self.storage {
            Storage::File => format!("sqlite:{}", path("register.sqlite")),
            Storage::Database(url) => url.clone(),
            Storage::Former => {
                return format!(
                    "[index]\nurl = {:?}\npseudonym_key_file = {:?}\n[journal]\ndirectory = {:?}\n\
                     [audit]\ndirectory = {:?}\n",
                    format!("embedded:{}", path("index.redb")),
                    path("pseudonym.key"),
                    path("journal"),
                    path("audit"),
                );
            }
        };
        format!(
            "[store]\nurl = {store:?}\n[cache]\nurl = {cache:?}\n[pseudonym]\nkey_file = {:?}\n",
            path("pseudonym.key")
        )
    }
}

impl Service {
    /// Delivers all sets with the bank's own client.
    pub fn load(&self, world: &World, issuer: &Issuer) {
        for set in &world.sets {
            let token = issuer
                .token(&format!("bank-{}", set.bank), TOKEN_LIFETIME)
                .unwrap();
            let pushed = Command::new(self.program)
                .args([
                    "push",
                    "--url",
                    &format!("http://{}", self.address),
                    "--bank",
                    &set.bank,
                ])
                .args(["--register", set.register, "--token", &token, "--file"])
                .arg(&set.file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(pushed.unwrap().success(), "{} was not taken", set.file.display());
        }
    }

    /// What the management port says.
    pub fn get(&self, path: &str) -> String {
        let mut said = String::new();
        let Ok(mut stream) = std::net::TcpStream::connect(&self.management) else {
            return said;
        };
        let asked = write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        if asked.is_ok() {
            let _ = std::io::Read::read_to_string(&mut stream, &mut said);
        }
        said
    }

    /// A count of the metrics.
    pub fn count(&self, line: &str) -> f64 {
        let metrics = self.get("/metrics");
        let found = metrics
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0.0, |count| count.parse().unwrap())
    }
}

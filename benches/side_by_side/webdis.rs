//! Redis, and webdis in front of it.

use super::process::{Process, command, free_address, port_of, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

pub struct Redis {
    pub process: Process,
    pub address: String,
}

impl Redis {
    pub fn start(directory: &Path) -> Self {
        let address = free_address();
        let mut started = command("redis-server", None);
        started.args(["--port", port_of(&address), "--save", "", "--appendonly", "no"]);
        started
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(directory);
        let mut process = Process::start(&mut started, &directory.join("redis.log"));
        wait_for(&address, &mut process);
        Self { process, address }
    }

    /// A hash of three fields for each customer, about as long as our answer.
    pub fn fill(&self, customers: &[String]) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        for customers in customers.chunks(1_000) {
            let mut commands = String::new();
            for customer in customers {
                commands += &format!("HSET {customer}");
                for bank in ["220000001", "220000028", "220000036"] {
                    commands += &format!(" {bank} Sparebank-{bank}-false-primaryOwner-of-an-account-there");
                }
                commands += "\r\n";
            }
            stream.write_all(commands.as_bytes()).unwrap();
            // Each is answered with `:3`.
            stream.read_exact(&mut vec![0; 4 * customers.len()]).unwrap();
        }
    }
}

pub struct Webdis {
    pub process: Process,
    pub address: String,
}

impl Webdis {
    pub fn start(redis: &Redis, directory: &Path) -> Self {
        let address = free_address();
        let configuration = serde_json::json!({
            "redis_host": "127.0.0.1", "redis_port": port_of(&redis.address).parse::<u16>().unwrap(),
            "http_host": "127.0.0.1", "http_port": port_of(&address).parse::<u16>().unwrap(),
            "threads": 2, "pool_size": 20, "daemonize": false, "database": 0,
            "verbosity": 0, "logfile": directory.join("webdis.own.log"),
        });
        let file = directory.join("webdis.json");
        std::fs::write(&file, configuration.to_string()).unwrap();
        let mut process = Process::start(command("webdis", None).arg(&file), &directory.join("webdis.log"));
        wait_for(&address, &mut process);
        Self { process, address }
    }
}

//! An open loop: requests leave at a constant rate, whatever the answers take, and time counts from the moment a
//! request was due. A timer fires every millisecond and sends what has become due, so half a millisecond is its own.

use super::process::{command, cpu_seconds_of, this_program};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What an open loop found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    pub sent: u64,
    pub served: Times,
    pub shed: Times,
    /// Neither 200 nor 503 with `Retry-After`, or lost.
    pub failed: u64,
    pub seconds: f64,
    /// Processor time that asking took. If it is all there was, times are its own and not the server's.
    pub cpu_seconds: f64,
}

/// Milliseconds of answers, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Times(Vec<f32>);

impl Times {
    pub fn percentile(&self, percent: f64) -> f64 {
        let at = (self.0.len() as f64 * percent / 100.0) as usize;
        self.0
            .get(at.min(self.0.len().saturating_sub(1)))
            .map_or(f64::NAN, |ms| f64::from(*ms))
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

/// How to ask.
pub struct OpenLoop<'o> {
    pub address: &'o str,
    pub requests: &'o Path,
    pub per_second: f64,
    pub connections: usize,
    pub length: Duration,
    pub processor: Option<usize>,
}

impl OpenLoop<'_> {
    /// Asks from a process of its own.
    pub fn measure(&self) -> Found {
        let output = command(this_program(), self.processor)
            .args(["open-loop", self.address])
            .arg(self.requests)
            .args([self.per_second, self.length.as_secs_f64()].map(|number| number.to_string()))
            .arg(self.connections.to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).expect("the open loop tells what it found")
    }
}

/// The process's own part: address, requests, requests a second, seconds, connections.
pub fn run(arguments: &[&str]) {
    let [address, requests, per_second, seconds, connections] = arguments else {
        panic!("an open loop needs five arguments")
    };
    let requests = std::fs::read(requests).unwrap();
    let requests: Vec<Vec<u8>> = requests
        .split(|byte| *byte == 0)
        .filter(|request| !request.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let asked = ask(
        address,
        Rc::new(requests),
        per_second.parse().unwrap(),
        Duration::from_secs_f64(seconds.parse().unwrap()),
        connections.parse().unwrap(),
    );
    let found = tokio::task::LocalSet::new().block_on(&runtime, asked);
    println!("{}", serde_json::to_string(&found).unwrap());
}

async fn ask(
    address: &str,
    requests: Rc<Vec<Vec<u8>>>,
    per_second: f64,
    length: Duration,
    connections: usize,
) -> Found {
    let found = Rc::new(RefCell::new(Found::default()));
    // The next request goes to whichever connection is free.
    let (due, waiting) = mpsc::unbounded_channel::<(Instant, usize)>();
    let waiting = Rc::new(tokio::sync::Mutex::new(waiting));
    let mut asking = Vec::new();
    for _ in 0..connections {
        let connection = Connection {
            stream: connect(address).await,
            address: address.to_owned(),
            answer: Vec::new(),
        };
        let (requests, waiting, found) = (Rc::clone(&requests), Rc::clone(&waiting), Rc::clone(&found));
        asking.push(tokio::task::spawn_local(connection.run(requests, waiting, found)));
    }
    let (began, cpu_before) = (Instant::now(), cpu_seconds_of("self"));
    let (mut tick, mut sent) = (tokio::time::interval(Duration::from_millis(1)), 0_usize);
    while began.elapsed() < length {
        tick.tick().await;
        let by_now = (began.elapsed().min(length).as_secs_f64() * per_second) as usize;
        for number in sent..by_now {
            let at = began + Duration::from_secs_f64(number as f64 / per_second);
            due.send((at, number)).unwrap();
        }
        sent = by_now;
    }
    found.borrow_mut().seconds = began.elapsed().as_secs_f64();
    found.borrow_mut().cpu_seconds = cpu_seconds_of("self") - cpu_before;
    drop(due);
    for asking in asking {
        asking.await.unwrap();
    }
    let mut found = found.take();
    found.sent = sent as u64;
    found.served.0.sort_by(f32::total_cmp);
    found.shed.0.sort_by(f32::total_cmp);
    found
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

struct Connection {
    stream: TcpStream,
    address: String,
    answer: Vec<u8>,
}

type Waiting = Rc<tokio::sync::Mutex<mpsc::UnboundedReceiver<(Instant, usize)>>>;

impl Connection {
    async fn run(mut self, requests: Rc<Vec<Vec<u8>>>, waiting: Waiting, found: Rc<RefCell<Found>>) {
        loop {
            let next = waiting.lock().await.recv().await;
            let Some((due, number)) = next else { return };
            let status = self.ask(&requests[number % requests.len()]).await;
            let milliseconds = due.elapsed().as_secs_f32() * 1e3;
            let mut found = found.borrow_mut();
            match status {
                Some(200) => found.served.0.push(milliseconds),
                Some(503) => found.shed.0.push(milliseconds),
                _ => found.failed += 1,
            }
        }
    }

    /// The status, where the answer is whole and, if it is 503, tells when to come again.
    async fn ask(&mut self, request: &[u8]) -> Option<u16> {
        let status = self.exchange(request).await;
        if status.is_none() {
            self.stream = connect(&self.address).await;
        }
        status
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<u16> {
        self.stream.write_all(request).await.ok()?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await.ok()? == 0 {
                return None;
            }
            let Some(end) = memmem::find(&self.answer, b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.answer[..end]).ok()?;
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value)
            };
            let length: usize = header("content-length")?.parse().ok()?;
            if self.answer.len() < end + 4 + length {
                continue;
            }
            let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
            return (status != 503 || header("retry-after").is_some()).then_some(status);
        }
    }
}

//! A TCP proxy in front of a Redis that lets the connections through it fail.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a connection that is held looks whether it still is.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Listens on a free loopback port, until it is dropped.
pub struct FaultProxy {
    address: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    accepted: AtomicUsize,
    /// Connections with a lower number are half-open: nothing passes, and nobody is told.
    held_below: AtomicUsize,
    /// One in so many replies is cut; 0 for none.
    cut_one_in: AtomicUsize,
    /// One in so many replies is late; 0 for none.
    delay_one_in: AtomicUsize,
    delay_milliseconds: AtomicU64,
    replies: AtomicUsize,
    cut: AtomicUsize,
    delayed: AtomicUsize,
    over: AtomicBool,
}

impl FaultProxy {
    /// Before a server that listens at `upstream`, as `host:port`.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (faults, upstream) = (Arc::new(Faults::default()), upstream.to_owned());
        let taken = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming() {
                if taken.over.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is away closes at once, as it would without a proxy.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(&upstream)) {
                    Connection::begin(&taken, client, server);
                }
            }
        });
        Self { address, faults }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// From now on nothing passes on the connections that there are; others are as before.
    pub fn hold_connections(&self) {
        let accepted = self.faults.accepted.load(Ordering::SeqCst);
        self.faults.held_below.store(accepted, Ordering::SeqCst);
    }

    /// What was held arrives, be it that the sender has gone meanwhile.
    pub fn release(&self) {
        self.faults.held_below.store(0, Ordering::SeqCst);
    }

    /// Of so many replies, one is cut off somewhere and its connection closed; 0 ends it.
    pub fn cut_one_in(&self, replies: usize) {
        self.faults.cut_one_in.store(replies, Ordering::SeqCst);
    }

    /// Of so many replies, one comes so much later; 0 ends it.
    pub fn delay_one_in(&self, replies: usize, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap();
        self.faults
            .delay_milliseconds
            .store(milliseconds, Ordering::SeqCst);
        self.faults.delay_one_in.store(replies, Ordering::SeqCst);
    }

    /// Replies that were cut off.
    pub fn cut(&self) -> usize {
        self.faults.cut.load(Ordering::SeqCst)
    }

    /// Replies that came late.
    pub fn delayed(&self) -> usize {
        self.faults.delayed.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.faults.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

struct Connection {
    number: usize,
    faults: Arc<Faults>,
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn begin(faults: &Arc<Faults>, client: TcpStream, server: TcpStream) {
        let connection = Arc::new(Self {
            number: faults.accepted.fetch_add(1, Ordering::SeqCst),
            faults: Arc::clone(faults),
            client,
            server,
        });
        let down = Arc::clone(&connection);
        thread::spawn(move || connection.pass_commands());
        thread::spawn(move || down.pass_replies());
    }

    fn pass_commands(&self) {
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = (&self.client).read(&mut piece) {
            self.wait_while_held();
            if (&self.server).write_all(&piece[..length]).is_err() {
                break;
            }
        }
        self.wait_while_held();
        let _ = self.server.shutdown(Shutdown::Write);
    }

    fn pass_replies(&self) {
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = (&self.server).read(&mut piece) {
            self.wait_while_held();
            let reply = self.faults.replies.fetch_add(1, Ordering::SeqCst);
            if is_one_in(&self.faults.delay_one_in, reply) {
                self.faults.delayed.fetch_add(1, Ordering::SeqCst);
                let delay = self.faults.delay_milliseconds.load(Ordering::SeqCst);
                thread::sleep(Duration::from_millis(delay));
            }
            if is_one_in(&self.faults.cut_one_in, reply) {
                self.faults.cut.fetch_add(1, Ordering::SeqCst);
                let _ = (&self.client).write_all(&piece[..reply % length]);
                break;
            }
            if (&self.client).write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = self.client.shutdown(Shutdown::Both);
    }

    fn wait_while_held(&self) {
        let is_held = || self.number < self.faults.held_below.load(Ordering::SeqCst);
        while is_held() && !self.faults.over.load(Ordering::SeqCst) {
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn is_one_in(one_in: &AtomicUsize, reply: usize) -> bool {
    let one_in = one_in.load(Ordering::SeqCst);
    one_in > 0 && reply.is_multiple_of(one_in)
}

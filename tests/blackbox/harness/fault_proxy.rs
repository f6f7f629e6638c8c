//! A TCP proxy in front of a Redis that lets the connections through it fail.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a connection that is held looks whether it still is.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What only a command that changes rows has in it.
const CHANGES: [&[u8]; 2] = [b"HSET", b"HDEL"];

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
    /// The next connection that sends a change is held before it arrives.
    holds_next_change: AtomicBool,
    /// One in so many replies to changes is cut; 0 for none.
    cut_one_in: AtomicUsize,
    releases: AtomicUsize,
    replies: AtomicUsize,
    cut: AtomicUsize,
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

    /// The next change that is sent does not arrive, nor what follows on its connection.
    pub fn hold_next_change(&self) {
        self.faults.holds_next_change.store(true, Ordering::SeqCst);
    }

    /// What was held arrives, be it that the sender has gone meanwhile.
    pub fn release(&self) {
        self.faults.releases.fetch_add(1, Ordering::SeqCst);
        self.faults.held_below.store(0, Ordering::SeqCst);
    }

    /// Of so many replies to changes, one is cut off somewhere and its connection closed; 0 ends it.
    pub fn cut_one_in(&self, replies: usize) {
        self.faults.cut_one_in.store(replies, Ordering::SeqCst);
    }

    /// Replies that were cut off.
    pub fn cut(&self) -> usize {
        self.faults.cut.load(Ordering::SeqCst)
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
    /// A change went to the server whose reply has not come yet.
    changes: AtomicBool,
    /// It carries a change that is held until the next release.
    is_held: AtomicBool,
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn begin(faults: &Arc<Faults>, client: TcpStream, server: TcpStream) {
        let connection = Arc::new(Self {
            number: faults.accepted.fetch_add(1, Ordering::SeqCst),
            faults: Arc::clone(faults),
            changes: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
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
            let piece = &piece[..length];
            let changes = |word: &&[u8]| piece.windows(word.len()).any(|found| found == *word);
            if CHANGES.iter().any(changes) {
                let is_held = self.faults.holds_next_change.swap(false, Ordering::SeqCst);
                self.is_held.fetch_or(is_held, Ordering::SeqCst);
                self.changes.store(true, Ordering::SeqCst);
            }
            self.wait_while_held();
            if (&self.server).write_all(piece).is_err() {
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
            if self.changes.swap(false, Ordering::SeqCst)
                && let Some(reply) = self.faults.next_is_cut()
            {
                let _ = (&self.client).write_all(&piece[..reply % length]);
                let _ = self.client.shutdown(Shutdown::Both);
                break;
            }
            if (&self.client).write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = self.client.shutdown(Shutdown::Both);
    }

    fn wait_while_held(&self) {
        let releases = || self.faults.releases.load(Ordering::SeqCst);
        let (before, below) = (releases(), || self.faults.held_below.load(Ordering::SeqCst));
        while (self.number < below() || self.is_held.load(Ordering::SeqCst))
            && releases() == before
            && !self.faults.over.load(Ordering::SeqCst)
        {
            thread::sleep(LOOK_EVERY);
        }
        self.is_held.store(false, Ordering::SeqCst);
    }
}

impl Faults {
    /// The number of the reply to a change, if it is one to cut off.
    fn next_is_cut(&self) -> Option<usize> {
        let one_in = self.cut_one_in.load(Ordering::SeqCst);
        let reply = self.replies.fetch_add(1, Ordering::SeqCst);
        let is_cut = one_in > 0 && reply.is_multiple_of(one_in);
        is_cut.then(|| {
            self.cut.fetch_add(1, Ordering::SeqCst);
            reply
        })
    }
}

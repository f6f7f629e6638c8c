//! Stands between a store and PostgreSQL, and breaks the connection at a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A commit as it is sent.
const COMMIT: &[u8] = b"COMMIT\0";

/// What is done to commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It never arrives.
    Before,
    /// It arrives, and the answer does not.
    After,
}

pub struct CommitProxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    cut: Cut,
    server: String,
    /// So many commits are cut off yet.
    left: AtomicU32,
}

impl CommitProxy {
    pub async fn start(server: String, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            cut,
            server,
            left: AtomicU32::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// Cuts off the next commits.
    pub fn cut_next(&self, commits: u32) {
        self.state.left.store(commits, Ordering::SeqCst);
    }

    /// How many are not cut off yet.
    pub fn left(&self) -> u32 {
        self.state.left.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, state: Arc<State>) {
    let server = TcpStream::connect(&state.server).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // What the server says goes nowhere from then on.
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&is_silent);
    let answers = tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            if !silent.load(Ordering::SeqCst) && to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
        let sent = &bytes[..length];
        let commits = sent.windows(COMMIT.len()).any(|window| window == COMMIT);
        let take = |left: u32| left.checked_sub(1);
        if commits
            && state
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            is_silent.store(true, Ordering::SeqCst);
            if state.cut == Cut::After {
                to_server.write_all(sent).await.unwrap();
            }
            // The server does what it was told, and ends.
            to_server.shutdown().await.unwrap();
            answers.await.unwrap();
            return;
        }
        if to_server.write_all(sent).await.is_err() {
            return;
        }
    }
}

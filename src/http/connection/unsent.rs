//! What a connection and its answers know of each other. Over HTTP/2 a client decides how much is sent to it, and may let
//! any number of answers wait.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bounds of all connections.
#[derive(Clone)]
pub struct Bounds {
    /// Who takes nothing for so long is closed.
    pub write_timeout: Duration,
    /// Bytes of answers that wait in one connection.
    pub connection_bytes: u64,
    /// Bytes of answers that wait in all.
    pub all_bytes: u64,
    waiting: Arc<AtomicU64>,
}

impl Bounds {
    pub fn new(write_timeout: Duration, connection_bytes: u64, all_bytes: u64) -> Self {
        Self {
            write_timeout,
            connection_bytes,
            all_bytes,
            waiting: Arc::default(),
        }
    }
}

/// The answers of one connection. Clones share them.
#[derive(Clone)]
pub struct Unsent(Rc<Inner>);

struct Inner {
    bounds: Bounds,
    /// When each was last taken something of, by when it began.
    answers: RefCell<BTreeMap<u64, Instant>>,
    next: Cell<u64>,
    bytes: Cell<u64>,
    is_too_much: Cell<bool>,
    answered: Cell<Option<Instant>>,
}

impl Unsent {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self(Rc::new(Inner {
            bounds: bounds.clone(),
            answers: RefCell::default(),
            next: Cell::new(0),
            bytes: Cell::new(0),
            is_too_much: Cell::new(false),
            answered: Cell::new(None),
        }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.answers.borrow().is_empty()
    }

    /// When the one was taken something of that waits the longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.answers.borrow().values().min().copied()
    }

    /// More waits than may; the connection is closed for it.
    pub(super) fn is_too_much(&self) -> bool {
        self.0.is_too_much.get()
    }

    /// A request was answered while something of its body, or behind it, may still come; or another one has begun, whose
    /// body is read.
    pub fn answered(&self, is_answered: bool) {
        self.0.answered.set(is_answered.then(Instant::now));
    }

    /// Since when what comes is thrown away, until it is a request.
    pub(super) fn answered_since(&self) -> Option<Instant> {
        self.0.answered.get()
    }

    fn place(&self, bytes: u64) -> Place {
        let Inner { bounds, next, .. } = &*self.0;
        let number = next.replace(next.get() + 1);
        self.0.answers.borrow_mut().insert(number, Instant::now());
        let here = self.0.bytes.get() + bytes;
        self.0.bytes.set(here);
        let all = bounds.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // One answer alone may be large.
        let are_several = self.0.answers.borrow().len() > 1;
        if are_several && (here > bounds.connection_bytes || all > bounds.all_bytes) {
            self.0.is_too_much.set(true);
        }
        Place {
            unsent: self.clone(),
            number,
            bytes,
        }
    }
}

/// One answer among those that wait, until it is dropped.
struct Place {
    unsent: Unsent,
    number: u64,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.unsent.0;
        inner.answers.borrow_mut().remove(&self.number);
        inner.bytes.set(inner.bytes.get().saturating_sub(self.bytes));
        inner.bounds.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The body of an answer that is counted among those that wait.
pub struct Watched {
    body: BoxBody,
    place: Place,
}

impl Watched {
    pub fn new(body: BoxBody, unsent: &Unsent) -> Self {
        let bytes = match body.size() {
            BodySize::Sized(bytes) => bytes,
            BodySize::None | BodySize::Stream => 0,
        };
        let place = unsent.place(bytes);
        Self { body, place }
    }
}

impl MessageBody for Watched {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let place = &self.place;
        place
            .unsent
            .0
            .answers
            .borrow_mut()
            .insert(place.number, Instant::now());
        Pin::new(&mut self.body).poll_next(cx)
    }
}

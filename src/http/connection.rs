//! A connection of the public port, between the system and the HTTP library: who does not read what it is answered is
//! closed, what waits to be sent has bounds, what is no request is answered in our own form, and upgrades that nobody
//! here speaks are not seen.

mod head;
mod unsent;

pub use unsent::{Bounds, Unsent, Watched};

use head::Refusals;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Of a body that was refused, so much is read at a time …
const REST_BYTES: usize = 256 << 10;
/// … and then nothing for so long: some 25 MB a second.
const REST_PAUSE: Duration = Duration::from_millis(10);

/// So much may come later than that: the next request's head.
const MOST_LATE_BYTES: usize = 128 << 10;

/// What HTTP runs on.
pub struct Connection<T> {
    io: T,
    is_http2: bool,
    unsent: Unsent,
    write_timeout: Duration,
    /// Since when the client takes nothing, and how long it may.
    blocked: Option<Pin<Box<Sleep>>>,
    /// When the oldest answer that waits has waited too long.
    overdue: Option<Pin<Box<Sleep>>>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    is_ending: bool,
    refusals: Refusals,
    rest: Rest,
}

/// What comes after an answer and is no request yet: the rest of a body that was refused, or trailers. It is read, so that
/// the client gets to reading why, and not as fast as it comes, since others wait.
#[derive(Default)]
struct Rest {
    bytes: usize,
    /// Since when, and how many of them, came when they were no longer waited for.
    late: Option<(Instant, usize)>,
    breath: Option<Pin<Box<Sleep>>>,
}

impl<T> Connection<T> {
    /// `end` is cancelled when idle connections are to be closed.
    pub fn new(io: T, is_http2: bool, bounds: &Bounds, end: &CancellationToken) -> Self {
        Self {
            io,
            is_http2,
            unsent: Unsent::new(bounds),
            write_timeout: bounds.write_timeout,
            blocked: None,
            overdue: None,
            end: Box::pin(end.clone().cancelled_owned()),
            is_ending: false,
            refusals: Refusals::default(),
            rest: Rest::default(),
        }
    }

    /// The answers that wait to be sent here.
    pub fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// HTTP/1 connections end by themselves, after their answer; the library knows no end of HTTP/2 ones.
    fn ends(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_ending = self.is_ending || self.end.as_mut().poll(cx).is_ready();
        self.is_ending && self.unsent.is_empty()
    }

    /// An answer waits for too long, or too much of them waits.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(oldest) = self.unsent.oldest() else {
                self.overdue = None;
                return self.unsent.is_too_much();
            };
            let deadline = Instant::from_std(oldest) + self.write_timeout;
            if self.unsent.is_too_much() || deadline <= Instant::now() {
                return true;
            }
            let timer = self
                .overdue
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
    }

    /// What writing came to, unless the client has taken nothing for too long.
    fn timely<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let timeout = self.write_timeout;
        let blocked = self
            .blocked
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        match blocked.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(closed())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Rest {
    /// It is no request that comes, and it has come for long enough.
    fn is_over(&self, timeout: Duration) -> bool {
        self.late
            .is_some_and(|(since, bytes)| bytes > MOST_LATE_BYTES || since.elapsed() > timeout)
    }

    fn poll_breath(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(breath) = &mut self.breath {
            ready!(breath.as_mut().poll(cx));
            self.breath = None;
        }
        Poll::Ready(())
    }

    fn took(&mut self, bytes: usize, is_late: bool) {
        self.bytes += bytes;
        if is_late && bytes > 0 {
            let (since, before) = self.late.unwrap_or_else(|| (Instant::now(), 0));
            self.late = Some((since, before + bytes));
        }
        if self.bytes >= REST_BYTES {
            self.bytes = 0;
            self.breath = Some(Box::pin(sleep(REST_PAUSE)));
        }
    }
}

/// Counted; the connection ends with this error.
fn closed() -> io::Error {
    metrics::counter!("kundeforhold_connections_closed_total", "reason" => "not_read").increment(1);
    io::ErrorKind::TimedOut.into()
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_http2 && this.ends(cx) {
            // As if the client had gone.
            return Poll::Ready(Ok(()));
        }
        if this.is_http2 && this.is_overdue(cx) {
            return Poll::Ready(Err(closed()));
        }
        let answered = this.unsent.answered_since();
        if answered.is_some() {
            if this.rest.is_over(this.write_timeout) {
                return Poll::Ready(Ok(()));
            }
            ready!(this.rest.poll_breath(cx));
        } else {
            this.rest.late = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Some(since) = answered {
            let is_late = since.elapsed() > this.write_timeout;
            this.rest.took(buffer.filled().len() - before, is_late);
        }
        if !this.is_http2 && matches!(read, Poll::Ready(Ok(()))) {
            this.refusals.look(&mut buffer.filled_mut()[before..]);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let told = if this.is_http2 {
            None
        } else {
            this.refusals.instead_of(bytes)
        };
        let written = match told {
            // Given up in one piece: it is written in full below, or the connection is broken.
            Some(told) => {
                let written = Pin::new(&mut this.io).poll_write(cx, told);
                written.map_ok(|count| match this.refusals.written(count) {
                    true => bytes.len(),
                    false => 0,
                })
            }
            None => Pin::new(&mut this.io).poll_write(cx, bytes),
        };
        if matches!(written, Poll::Ready(Ok(0))) && !bytes.is_empty() && this.refusals.is_under_way() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.timely(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.timely(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

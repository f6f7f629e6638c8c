//! The body of a delivery: taken within bounds, decoded, hashed, cut into lines and parsed on threads of its own.

mod decode;
mod fault;
mod pace;
mod shape;

pub use decode::Encoding;
pub use fault::BodyFault;
pub use pace::pieces_of;

use crate::workers::Workers;
use actix_web::web::Bytes;
use decode::decoder;
use futures_util::{Stream, StreamExt};
use memchr::{memchr3_iter, memrchr3};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces of a body that wait to be decoded.
const QUEUED_PIECES: usize = 16;
/// Decoded bytes that are cut into lines and parsed together.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that wait to be parsed.
const QUEUED_BLOCKS: usize = 2;
/// Of UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Bounds of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes, as sent and decoded.
    pub max_body_bytes: u64,
    /// Bytes of a line.
    pub max_line_bytes: usize,
    /// Lines.
    pub max_lines: u64,
    /// Longest pause between two pieces.
    pub pause: Duration,
    /// A body that is waited for longer than this …
    pub grace: Duration,
    /// … has to come at least this fast, over as long again and again.
    pub min_bytes_per_second: u64,
}

impl BodyLimits {
    /// A body that its length says is too large is not begun to be read.
    pub fn check_announced(&self, length: Option<u64>) -> Result<(), BodyFault> {
        match length.is_some_and(|length| length > self.max_body_bytes) {
            true => Err(BodyFault::BodyTooLarge(self.max_body_bytes)),
            false => Ok(()),
        }
    }
}

/// Bounds of what banks send.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    pub delivery: BodyLimits,
    /// Of a KFR batch.
    pub batch: BodyLimits,
}

/// What a body is a list of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separation {
    /// Lines, numbered from 1, blank ones too.
    Lines,
    /// Items between commas or line breaks, numbered from 1 where they are not blank.
    Items,
}

impl Separation {
    fn separators(self) -> [u8; 3] {
        match self {
            Self::Lines => [b'\n'; 3],
            Self::Items => [b'\n', b',', b'\r'],
        }
    }

    /// What stands between separators, before the first and after the last.
    fn split(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let [a, b, c] = self.separators();
        let ends = memchr3_iter(a, b, c, bytes).chain(std::iter::once(bytes.len()));
        let mut start = 0;
        ends.map(move |end| {
            let between = &bytes[start..end];
            start = end + 1;
            between
        })
    }
}

/// Whole lines that follow each other.
pub struct LineBlock {
    separation: Separation,
    first_number: u64,
    bytes: Vec<u8>,
}

impl LineBlock {
    /// The lines that are not blank, with their numbers, without what is around them.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut number = self.first_number;
        self.separation.split(&self.bytes).filter_map(move |line| {
            let (line, here) = (without_marks(line), number);
            let blank = line.is_empty();
            number += u64::from(!blank || self.separation == Separation::Lines);
            (!blank).then_some((here, line))
        })
    }

    /// How many numbers its lines take. A block ends with a separator, or is the last.
    fn numbers(&self) -> u64 {
        let count = match self.separation {
            Separation::Lines => {
                let without_end = self.bytes.last().is_some_and(|last| *last != b'\n');
                self.bytes.iter().filter(|byte| **byte == b'\n').count() + usize::from(without_end)
            }
            Separation::Items => {
                let items = self.separation.split(&self.bytes);
                items.filter(|item| !without_marks(item).is_empty()).count()
            }
        };
        count as u64
    }
}

/// Without the blanks around it, and without a byte order mark, which stands where each of several files began.
fn without_marks(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii()
}

/// The pieces of a body for a reader that may be on another thread. Ends with its reader.
pub fn sendable(
    pieces: impl Stream<Item = Result<Bytes, BodyFault>> + 'static,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(QUEUED_PIECES);
    actix_web::rt::spawn(async move {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}

/// Reads a body to its end and gives the SHA-256 of what it decodes to. `take` gets every block once, in any
/// order, from several threads.
pub async fn read_body(
    body: impl Stream<Item = Result<Bytes, BodyFault>>,
    encoding: Encoding,
    separation: Separation,
    limits: BodyLimits,
    workers: &Workers,
    take: impl Fn(LineBlock) -> io::Result<()> + Send + Sync + 'static,
) -> Result<[u8; 32], BodyFault> {
    let (pieces, received) = mpsc::channel(QUEUED_PIECES);
    let decode =
        workers.run(move || decode_body(PieceReader::new(received), encoding, separation, &limits, &take));
    let feed = async move {
        let mut body = std::pin::pin!(body);
        while let Some(piece) = body.next().await {
            // The decoder has gone when it found a fault of its own.
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
    };
    tokio::pin!(decode);
    let decoded = tokio::select! {
        decoded = &mut decode => decoded,
        () = feed => decode.await,
    };
    decoded.map_err(|_| BodyFault::Panicked)?
}

/// The pieces of a body as one input.
struct PieceReader {
    pieces: mpsc::Receiver<Result<Bytes, BodyFault>>,
    piece: Bytes,
    fault: Option<BodyFault>,
}

impl PieceReader {
    fn new(pieces: mpsc::Receiver<Result<Bytes, BodyFault>>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
            fault: None,
        }
    }
}

impl Read for &mut PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(fault)) => {
                    self.fault = Some(fault);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

fn decode_body(
    mut pieces: PieceReader,
    encoding: Encoding,
    separation: Separation,
    limits: &BodyLimits,
    take: &(impl Fn(LineBlock) -> io::Result<()> + Send + Sync),
) -> Result<[u8; 32], BodyFault> {
    let read = decoder(&mut pieces, encoding)
        .map_err(BodyFault::Undecoded)
        .and_then(|input| parse_side_by_side(input, separation, limits, take));
    // What went wrong with the pieces is the cause of what went wrong with their decoding.
    match (read, pieces.fault) {
        (Err(BodyFault::Undecoded(_)), Some(fault)) => Err(fault),
        (read, _) => read,
    }
}

/// Cuts the input into blocks of lines; more than one block are parsed by as many threads as there are cores.
fn parse_side_by_side(
    input: impl Read,
    separation: Separation,
    limits: &BodyLimits,
    take: &(impl Fn(LineBlock) -> io::Result<()> + Send + Sync),
) -> Result<[u8; 32], BodyFault> {
    let mut cutter = Cutter::new(input, separation, limits);
    let first = cutter.next_block()?;
    let second = match first {
        Some(_) => cutter.next_block()?,
        None => None,
    };
    if let Some(first) = first {
        take(first).map_err(BodyFault::Store)?;
    }
    let Some(second) = second else {
        return Ok(cutter.hash.finalize().into());
    };
    take(second).map_err(BodyFault::Store)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (blocks, queue) = sync_channel(QUEUED_BLOCKS);
    // The queue is the parsers' alone: once all of them have gone, no block waits in it for good.
    let queues = std::iter::repeat_n(Arc::new(Mutex::new(queue)), threads);
    std::thread::scope(|scope| {
        let parsers: Vec<_> = queues
            .map(|queue| scope.spawn(move || parse_blocks(&queue, take)))
            .collect();
        let cut = cut_blocks(&mut cutter, &blocks);
        drop(blocks);
        for parser in parsers {
            let parsed = parser.join().map_err(|_| BodyFault::Panicked)?;
            parsed.map_err(BodyFault::Store)?;
        }
        cut
    })?;
    Ok(cutter.hash.finalize().into())
}

fn cut_blocks<R: Read>(cutter: &mut Cutter<R>, blocks: &SyncSender<LineBlock>) -> Result<(), BodyFault> {
    while let Some(block) = cutter.next_block()? {
        blocks.send(block).map_err(|_| BodyFault::Panicked)?;
    }
    Ok(())
}

fn parse_blocks(
    queue: &Mutex<Receiver<LineBlock>>,
    take: &(impl Fn(LineBlock) -> io::Result<()> + Send + Sync),
) -> io::Result<()> {
    let mut taken = Ok(());
    loop {
        let block = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match block {
            // After a failure the rest is let go, so that the one who cuts never waits in vain.
            Ok(block) if taken.is_ok() => taken = take(block),
            Ok(_) => {}
            Err(_) => return taken,
        }
    }
}

/// Cuts decoded bytes into blocks of whole lines, within bounds.
struct Cutter<'a, R> {
    input: R,
    separation: Separation,
    limits: &'a BodyLimits,
    hash: Sha256,
    decoded: u64,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    next_number: u64,
    ended: bool,
}

impl<'a, R: Read> Cutter<'a, R> {
    fn new(input: R, separation: Separation, limits: &'a BodyLimits) -> Self {
        Self {
            input,
            separation,
            limits,
            hash: Sha256::new(),
            decoded: 0,
            rest: Vec::new(),
            next_number: 1,
            ended: false,
        }
    }

    /// The next whole lines; `None` at the end.
    fn next_block(&mut self) -> Result<Option<LineBlock>, BodyFault> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(BLOCK_BYTES + self.rest.len());
        bytes.append(&mut self.rest);
        let searched = bytes.len();
        self.fill(&mut bytes)?;
        if self.next_number == 1 {
            shape::check(&bytes, self.separation, self.ended).map_err(BodyFault::Misshapen)?;
        }
        if !self.ended {
            let [a, b, c] = self.separation.separators();
            let end = memrchr3(a, b, c, &bytes[searched..]);
            let end = end.ok_or_else(|| self.too_long(0))? + searched + 1;
            self.rest = bytes.split_off(end);
        }
        self.check_lines(&bytes)?;
        let block = LineBlock {
            separation: self.separation,
            first_number: self.next_number,
            bytes,
        };
        self.next_number += block.numbers();
        if self.next_number - 1 > self.limits.max_lines {
            return Err(BodyFault::TooManyLines(self.limits.max_lines));
        }
        Ok(Some(block))
    }

    /// Reads about [`BLOCK_BYTES`] more, or to the end.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> Result<(), BodyFault> {
        let start = bytes.len();
        let mut limited = (&mut self.input).take(BLOCK_BYTES as u64);
        let read = limited
            .read_to_end(bytes)
            .map_err(|cause| BodyFault::Undecoded(cause.into()))?;
        self.hash.update(&bytes[start..]);
        self.decoded += read as u64;
        self.ended = read < BLOCK_BYTES;
        match self.decoded > self.limits.max_body_bytes {
            true => Err(BodyFault::BodyTooLarge(self.limits.max_body_bytes)),
            false => Ok(()),
        }
    }

    fn check_lines(&self, bytes: &[u8]) -> Result<(), BodyFault> {
        let most = self.limits.max_line_bytes;
        let mut lines = self.separation.split(bytes).chain([&self.rest[..]]);
        match lines.position(|line| line.len() > most) {
            Some(before) => Err(self.too_long(before)),
            None => Ok(()),
        }
    }

    /// The line after so many more.
    fn too_long(&self, before: usize) -> BodyFault {
        let most = self.limits.max_line_bytes;
        match self.separation {
            Separation::Lines => BodyFault::LineTooLong {
                number: self.next_number + before as u64,
                most,
            },
            Separation::Items => BodyFault::ItemTooLong(most),
        }
    }
}

#[cfg(test)]
mod tests;

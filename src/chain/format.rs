//! What stands in a segment file, byte for byte. All numbers are big-endian.
//!
//! ```text
//! segment = header frame* [closing frame] [zeros, preallocated]
//! header  = magic (7) version (1) label (8) first sequence (8) MAC (32) previous hash (32)
//! frame   = kind (1) length (4) !length (4) sequence (8) position (4) payload (length) seal (32)
//! ```
//!
//! Every frame directly follows the hash it is chained to: the seal of the frame before it, or the header's
//! previous hash. So an entry's hash is SHA-256 over one run of bytes, and can be checked in isolation.
//! The seal of a closing frame is its keyed head. `position` counts the entries before it in its flush.

use super::{Corrupt, Flaw, Head, HeadKey};
use aws_lc_rs::{digest, hmac};

/// Bytes of a SHA-256 hash or an HMAC-SHA256.
pub const HASH_BYTES: usize = 32;
/// A SHA-256 hash or an HMAC-SHA256.
pub type Hash = [u8; HASH_BYTES];

const MAGIC: [u8; 7] = *b"KFCHAIN";
const VERSION: u8 = 1;
/// What the log is for, as a header, a keyed head and a stub carry it.
pub const LABEL: [u8; PURPOSE_BYTES] = *b"audit\0\0\0";
/// Bytes of that label.
pub const PURPOSE_BYTES: usize = 8;
const MAC_START: usize = MAGIC.len() + 1 + PURPOSE_BYTES + 8;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = MAC_START + 2 * HASH_BYTES;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 21;
/// Bytes of a frame besides its payload.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEADER_BYTES + HASH_BYTES;

/// Makes and checks what the head key protects.
#[derive(Clone, Debug)]
pub struct Sealer {
    pub key: HeadKey,
}

impl Sealer {
    /// The header of the segment that continues after `previous`.
    pub fn header(&self, previous: &Head) -> [u8; SEGMENT_HEADER_BYTES] {
        self.header_by(self.key.in_use(), previous)
    }

    fn header_by(&self, key: &hmac::Key, previous: &Head) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let (signed, rest) = header.split_at_mut(MAC_START);
        let first = previous.sequence.wrapping_add(1).to_be_bytes();
        signed.copy_from_slice(&[&MAGIC[..], &[VERSION], &LABEL, &first].concat());
        let mac = mac(key, &[signed, &previous.hash]);
        rest[..HASH_BYTES].copy_from_slice(&mac);
        rest[HASH_BYTES..].copy_from_slice(&previous.hash);
        header
    }

    /// Reads the header of the segment whose name says that it begins with `first`: the head it continues from.
    pub fn parse_header(&self, bytes: &[u8], first: u64) -> Result<Head, Corrupt> {
        let corrupt = |flaw| Corrupt {
            segment: first,
            sequence: first,
            flaw,
        };
        let header = bytes
            .get(..SEGMENT_HEADER_BYTES)
            .ok_or(corrupt(Flaw::NotASegment))?;
        if header[..MAGIC.len()] != MAGIC {
            return Err(corrupt(Flaw::NotASegment));
        }
        if header[MAGIC.len()] != VERSION {
            return Err(corrupt(Flaw::UnknownVersion(header[MAGIC.len()])));
        }
        if header[MAGIC.len() + 1..][..PURPOSE_BYTES] != LABEL {
            return Err(corrupt(Flaw::OtherLog));
        }
        let previous_hash = array(header, MAC_START + HASH_BYTES).ok_or(corrupt(Flaw::NotASegment))?;
        let previous = Head {
            sequence: first.wrapping_sub(1),
            hash: previous_hash,
        };
        if !self.key.all().any(|key| header == self.header_by(key, &previous)) {
            return Err(corrupt(Flaw::Header));
        }
        Ok(previous)
    }

    /// The frame that closes a segment whose last entry is `head`.
    pub fn closing_frame(&self, head: &Head) -> [u8; FRAME_OVERHEAD_BYTES] {
        self.closing_frame_by(self.key.in_use(), head)
    }

    /// Whether `bytes` begin with the frame that closes a segment whose last entry is `head`.
    pub fn closes(&self, bytes: &[u8], head: &Head) -> bool {
        self.key
            .all()
            .any(|key| bytes.starts_with(&self.closing_frame_by(key, head)))
    }

    fn closing_frame_by(&self, key: &hmac::Key, head: &Head) -> [u8; FRAME_OVERHEAD_BYTES] {
        let mut frame = [0; FRAME_OVERHEAD_BYTES];
        let header = FrameHeader {
            kind: Kind::Close,
            length: 0,
            sequence: head.sequence,
            position: 0,
        };
        let seal = mac(key, &[&LABEL, &head.sequence.to_be_bytes(), &head.hash]);
        frame[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        frame[FRAME_HEADER_BYTES..].copy_from_slice(&seal);
        frame
    }
}

impl HeadKey {
    /// Authenticates bytes outside the segments, which begin with a magic of their own so that they are not taken
    /// for a part of one.
    pub fn sign(&self, bytes: &[u8]) -> Hash {
        mac(self.in_use(), &[bytes])
    }

    /// Whether [`sign`](Self::sign) made the signature, with any of the keys.
    pub fn has_signed(&self, bytes: &[u8], signature: &Hash) -> bool {
        self.all().any(|key| hmac::verify(key, bytes, signature).is_ok())
    }
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> Hash {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    let mut mac = [0; HASH_BYTES];
    mac.copy_from_slice(context.sign().as_ref());
    mac
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Entry = 1,
    Close = 2,
}

/// What a frame says of itself before its payload.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    pub kind: Kind,
    pub length: u32,
    pub sequence: u64,
    pub position: u32,
}

impl FrameHeader {
    fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1..5].copy_from_slice(&self.length.to_be_bytes());
        bytes[5..9].copy_from_slice(&(!self.length).to_be_bytes());
        bytes[9..17].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[17..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    /// The frame header at `offset`, if a whole and consistent one stands there.
    pub fn parse(bytes: &[u8], offset: usize) -> Option<Self> {
        let kind = match bytes.get(offset)? {
            1 => Kind::Entry,
            2 => Kind::Close,
            _ => return None,
        };
        let length = u32::from_be_bytes(array(bytes, offset + 1)?);
        if u32::from_be_bytes(array(bytes, offset + 5)?) != !length {
            return None;
        }
        let sequence = u64::from_be_bytes(array(bytes, offset + 9)?);
        let position = u32::from_be_bytes(array(bytes, offset + 17)?);
        Some(Self {
            kind,
            length,
            sequence,
            position,
        })
    }

    pub fn frame_bytes(&self) -> usize {
        self.length as usize + FRAME_OVERHEAD_BYTES
    }

    /// The sequence of the first entry of the flush that wrote this frame; all before it was durable by then.
    pub fn flush_start(&self) -> u64 {
        match self.kind {
            Kind::Entry => self.sequence.saturating_sub(u64::from(self.position)),
            Kind::Close => self.sequence.saturating_add(1),
        }
    }
}

/// Appends an entry's frame to `buffer`, which ends in the hash that the entry is chained to; returns its hash.
/// `payload` is at most `u32::MAX` bytes.
pub fn push_entry(buffer: &mut Vec<u8>, sequence: u64, position: u32, payload: &[u8]) -> Hash {
    let chained_from = buffer.len().saturating_sub(HASH_BYTES);
    let header = FrameHeader {
        kind: Kind::Entry,
        length: payload.len() as u32,
        sequence,
        position,
    };
    buffer.extend_from_slice(&header.encode());
    buffer.extend_from_slice(payload);
    let hash = sha256(&buffer[chained_from..]);
    buffer.extend_from_slice(&hash);
    hash
}

/// The entry frame at `offset` and its hash, if it is whole and chained to the bytes before it.
pub fn intact_entry(bytes: &[u8], offset: usize) -> Option<(FrameHeader, Hash)> {
    let header = FrameHeader::parse(bytes, offset).filter(|header| header.kind == Kind::Entry)?;
    let seal_start = offset + FRAME_HEADER_BYTES + header.length as usize;
    let seal: Hash = array(bytes, seal_start)?;
    let chained = bytes.get(offset.checked_sub(HASH_BYTES)?..seal_start)?;
    (sha256(chained) == seal).then_some((header, seal))
}

/// The `N` bytes at `offset`.
pub fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

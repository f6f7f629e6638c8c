//! The head of a log, as it is put where an outside party can keep it, so that a cut tail is found.

use super::hex;
use super::instance::InstanceId;
use super::keys::{AuditKey, KeyRing};
use crate::chain::{Hash, Head};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

/// The message of the log line that carries a head.
pub const HEAD_MESSAGE: &str = "head of the record of use";

/// A head with the instance that wrote the log, and a MAC over both. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedHead {
    pub instance: String,
    /// Number of the last durable entry; 0 if there is none.
    pub sequence: u64,
    /// Its hash, which stands for all entries up to it.
    pub hash: String,
    /// Id of the key that made `mac`.
    pub key: String,
    pub mac: String,
}

impl PublishedHead {
    pub(super) fn new(head: &Head, instance: &InstanceId, key: &AuditKey) -> Self {
        let mac = hmac::sign(
            key.publication(),
            &signed(instance.as_str(), head.sequence, &head.hash),
        );
        Self {
            instance: instance.to_string(),
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
            key: hex::encode(&key.id()),
            mac: hex::encode(mac.as_ref()),
        }
    }
}

fn signed(instance: &str, sequence: u64, hash: &Hash) -> Vec<u8> {
    [&sequence.to_be_bytes()[..], hash, instance.as_bytes()].concat()
}

/// Why a line is not a head that a log can be held against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("a head is SEQUENCE:HASH, with 64 hexadecimal digits")]
    Shape,
    #[error("the head {0} was made with a key that is not in the ring (`audit.key_files`)")]
    UnknownKey(u64),
    #[error("the head {0} is forged: its MAC is not by the key that it names")]
    Forged(u64),
}

/// A head that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    pub sequence: u64,
    pub hash: Hash,
    /// Whose log it is of, if the line told.
    pub instance: Option<String>,
}

impl KeptHead {
    /// Parses `SEQUENCE:HASH`.
    pub fn parse(text: &str) -> Result<Self, HeadError> {
        let (sequence, hash) = text.trim().split_once(':').ok_or(HeadError::Shape)?;
        Ok(Self {
            sequence: sequence.parse().map_err(|_| HeadError::Shape)?,
            hash: hex::decode(hash).ok_or(HeadError::Shape)?,
            instance: None,
        })
    }

    /// Parses a line of a file of heads: `SEQUENCE:HASH`, or JSON as logged and as answered by
    /// `/internal/audit/head`, whose MAC must hold. `None` for an empty line, and for a log line that is not
    /// about a head.
    pub fn parse_line(line: &str, ring: &KeyRing) -> Result<Option<Self>, HeadError> {
        #[derive(Deserialize)]
        struct Message {
            message: Option<String>,
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        if !line.starts_with('{') {
            return Self::parse(line).map(Some);
        }
        let Message { message } = serde_json::from_str(line).map_err(|_| HeadError::Shape)?;
        if message.is_some_and(|message| message != HEAD_MESSAGE) {
            return Ok(None);
        }
        let head: PublishedHead = serde_json::from_str(line).map_err(|_| HeadError::Shape)?;
        Self::authenticated(head, ring).map(Some)
    }

    fn authenticated(head: PublishedHead, ring: &KeyRing) -> Result<Self, HeadError> {
        let hash = hex::decode(&head.hash).ok_or(HeadError::Shape)?;
        let id = hex::decode(&head.key).ok_or(HeadError::Shape)?;
        let mac = hex::decode::<32>(&head.mac).ok_or(HeadError::Shape)?;
        let key = ring.find(id).ok_or(HeadError::UnknownKey(head.sequence))?;
        let bytes = signed(&head.instance, head.sequence, &hash);
        hmac::verify(key.publication(), &bytes, &mac).map_err(|_| HeadError::Forged(head.sequence))?;
        Ok(Self {
            sequence: head.sequence,
            hash,
            instance: Some(head.instance),
        })
    }
}

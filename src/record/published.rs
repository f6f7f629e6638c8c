//! The head of the record, as it is put where an outside party can keep it, so that a cut end is found.

use super::chain::{Hash, Head};
use super::heads::ListEnd;
use super::hex;
use super::keys::{KeyRing, RecordKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The message of the log line that carries a head.
pub const HEAD_MESSAGE: &str = "head of the record of use";

/// The last entry of an instance's chain and the end of the list of heads, with a MAC over both. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedHead {
    pub instance: Uuid,
    /// Number of the last durable entry; 0 if there is none.
    pub sequence: u64,
    /// Its hash, which stands for all entries up to it.
    pub hash: String,
    /// Number and MAC of the last row in the list of heads, which stands for all chains: `NUMBER:MAC`.
    pub heads: String,
    /// Id of the key that made `mac`.
    pub key: String,
    pub mac: String,
}

impl PublishedHead {
    pub(super) fn new(head: &Head, list: &ListEnd, instance: Uuid, key: &RecordKey) -> Self {
        let mac = hmac::sign(key.publication(), &signed(instance, head, list));
        Self {
            instance,
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
            heads: format!("{}:{}", list.number, hex::encode(&list.mac)),
            key: hex::encode(&key.id()),
            mac: hex::encode(mac.as_ref()),
        }
    }
}

fn signed(instance: Uuid, head: &Head, list: &ListEnd) -> Vec<u8> {
    [
        &head.sequence.to_be_bytes()[..],
        &head.hash,
        &list.number.to_be_bytes(),
        &list.mac,
        instance.as_bytes(),
    ]
    .concat()
}

/// Why a line is not a head that a record can be held against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("a head is SEQUENCE:HASH, with 64 hexadecimal digits")]
    Shape,
    #[error("the head {0} was made with a key that is not in the ring (`record.key_files`)")]
    UnknownKey(u64),
    #[error("the head {0} is forged: its MAC is not by the key that it names")]
    Forged(u64),
}

/// A head that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    pub head: Head,
    /// Whose chain it is of, if the line told.
    pub instance: Option<Uuid>,
    /// Where the list of heads ended, if the line told.
    pub list: Option<ListEnd>,
}

impl KeptHead {
    /// Parses `SEQUENCE:HASH`.
    pub fn parse(text: &str) -> Result<Self, HeadError> {
        let (sequence, hash) = numbered(text.trim())?;
        Ok(Self {
            head: Head { sequence, hash },
            instance: None,
            list: None,
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
        Self::authenticated(&head, ring).map(Some)
    }

    fn authenticated(published: &PublishedHead, ring: &KeyRing) -> Result<Self, HeadError> {
        let head = Head {
            sequence: published.sequence,
            hash: hex::decode(&published.hash).ok_or(HeadError::Shape)?,
        };
        let (number, list_mac) = numbered(&published.heads)?;
        let list = ListEnd {
            number,
            mac: list_mac,
        };
        let id = hex::decode(&published.key).ok_or(HeadError::Shape)?;
        let mac = hex::decode::<32>(&published.mac).ok_or(HeadError::Shape)?;
        let key = ring.find(id).ok_or(HeadError::UnknownKey(head.sequence))?;
        let bytes = signed(published.instance, &head, &list);
        hmac::verify(key.publication(), &bytes, &mac).map_err(|_| HeadError::Forged(head.sequence))?;
        Ok(Self {
            head,
            instance: Some(published.instance),
            list: Some(list),
        })
    }
}

/// `NUMBER:HEX`
fn numbered(text: &str) -> Result<(u64, Hash), HeadError> {
    let (number, hex) = text.split_once(':').ok_or(HeadError::Shape)?;
    Ok((
        number.parse().map_err(|_| HeadError::Shape)?,
        hex::decode(hex).ok_or(HeadError::Shape)?,
    ))
}

//! Tokens that one set of keys has verified, so that a token used for many requests is verified once.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::access::caller::Caller;
use crate::access::claims::Validity;

/// A bounded memory. Holds the SHA-256 of a token, never the token.
pub(in crate::access) struct RememberedTokens(Cache<[u8; 32], Remembered>);

/// What is kept of a token. Its times are judged anew at every use.
#[derive(Clone)]
pub(in crate::access) struct Remembered {
    pub caller: Arc<Caller>,
    pub validity: Validity,
}

impl RememberedTokens {
    pub fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub fn get(&self, token: &str) -> Option<Remembered> {
        self.0.get(&digest(token))
    }

    pub fn insert(&self, token: &str, remembered: Remembered) {
        self.0.insert(digest(token), remembered);
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

//! The secrets, from their files or from the environment.

use super::{ConfigError, ConsoleSettings, Settings};
use crate::pseudonym::{MasterKey, PseudonymRing};
use crate::secrets;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// A shorter operator token could be guessed.
const LEAST_TOKEN_CHARACTERS: usize = 32;

impl Settings {
    /// The secret behind the pseudonyms, from its file or from the environment.
    pub fn master_key(&self) -> Result<MasterKey, ConfigError> {
        let key = read_key(self.pseudonym.key.as_ref(), self.pseudonym.key_file.as_deref())?;
        key.ok_or(ConfigError::Missing(
            "pseudonym.key_file (`kundeforhold key new FILE` makes one)",
        ))
    }

    /// The pseudonyms of the store: of the key in use, and of the one that a rekey brings it under.
    pub fn pseudonyms(&self) -> Result<PseudonymRing, ConfigError> {
        let (next, next_file) = (&self.pseudonym.next_key, &self.pseudonym.next_key_file);
        let next = read_key(next.as_ref(), next_file.as_deref())?;
        let ring = PseudonymRing::new(&self.master_key()?, next.as_ref());
        let refused = |reason: &str| ConfigError::Value {
            key: "pseudonym.next_key_file",
            reason: reason.to_owned(),
        };
        let Some(next) = ring.next() else { return Ok(ring) };
        if next.fingerprint() == ring.present().fingerprint() {
            return Err(refused("is the same key as pseudonym.key_file"));
        }
        match self.record.has_own_keys() {
            true => Ok(ring),
            false => Err(refused(
                "needs record.key_files: the record of use is made with the pseudonym key, which it has to keep; \
                 name the file of that key there",
            )),
        }
    }

    /// The ring of the record of use: the key in use, then former ones to read by. Without keys of its own, the
    /// one behind the pseudonyms.
    pub fn record_keys(&self) -> Result<(MasterKey, Vec<MasterKey>), ConfigError> {
        let record = &self.record;
        let given = record
            .keys
            .iter()
            .map(|key| MasterKey::parse(key.expose_secret()));
        let files = record.key_files.iter().map(|path| MasterKey::read(path));
        let mut keys = given.chain(files);
        let in_use = keys.next().transpose()?;
        let in_use = in_use.map_or_else(|| self.master_key(), Ok)?;
        Ok((in_use, keys.collect::<Result<_, _>>()?))
    }
}

fn read_key(key: Option<&SecretString>, file: Option<&Path>) -> Result<Option<MasterKey>, ConfigError> {
    Ok(match (key, file) {
        (Some(key), _) => Some(MasterKey::parse(key.expose_secret())?),
        (None, Some(path)) => Some(MasterKey::read(path)?),
        (None, None) => None,
    })
}

impl ConsoleSettings {
    /// What operators sign in with, from the environment or its file; `None`: neither is set.
    pub fn operator_token(&self) -> Result<Option<SecretString>, ConfigError> {
        let (key, token) = match (&self.operator_token, &self.operator_token_file) {
            (Some(token), _) => ("console.operator_token", parse_token(token.expose_secret())),
            (None, Some(path)) => ("console.operator_token_file", read_token(path)),
            (None, None) => return Ok(None),
        };
        token
            .map(Some)
            .map_err(|reason| ConfigError::Value { key, reason })
    }
}

fn read_token(path: &Path) -> Result<SecretString, String> {
    let text = secrets::read(path).map_err(|cause| format!("names a file that cannot be used: {cause}"))?;
    parse_token(&text).map_err(|reason| format!("names {}, which {reason}", path.display()))
}

fn parse_token(text: &str) -> Result<SecretString, String> {
    let token = text.trim();
    if token.len() < LEAST_TOKEN_CHARACTERS || token.contains(char::is_whitespace) {
        return Err(format!(
            "is not one line of at least {LEAST_TOKEN_CHARACTERS} characters"
        ));
    }
    Ok(SecretString::from(token))
}

//! The secrets, from their files or from the environment.

use super::{ConfigError, ConsoleSettings, Settings};
use crate::pseudonym::MasterKey;
use secrecy::{ExposeSecret, SecretString};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A shorter operator token could be guessed.
const LEAST_TOKEN_CHARACTERS: usize = 32;

impl Settings {
    /// The secret behind the pseudonyms, from its file or from the environment.
    pub fn master_key(&self) -> Result<MasterKey, ConfigError> {
        match (&self.pseudonym.key, &self.pseudonym.key_file) {
            (Some(key), _) => Ok(MasterKey::parse(key.expose_secret())?),
            (None, Some(path)) => Ok(MasterKey::read(path)?),
            (None, None) => Err(ConfigError::Missing(
                "pseudonym.key_file (`kundeforhold key new FILE` makes one)",
            )),
        }
    }

    /// Who asks operators for certificates has to say who may sign them.
    pub(super) fn check_operators(&self) -> Result<(), ConfigError> {
        match self.console.client_certificate && self.server.management_tls.client_ca.is_none() {
            false => Ok(()),
            true => Err(ConfigError::Value {
                key: "console.client_certificate",
                reason: "needs server.management_tls.client_ca: who signs for operators".to_owned(),
            }),
        }
    }

    /// The ring of the record of use: the key in use, then former ones to read by. Without keys of its own, the
    /// one behind the pseudonyms.
    pub fn audit_keys(&self) -> Result<(MasterKey, Vec<MasterKey>), ConfigError> {
        let audit = &self.audit;
        let given = audit.keys.iter().map(|key| MasterKey::parse(key.expose_secret()));
        let files = audit.key_files.iter().map(|path| MasterKey::read(path));
        let mut keys = given.chain(files);
        let in_use = keys.next().transpose()?;
        let in_use = in_use.map_or_else(|| self.master_key(), Ok)?;
        Ok((in_use, keys.collect::<Result<_, _>>()?))
    }
}

impl ConsoleSettings {
    /// What operators sign in with; `None`: there is no such file set.
    pub fn operator_token(&self) -> Result<Option<SecretString>, ConfigError> {
        let token = self.operator_token_file.as_deref().map(read_token);
        token.transpose().map_err(|reason| ConfigError::Value {
            key: "console.operator_token_file",
            reason,
        })
    }
}

fn read_token(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let unreadable = |cause: std::io::Error| format!("names {shown}, which cannot be read: {cause}");
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("names {shown}, which others may read: chmod 600 {shown}"));
    }
    let text = zeroize::Zeroizing::new(crate::text::read_file(path).map_err(unreadable)?);
    let token = text.trim();
    if token.len() < LEAST_TOKEN_CHARACTERS || token.contains(char::is_whitespace) {
        return Err(format!(
            "names {shown}, which is not one line of at least {LEAST_TOKEN_CHARACTERS} characters"
        ));
    }
    Ok(SecretString::from(token))
}

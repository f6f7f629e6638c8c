//! The secrets, from their files or from the environment.

use super::{ConfigError, ConsoleSettings, Settings};
use crate::pseudonym::MasterKey;
use secrecy::{ExposeSecret, SecretString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A shorter operator token could be guessed.
const LEAST_TOKEN_CHARACTERS: usize = 32;

impl Settings {
    /// The secret behind the pseudonyms, from its file or from the environment.
    pub fn master_key(&self) -> Result<MasterKey, ConfigError> {
        match (&self.index.pseudonym_key, &self.index.pseudonym_key_file) {
            (Some(key), _) => Ok(MasterKey::parse(key.expose_secret())?),
            (None, Some(path)) => Ok(MasterKey::read(path)?),
            (None, None) => Err(ConfigError::Missing(
                "index.pseudonym_key_file (`kundeforhold key new FILE` makes one)",
            )),
        }
    }

    /// Where the key is that the register is to be given next; `None`: neither it nor the present one has a file.
    pub fn next_key_file(&self) -> Option<PathBuf> {
        let beside = |present: &PathBuf| {
            let mut name = present.clone().into_os_string();
            name.push(".next");
            PathBuf::from(name)
        };
        let named = self.index.next_pseudonym_key_file.clone();
        named.or_else(|| self.index.pseudonym_key_file.as_ref().map(beside))
    }

    /// The secret behind the next pseudonyms, if it is there.
    pub fn next_master_key(&self) -> Result<Option<MasterKey>, ConfigError> {
        match self.next_key_file() {
            Some(path) if path.exists() => Ok(Some(MasterKey::read(&path)?)),
            _ => Ok(None),
        }
    }

    /// The record of use may not hang on the key that goes, nor on a file whose content changes with it.
    pub fn check_key_may_change(&self) -> Result<(), ConfigError> {
        let own_files = [self.index.pseudonym_key_file.clone(), self.next_key_file()];
        let own_files: Vec<PathBuf> = own_files.into_iter().flatten().filter_map(real_path).collect();
        let hangs = |file: &PathBuf| real_path(file.clone()).is_some_and(|file| own_files.contains(&file));
        if self.audit.has_own_keys() && !self.audit.key_files.iter().any(hangs) {
            return Ok(());
        }
        let (present, copy) = match &self.index.pseudonym_key_file {
            Some(file) => (file.display().to_string(), file.with_file_name("audit.key")),
            None => ("PSEUDONYM-KEY-FILE".to_owned(), PathBuf::from("audit.key")),
        };
        let copy = copy.display();
        let reason = format!(
            "must name keys of the record of use's own before the pseudonym key is changed: the record was made with \
             the present one. `cp -p {present} {copy}`, add the line `key_files = [\"{copy}\"]` under [audit], and restart"
        );
        Err(ConfigError::Value {
            key: "audit.key_files",
            reason,
        })
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
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let token = text.trim();
    if token.len() < LEAST_TOKEN_CHARACTERS || token.contains(char::is_whitespace) {
        return Err(format!(
            "names {shown}, which is not one line of at least {LEAST_TOKEN_CHARACTERS} characters"
        ));
    }
    Ok(SecretString::from(token))
}

fn real_path(path: PathBuf) -> Option<PathBuf> {
    path.canonicalize().ok()
}

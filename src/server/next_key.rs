//! Looks for the next pseudonym key, and gives it to the register.

use crate::config::{ConfigError, Settings};
use crate::index::Index;
use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::register::rekey::{LOOK_EVERY, NextKey, RekeyProgress, Rekeying};
use std::path::PathBuf;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The next key's file, watched. Every instance answers by the next key as soon as the index does; the one that
/// holds the journal makes it so.
pub(super) struct NextKeyWatch {
    file: Option<PathBuf>,
    allowed: Result<(), ConfigError>,
    keys: PseudonymRing,
    index: Index,
    rekeying: Option<Rekeying>,
    added: Option<KeyFingerprint>,
    told: Option<String>,
}

impl NextKeyWatch {
    pub(super) fn new(
        settings: &Settings,
        keys: PseudonymRing,
        index: Index,
        rekeying: Option<Rekeying>,
    ) -> Self {
        Self {
            file: settings.next_key_file(),
            allowed: settings.check_key_may_change(),
            keys,
            index,
            rekeying,
            added: None,
            told: None,
        }
    }

    /// How far a change of the key is; `None`: this instance holds no journal.
    pub(super) fn progress(&self) -> Option<watch::Receiver<RekeyProgress>> {
        self.rekeying.as_ref().map(Rekeying::progress)
    }

    /// Runs until shutdown.
    pub(super) async fn run(mut self, end: CancellationToken) {
        loop {
            let problem = tokio::select! {
                problem = self.look() => problem,
                () = end.cancelled() => return,
            };
            if problem != self.told {
                match &problem {
                    Some(cause) if self.added.is_some() => {
                        tracing::error!(%cause, "the pseudonym key is not changed yet");
                    }
                    Some(cause) => {
                        tracing::warn!(%cause, "nothing of a former pseudonym key can be removed now")
                    }
                    None => {}
                }
                self.told = problem;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Looks once; gives what stands in the way.
    async fn look(&mut self) -> Option<String> {
        let next = match self.file.as_deref().map_or(Ok(None), NextKey::read) {
            Ok(next) => next,
            Err(cause) => return Some(cause.to_string()),
        };
        if let Some(next) = &next
            && self.added != Some(next.fingerprint())
        {
            let in_force = self.index.state().marker.map(|marker| marker.key);
            self.keys.add(next.key().pseudonyms.clone(), in_force);
            self.added = Some(next.fingerprint());
        }
        let rekeying = self.rekeying.as_mut()?;
        match (&self.allowed, &next) {
            (Err(cause), Some(next)) if !rekeying.is_in_force(next) => {
                rekeying.note_problem(Some(cause.to_string()));
                Some(cause.to_string())
            }
            _ => rekeying
                .look(next.as_ref())
                .await
                .err()
                .map(|cause| cause.to_string()),
        }
    }
}

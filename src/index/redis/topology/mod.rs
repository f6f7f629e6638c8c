//! Which Redis answers for which slot group.
//!
//! Everything that is written or read goes by a [`Lineup`]: the primaries in use, each as a session with one run of
//! it. A lineup never changes; where Redis does, another lineup takes its place.

mod cluster;
mod informants;
mod sentinel;

use super::fence::Fences;
use super::session::{Identity, Session, as_number};
use super::target::{Access, Address, Arrangement, Target};
use super::{RedisOptions, STATE_AGE_BOUND};
use crate::index::IndexError;
use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use informants::Informants;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which slot a key is in: 256 groups of rows by the first byte of a pseudonym, and one for what decides about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Rows(u8),
    State,
}

const GROUPS: usize = 257;

impl Group {
    pub(super) fn all_rows() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self::Rows)
    }

    fn place(self) -> usize {
        match self {
            Self::Rows(byte) => usize::from(byte),
            Self::State => GROUPS - 1,
        }
    }
}

/// The shortest pause between two looks for the primaries, however many want one.
const PAUSE: Duration = Duration::from_millis(50);
/// A primary in use that does not say within this that it is still the one is connected to anew.
const PROBE: Duration = Duration::from_millis(300);
/// A look at the primaries asks only those that have not told for so long.
const SURVEY_AGE: Duration = Duration::from_millis(STATE_AGE_BOUND.as_millis() as u64 / 2);
/// How often a Cluster is asked where its slots are though nothing seems wrong.
const SURVEY_EVERY: Duration = Duration::from_secs(1);

/// The primaries in use, and which of them has which group.
pub(super) struct Lineup {
    pub(super) sessions: Vec<Arc<Session>>,
    of_group: [usize; GROUPS],
    /// Of the identities of all primaries: the same number means the same runs of the same primaries.
    pub(super) fingerprint: u64,
}

impl Lineup {
    fn new(sessions: Vec<Arc<Session>>, of_group: [usize; GROUPS]) -> Self {
        let mut identities: Vec<u64> = sessions.iter().map(|session| session.identity.hash()).collect();
        identities.sort_unstable();
        let mut hash = Sha256::new();
        for identity in identities {
            hash.update(identity.to_be_bytes());
        }
        Self {
            fingerprint: as_number(hash),
            sessions,
            of_group,
        }
    }

    pub(super) fn place(&self, group: Group) -> usize {
        self.of_group[group.place()]
    }

    pub(super) fn primary(&self, group: Group) -> &Arc<Session> {
        &self.sessions[self.place(group)]
    }

    fn has(&self, identity: &Identity) -> bool {
        self.sessions.iter().any(|session| *session.identity == *identity)
    }

    fn is_like(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Session>, &Arc<Session>)| Arc::ptr_eq(a, b);
        self.of_group == other.of_group
            && self.sessions.len() == other.sessions.len()
            && self.sessions.iter().zip(&other.sessions).all(same)
    }
}

async fn is_good(session: &Session, age: Duration) -> bool {
    let confirmed = tokio::time::timeout(PROBE, session.confirm(age)).await;
    matches!(confirmed, Ok(Ok(())))
}

/// The sessions that are still good.
async fn confirm_all(lineup: Option<&Arc<Lineup>>) -> Vec<Arc<Session>> {
    let sessions = lineup.map_or(&[][..], |lineup| &lineup.sessions);
    let good = sessions
        .iter()
        .map(async |session| (is_good(session, Duration::ZERO).await).then(|| Arc::clone(session)));
    join_all(good).await.into_iter().flatten().collect()
}

/// The addresses of the primaries, and which of them has which group.
#[derive(PartialEq, Eq)]
struct Places {
    primaries: Vec<Address>,
    of_group: [usize; GROUPS],
}

/// Finds the primaries, and finds them again.
pub(super) struct Topology {
    pub(super) arrangement: Arrangement,
    access: Access,
    options: RedisOptions,
    current: ArcSwapOption<Lineup>,
    /// Rings when another lineup takes the place of the current one.
    replaced: tokio::sync::watch::Sender<()>,
    renewing: tokio::sync::Mutex<Option<Attempt>>,
    informants: Informants,
    fences: Fences,
    /// Primaries that slots are being moved to.
    importing: Mutex<HashMap<Address, Arc<Session>>>,
}

struct Attempt {
    at: Instant,
    failed: Option<IndexError>,
}

impl Topology {
    pub(super) fn new(target: Target, options: &RedisOptions) -> Self {
        let access = match target.arrangement {
            Arrangement::Sentinel { .. } => target.access.to_sentinels(),
            _ => target.access.clone(),
        };
        Self {
            informants: Informants::new(access, options.connect_timeout),
            arrangement: target.arrangement,
            access: target.access,
            options: options.clone(),
            current: ArcSwapOption::empty(),
            replaced: tokio::sync::watch::Sender::default(),
            renewing: tokio::sync::Mutex::new(None),
            fences: Fences::default(),
            importing: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Lineup>> {
        self.current.load_full()
    }

    pub(super) async fn lineup(&self) -> Result<Arc<Lineup>, IndexError> {
        match self.current() {
            Some(lineup) => Ok(lineup),
            None => self.renew(None).await,
        }
    }

    /// Looks for the primaries again, if nobody has since `known`. Where they cannot all be found, `known` stays:
    /// what it still reaches goes on.
    pub(super) async fn renew(&self, known: Option<&Arc<Lineup>>) -> Result<Arc<Lineup>, IndexError> {
        let mut last = self.renewing.lock().await;
        let current = self.current();
        let is_known = match (&current, known) {
            (Some(current), Some(known)) => Arc::ptr_eq(current, known),
            (current, known) => current.is_none() && known.is_none(),
        };
        if let (false, Some(current)) = (is_known, &current) {
            return Ok(Arc::clone(current));
        }
        if let Some(attempt) = last.as_ref().filter(|attempt| attempt.at.elapsed() < PAUSE) {
            return match (&attempt.failed, current) {
                (None, Some(current)) => Ok(current),
                (failed, _) => Err(failed.clone().unwrap_or(IndexError::TimedOut)),
            };
        }
        let formed = self.form(current.as_ref()).await;
        *last = Some(Attempt {
            at: Instant::now(),
            failed: formed.as_ref().err().cloned(),
        });
        formed
    }

    async fn form(&self, former: Option<&Arc<Lineup>>) -> Result<Arc<Lineup>, IndexError> {
        let (mut places, good) = tokio::join!(self.find(former), confirm_all(former));
        let (places, sessions) = loop {
            let named = places?;
            tokio::select! {
                sessions = self.sessions(&named, &good) => break (named, sessions),
                // A primary that hangs is named until it is replaced, and not waited for longer.
                others = self.others_than(&named, former) => places = Ok(others),
            }
        };
        let lineup = Lineup::new(sessions?, places.of_group);
        if let Some(former) = former.filter(|former| former.is_like(&lineup)) {
            return Ok(Arc::clone(former));
        }
        tracing::info!(
            primaries = lineup.sessions.len(),
            "the index is read from these primaries from now on"
        );
        let lineup = Arc::new(lineup);
        self.current.store(Some(Arc::clone(&lineup)));
        self.replaced.send_replace(());
        Ok(lineup)
    }

    /// For each primary the session that is still good, or another.
    async fn sessions(
        &self,
        places: &Places,
        good: &[Arc<Session>],
    ) -> Result<Vec<Arc<Session>>, IndexError> {
        let sessions = places.primaries.iter().map(async |address| {
            match good.iter().find(|session| session.address == *address) {
                Some(session) => Ok(Arc::clone(session)),
                None => self.open(address).await,
            }
        });
        join_all(sessions).await.into_iter().collect()
    }

    /// Waits until the primaries are found to be others.
    async fn others_than(&self, places: &Places, former: Option<&Arc<Lineup>>) -> Places {
        loop {
            tokio::time::sleep(SURVEY_AGE).await;
            match self.find(former).await {
                Ok(found) if found != *places => return found,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Waits until a primary that was taken from this lineup is one no more, so that nobody waits longer for one that
    /// hangs and was replaced.
    pub(super) async fn is_replaced(&self, taken_from: &Arc<Lineup>, session: &Session) {
        let mut replaced = self.replaced.subscribe();
        loop {
            let current = self.current();
            let gone =
                |lineup: &Arc<Lineup>| !Arc::ptr_eq(lineup, taken_from) && !lineup.has(&session.identity);
            // The sender lives as long as this.
            if current.as_ref().is_some_and(gone) || replaced.changed().await.is_err() {
                return;
            }
        }
    }

    async fn open(&self, address: &Address) -> Result<Arc<Session>, IndexError> {
        let opened = Session::open(address.clone(), &self.access, &self.options, &self.fences);
        let opened = tokio::time::timeout(self.options.connect_timeout, opened).await;
        match opened.unwrap_or(Err(IndexError::TimedOut)) {
            Ok(session) => Ok(Arc::new(session)),
            Err(IndexError::Unavailable(cause)) => {
                Err(IndexError::Unavailable(format!("{address}: {cause}")))
            }
            Err(cause) => Err(cause),
        }
    }

    async fn find(&self, former: Option<&Arc<Lineup>>) -> Result<Places, IndexError> {
        let one = |address: Address| Places {
            primaries: vec![address],
            of_group: [0; GROUPS],
        };
        match &self.arrangement {
            Arrangement::Node(address) => Ok(one(address.clone())),
            Arrangement::Sentinel { sentinels, master } => {
                Ok(one(sentinel::master(&self.informants, sentinels, master).await?))
            }
            Arrangement::Cluster { seeds } => {
                let known = former.iter().flat_map(|lineup| &lineup.sessions);
                let known = known.map(|session| session.address.clone());
                let mut known: Vec<Address> = known.chain(seeds.iter().cloned()).collect();
                known.sort();
                known.dedup();
                cluster::places(&self.informants, &known).await
            }
        }
    }

    /// Whether those who decide still name this lineup: a majority of the Sentinels. A Cluster's own primaries refuse
    /// what is not theirs, and a node is what it is.
    pub(super) async fn is_named(&self, lineup: &Arc<Lineup>) -> Result<(), IndexError> {
        let Arrangement::Sentinel { sentinels, master } = &self.arrangement else {
            return Ok(());
        };
        let named = sentinel::master(&self.informants, sentinels, master).await?;
        if lineup.primary(Group::State).address == named {
            return Ok(());
        }
        self.renew(Some(lineup)).await?;
        Err(super::session::replaced())
    }

    /// Asks each primary whether it is still the one, and from time to time where the slots are. An error: a primary
    /// cannot be found; what the others have can still be read.
    pub(super) async fn survey(&self) -> Result<Arc<Lineup>, IndexError> {
        let lineup = self.lineup().await?;
        let confirmed = lineup.sessions.iter().map(|session| is_good(session, SURVEY_AGE));
        let confirmed = join_all(confirmed).await;
        let surveyed_at = self.renewing.lock().await.as_ref().map(|attempt| attempt.at);
        let is_due = matches!(self.arrangement, Arrangement::Cluster { .. })
            && surveyed_at.is_none_or(|at| at.elapsed() > SURVEY_EVERY);
        if is_due || confirmed.contains(&false) {
            return self.renew(Some(&lineup)).await;
        }
        Ok(lineup)
    }

    /// Surveys for as long as it is polled, so that a primary that is gone is missed whoever waits for it.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(SURVEY_AGE).await;
            // Where this fails, lookups and writes tell.
            let _ = self.survey().await;
        }
    }

    /// The primary at an address that a slot is being moved to.
    pub(super) async fn importing(
        &self,
        lineup: &Lineup,
        address: &Address,
    ) -> Result<Arc<Session>, IndexError> {
        if let Some(session) = lineup.sessions.iter().find(|session| session.address == *address) {
            session.confirm(STATE_AGE_BOUND).await?;
            return Ok(Arc::clone(session));
        }
        let importing = || self.importing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = importing().get(address).cloned();
        if let Some(session) = known
            && session.confirm(STATE_AGE_BOUND).await.is_ok()
        {
            return Ok(session);
        }
        let session = self.open(address).await?;
        importing().insert(address.clone(), Arc::clone(&session));
        Ok(session)
    }
}

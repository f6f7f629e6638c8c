//! Commands to several primaries at once, each to where its keys are.
//!
//! All writes are blind and idempotent, so one whose slot has moved meanwhile is sent again to where it went.

use super::session::{Session, replaced};
use super::target::Address;
use super::topology::{Group, Lineup, Topology};
use crate::index::IndexError;
use futures_util::future::join_all;
use redis::{Cmd, Pipeline, ServerError, ServerErrorKind, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often commands follow their slots before it is given up.
const ATTEMPTS: usize = 20;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// One command, or several that happen together; all of one group.
enum Step {
    One(Cmd),
    Atomic(Vec<Cmd>),
}

/// Commands in order; those of a group stay in it.
#[derive(Default)]
pub(super) struct Batch(Vec<(Group, Step)>);

impl Batch {
    pub(super) fn with_capacity(steps: usize) -> Self {
        Self(Vec::with_capacity(steps))
    }

    pub(super) fn add(&mut self, group: Group, command: Cmd) {
        self.0.push((group, Step::One(command)));
    }

    pub(super) fn add_atomic(&mut self, group: Group, commands: Vec<Cmd>) {
        self.0.push((group, Step::Atomic(commands)));
    }

    /// Sends everything and gives the replies in order; of commands that happen together, the last one.
    pub(super) async fn send(self, topology: &Topology) -> Result<Vec<Value>, IndexError> {
        self.send_by(topology, None).await
    }

    /// The same, but to these primaries only.
    pub(super) async fn send_by(
        self,
        topology: &Topology,
        fingerprint: Option<u64>,
    ) -> Result<Vec<Value>, IndexError> {
        let mut replies = vec![Value::Nil; self.0.len()];
        let mut waiting: Vec<Waiting> = (0..).zip(self.0).map(Waiting::new).collect();
        for _ in 0..ATTEMPTS {
            let lineup = topology.lineup().await?;
            if fingerprint.is_some_and(|fingerprint| fingerprint != lineup.fingerprint) {
                return Err(replaced());
            }
            let parts = split(waiting, topology, &lineup).await?;
            let sent = join_all(
                parts
                    .into_values()
                    .map(|(session, part)| send_while_in_use(topology, &lineup, session, part)),
            )
            .await;
            waiting = Vec::new();
            for outcome in sent
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
            {
                match outcome {
                    Outcome::Done(at, reply) => replies[at] = reply,
                    Outcome::Again(step) => waiting.push(step),
                }
            }
            if waiting.is_empty() {
                return Ok(replies);
            }
            if waiting.iter().any(|step| step.moved) {
                // That it was done just now is no reason to give up.
                let _ = topology.renew(Some(&lineup)).await;
            }
            // Without a pause where all that is left only has to be asked elsewhere.
            if waiting.iter().any(|step| step.asking.is_none()) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(IndexError::Unavailable("slots kept moving".to_owned()))
    }
}

struct Waiting {
    at: usize,
    group: Group,
    step: Step,
    /// Where the slot is being moved to.
    asking: Option<Address>,
    moved: bool,
}

impl Waiting {
    fn new((at, (group, step)): (usize, (Group, Step))) -> Self {
        Self {
            at,
            group,
            step,
            asking: None,
            moved: false,
        }
    }

    fn put_into(self, part: &mut Part) {
        if self.asking.is_some() {
            part.pipeline.add_command(redis::cmd("ASKING"));
        }
        let asking = usize::from(self.asking.is_some());
        let (atomic, length) = match self.step {
            Step::One(command) => {
                part.pipeline.add_command(command);
                (false, 1)
            }
            Step::Atomic(commands) => {
                let length = commands.len() + 2;
                part.pipeline.add_command(redis::cmd("MULTI"));
                for command in commands {
                    part.pipeline.add_command(command);
                }
                part.pipeline.add_command(redis::cmd("EXEC"));
                (true, length)
            }
        };
        part.places.push(Place {
            at: self.at,
            group: self.group,
            begins: part.length + asking,
            length,
            atomic,
        });
        part.length += asking + length;
    }
}

/// What goes to one primary.
#[derive(Default)]
struct Part {
    pipeline: Pipeline,
    places: Vec<Place>,
    length: usize,
}

/// Where a step is in the pipeline.
struct Place {
    at: usize,
    group: Group,
    begins: usize,
    length: usize,
    atomic: bool,
}

impl Place {
    /// Takes the step out of the pipeline again.
    fn step(&self, pipeline: &Pipeline) -> Step {
        let commands = pipeline.cmd_iter().skip(self.begins).take(self.length).cloned();
        if self.atomic {
            Step::Atomic(commands.skip(1).take(self.length - 2).collect())
        } else {
            commands.last().map_or(Step::Atomic(Vec::new()), Step::One)
        }
    }
}

type Parts = BTreeMap<Address, (Arc<Session>, Part)>;

async fn split(waiting: Vec<Waiting>, topology: &Topology, lineup: &Lineup) -> Result<Parts, IndexError> {
    let mut to_primaries: Vec<Part> = lineup.sessions.iter().map(|_| Part::default()).collect();
    let mut parts = Parts::new();
    for step in waiting {
        match &step.asking {
            None => {
                let place = lineup.place(step.group);
                step.put_into(&mut to_primaries[place]);
            }
            Some(address) => {
                let address = address.clone();
                if !parts.contains_key(&address) {
                    let session = topology.importing(lineup, &address).await?;
                    parts.insert(address.clone(), (session, Part::default()));
                }
                if let Some((_, part)) = parts.get_mut(&address) {
                    step.put_into(part);
                }
            }
        }
    }
    for (session, part) in lineup.sessions.iter().zip(to_primaries) {
        // A primary that steps are asked of goes first by those; a part never goes to it twice.
        match parts.get_mut(&session.address) {
            Some((_, asked)) => asked.append(part),
            None if part.places.is_empty() => {}
            None => {
                parts.insert(session.address.clone(), (Arc::clone(session), part));
            }
        }
    }
    Ok(parts)
}

impl Part {
    fn append(&mut self, other: Self) {
        for place in other.places {
            let begins = self.length + place.begins;
            self.places.push(Place { begins, ..place });
        }
        for command in other.pipeline.cmd_iter() {
            self.pipeline.add_command(command.clone());
        }
        self.length += other.length;
    }
}

enum Outcome {
    Done(usize, Value),
    Again(Waiting),
}

async fn send_while_in_use(
    topology: &Topology,
    lineup: &Arc<Lineup>,
    session: Arc<Session>,
    part: Part,
) -> Result<Vec<Outcome>, IndexError> {
    tokio::select! {
        sent = send_part(Arc::clone(&session), part) => sent,
        () = topology.is_replaced(lineup, &session) => Err(replaced()),
    }
}

async fn send_part(session: Arc<Session>, part: Part) -> Result<Vec<Outcome>, IndexError> {
    let mut connection = session.writer().await?;
    let unanswered = session.fence.unanswered();
    let replies = connection
        .send_packed_commands(&part.pipeline, 0, part.length)
        .await?;
    unanswered.answered();
    if replies.len() != part.length {
        return Err(IndexError::Format("reply"));
    }
    let mut outcomes = Vec::with_capacity(part.places.len());
    let mut replies = replies.into_iter();
    let mut read = 0;
    for place in &part.places {
        let skipped = place.begins - read;
        let of_step: Vec<Value> = replies.by_ref().skip(skipped).take(place.length).collect();
        read = place.begins + place.length;
        outcomes.push(match reply_of(of_step) {
            Ok(reply) => Outcome::Done(place.at, reply),
            Err(cause) => Outcome::Again(again(place, &part.pipeline, &cause)?),
        });
    }
    Ok(outcomes)
}

/// The last reply, or the first error.
fn reply_of(replies: Vec<Value>) -> Result<Value, ServerError> {
    let mut last = Value::Nil;
    for reply in replies {
        last = match reply {
            Value::ServerError(cause) => return Err(cause),
            reply => reply,
        };
    }
    if let Value::Array(of_transaction) = &last {
        for reply in of_transaction {
            if let Value::ServerError(cause) = reply {
                return Err(cause.clone());
            }
        }
    }
    Ok(last)
}

/// A step whose slot is elsewhere, to be sent again; what else Redis refuses is an error.
fn again(place: &Place, pipeline: &Pipeline, cause: &ServerError) -> Result<Waiting, IndexError> {
    let mut waiting = Waiting::new((place.at, (place.group, place.step(pipeline))));
    match cause.kind() {
        Some(ServerErrorKind::Ask) => waiting.asking = Address::of_ask(cause),
        Some(ServerErrorKind::Moved) => waiting.moved = true,
        Some(ServerErrorKind::TryAgain) => {}
        _ => return Err(IndexError::from(redis::RedisError::from(cause.clone()))),
    }
    Ok(waiting)
}

//! Removes what is older than the time for which it is kept.

use super::chain::Head;
use super::engine::{Pruner, Reader, RecordPlace};
use super::fault::RecordFault;
use super::heads::{Chain, Chains, Event, Mark, Removal};
use super::keys::KeyRing;
use super::read::understand;
use super::search::day_of;
use super::walk::Walk;
use crate::clock::TrustedClock;
use chrono::NaiveDate;
use std::ops::ControlFlow;
use std::sync::Arc;
use uuid::Uuid;

/// Removes the entries at the beginning of each chain that were made before the day `before` in Oslo, and leaves the
/// proof of it in the list of heads. Proves what it removes. May be used while the record is being written. Gives what
/// was removed of each instance.
///
/// # Errors
/// Nothing is removed of a chain that cannot be proved. Where removing itself fails, the entries count as pruned, and
/// the next pruning removes them.
pub fn prune(
    place: &RecordPlace,
    ring: &KeyRing,
    before: NaiveDate,
    clock: &TrustedClock,
) -> Result<Vec<(Uuid, Removal)>, RecordFault> {
    let reader = Reader::open(place)?;
    let mut pruner = Pruner::open(place)?;
    let mut removed = Vec::new();
    for chain in &Chains::prove(&reader.heads()?, ring)?.all {
        let last = last_to_go(&reader, ring, chain, before)?;
        if last.sequence > chain.start.sequence {
            let mark = Mark {
                event: Event::Pruned,
                chain: chain.number,
                instance: chain.instance,
                head: last,
                at: clock.now().timestamp(),
            };
            if pruner.list(mark, ring.in_use())? {
                removed.push((chain.instance, removal(chain, &mark)));
            }
        }
        // Also of something pruned before, so that what an interruption left behind is removed.
        pruner.remove(chain.number, last.sequence)?;
    }
    Ok(removed)
}

fn removal(chain: &Chain, mark: &Mark) -> Removal {
    Removal {
        first: chain.start.sequence + 1,
        last: mark.head.sequence,
        hash: mark.head.hash,
        at: mark.at,
    }
}

/// The last entry that may go, or what was pruned last. Calls are recorded when they end, so their days of arrival need
/// not be in order: the first one that stays keeps all behind it.
fn last_to_go(
    reader: &Reader,
    ring: &KeyRing,
    chain: &Arc<Chain>,
    before: NaiveDate,
) -> Result<Head, RecordFault> {
    let mut last = chain.start;
    Walk::whole(reader, ring, Arc::clone(chain)).entries(&mut |head, entry| {
        let flawed = |flaw| chain.flawed(head.sequence, flaw);
        if day_of(&understand(entry, ring).map_err(flawed)?) >= before {
            return Ok(ControlFlow::Break(()));
        }
        last = head;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(last)
}

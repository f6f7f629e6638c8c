//! Where a set stands after a publication.

use crate::domain::relationship::SetId;
use crate::index::layout::SetState;
use crate::journal::{Journal, JournalError, Kind, Publication};
use chrono::{DateTime, Utc};

/// Where the index stands after a publication; generations are left to the caller.
pub(super) fn state_after(
    journal: &Journal,
    set: SetId,
    publication: &Publication,
    present: Option<&SetState>,
) -> SetState {
    let counts = publication.summary.counts;
    let stood = present.map_or(0, |state| state.running);
    let running = match publication.kind {
        Kind::WholeSet { .. } | Kind::Changes => publication.summary.running,
        // Calls are not held against what stands before they are journalled.
        Kind::Calls => (stood + counts.stored).saturating_sub(counts.ended + counts.removed),
        Kind::Rollback { .. } => journal.running(set, publication.position),
    };
    let before = present.map_or(0, |state| state.position);
    let follows = publication.kind.is_base() || publication.position == before + 1;
    let had_gap = !publication.kind.is_base() && present.is_some_and(|state| state.gap);
    let sequence = present.map_or(0, |state| state.sequence);
    let last_delivery = match present {
        Some(state) if is_takeover(publication) => state.last_delivery,
        None if is_takeover(publication) => DateTime::UNIX_EPOCH,
        _ => publication.published_at,
    };
    SetState {
        key: journal.key(),
        generation: 0,
        position: publication.position,
        journal: journal.id(),
        fence: publication.fence,
        sequence: sequence.max(journal.last_sequence(set)),
        running,
        gap: had_gap || !follows,
        // Left to the caller too.
        vouched: 0,
        last_delivery,
        retired: Vec::new(),
    }
}

/// Where the index stands with a set that is in this journal wholly, as it was at a position.
pub(super) fn state_at(
    journal: &Journal,
    set: SetId,
    position: u64,
    present: Option<&SetState>,
) -> Result<SetState, JournalError> {
    let journalled = journal.published_at(set, position)?;
    let state = state_after(journal, set, journalled.publication(), present);
    Ok(SetState {
        running: journal.running(set, position),
        gap: false,
        last_delivery: last_delivery(journal, set, position)?,
        ..state
    })
}

fn last_delivery(journal: &Journal, set: SetId, position: u64) -> Result<DateTime<Utc>, JournalError> {
    for at in (1..=position).rev() {
        let journalled = journal.published_at(set, at)?;
        if !is_takeover(journalled.publication()) {
            return Ok(journalled.publication().published_at);
        }
    }
    Ok(DateTime::UNIX_EPOCH)
}

/// What an instance publishes when it takes a bank over is no delivery; it does so under a lease only.
fn is_takeover(publication: &Publication) -> bool {
    publication.kind == Kind::Calls && publication.summary.counts.read == 0 && publication.fence > 0
}

//! Where a set stands after a publication.

use crate::domain::relationship::SetId;
use crate::index::layout::SetState;
use crate::journal::{Journal, Kind, Publication};
use chrono::DateTime;

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
    // What an instance publishes when it takes a bank over is no delivery; it does so under a lease only.
    let is_takeover = publication.kind == Kind::Calls && counts.read == 0 && publication.fence > 0;
    let last_delivery = match present {
        Some(state) if is_takeover => state.last_delivery,
        None if is_takeover => DateTime::UNIX_EPOCH,
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
        last_delivery,
        retired: Vec::new(),
    }
}

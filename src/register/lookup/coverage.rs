//! What answers do not know, worked out once for as long as nothing changes.

use super::{Arrival, last_delivery};
use crate::domain::participants::{Coverage, Freshnesses, Participants};
use crate::index::layout::IndexState;
use arc_swap::ArcSwapOption;
use chrono::NaiveDate;
use std::sync::Arc;

/// The freshness of the banks as the last answers had it.
#[derive(Clone, Default)]
pub struct KnownFreshness(Arc<ArcSwapOption<Known>>);

struct Known {
    today: NaiveDate,
    participants: Arc<Participants>,
    state: Arc<IndexState>,
    freshnesses: Freshnesses,
}

impl KnownFreshness {
    pub(super) fn coverage(
        &self,
        participants: &Arc<Participants>,
        state: &Arc<IndexState>,
        arrival: &Arrival,
        period_from: Option<NaiveDate>,
    ) -> Coverage {
        let known = self.0.load();
        let of_now = known.as_ref().filter(|known| {
            known.today == arrival.today
                && Arc::ptr_eq(&known.participants, participants)
                && Arc::ptr_eq(&known.state, state)
        });
        if let Some(known) = of_now {
            return known.freshnesses.coverage(arrival.at, period_from);
        }
        let freshnesses = Freshnesses::on(arrival.today, participants, last_delivery(state));
        let coverage = freshnesses.coverage(arrival.at, period_from);
        self.0.store(Some(Arc::new(Known {
            today: arrival.today,
            participants: Arc::clone(participants),
            state: Arc::clone(state),
            freshnesses,
        })));
        coverage
    }
}

//! Lookups beyond what a worker can have under way are refused at once, so that those it took are answered in time.

use super::routes::is_lookup;
use actix_web::dev::ServiceRequest;
use metrics::Counter;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Shed lookups are told of in one log line in this time.
const TELLING: Duration = Duration::from_secs(1);

/// The lookups that one worker has under way. Each worker has its own, so nothing is shared between threads.
#[derive(Clone)]
pub struct LookupRoom {
    most: usize,
    taken: Rc<Cell<usize>>,
    shed: Rc<Shed>,
}

struct Shed {
    all: Counter,
    untold: Cell<u64>,
    told: Cell<Option<Instant>>,
}

/// There is no room for a lookup.
pub struct Full;

impl LookupRoom {
    /// Room for so many lookups at a time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Rc::default(),
            shed: Rc::new(Shed {
                all: metrics::counter!("kundeforhold_shed_total"),
                untold: Cell::new(0),
                told: Cell::new(None),
            }),
        }
    }

    fn take(&self) -> Result<Place, Full> {
        let taken = self.taken.get();
        if taken < self.most {
            self.taken.set(taken + 1);
            return Ok(Place(Rc::clone(&self.taken)));
        }
        self.shed.count();
        Err(Full)
    }
}

impl Shed {
    /// A log line for each would cost as much as a good part of an answer, when there is least to spare.
    fn count(&self) {
        self.all.increment(1);
        let untold = self.untold.get() + 1;
        self.untold.set(untold);
        if self.told.get().is_none_or(|told| told.elapsed() >= TELLING) {
            tracing::warn!(lookups = untold, "lookups were refused: too many are under way");
            self.untold.set(0);
            self.told.set(Some(Instant::now()));
        }
    }
}

/// Free again once dropped: also where the caller has gone away.
pub struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Lets a request in; a lookup only if there is room for it. Stands before everything that costs, authentication and
/// routing included, since that is what shedding saves; so a shed call is counted, and not recorded.
pub fn admit(request: &ServiceRequest) -> Result<Option<Place>, Full> {
    if !is_lookup(request.match_info().as_str()) {
        return Ok(None);
    }
    let room = request.app_data::<LookupRoom>();
    room.map(LookupRoom::take).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let room = LookupRoom::new(2);
        let places = (room.take(), room.take());
        assert!(places.0.is_ok() && places.1.is_ok() && room.take().is_err());
        drop(places.0);
        assert!(room.take().is_ok());
    }
}

//! Lookups beyond what a worker can have under way are refused at once, so that those it took are answered in time.
//!
//! How many it can have is found out: once the worker takes too long to get round to all that is ready, and goes on to,
//! there are to be fewer, and else more, up to a bound. So those that are refused are told soon, however many come.

use super::docs::is_document;
use super::routes::lookup_route;
use actix_web::dev::ServiceRequest;
use metrics::Counter;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Shed lookups are told of in one log line in this time.
const TELLING: Duration = Duration::from_secs(1);
/// Least time between two looks at how long the worker takes.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A worker may be late for so long before it takes fewer: others on the machine delay it now and then.
const PATIENCE: Duration = Duration::from_millis(100);
/// Lookups that may be under way whatever it takes.
const LEAST: usize = 64;
/// What a worker that keeps up gets more with each look.
const MORE: usize = 4;

/// Bounds of one worker.
#[derive(Debug, Clone, Copy)]
pub struct RoomBounds {
    /// Lookups under way.
    pub most: usize,
    /// Time to get round to all that is ready.
    pub lag: Duration,
}

/// The lookups that one worker has under way. Each worker has its own, so nothing is shared between threads.
#[derive(Clone)]
pub struct LookupRoom(Rc<Room>);

struct Room {
    bounds: RoomBounds,
    /// Lookups that there is room for now.
    room: Cell<usize>,
    taken: Cell<usize>,
    look: Cell<Look>,
    late_since: Cell<Option<Instant>>,
    shed: Counter,
    untold: Cell<u64>,
    told: Cell<Option<Instant>>,
}

/// One at a time.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    Never,
    UnderWay,
    Done(Instant),
}

/// There is no room for a lookup.
pub struct Full;

impl LookupRoom {
    pub fn new(bounds: RoomBounds) -> Self {
        Self(Rc::new(Room {
            bounds,
            room: Cell::new(bounds.most),
            taken: Cell::new(0),
            look: Cell::new(Look::Never),
            late_since: Cell::new(None),
            shed: metrics::counter!("kundeforhold_shed_total"),
            untold: Cell::new(0),
            told: Cell::new(None),
        }))
    }

    fn take(&self) -> Result<Place, Full> {
        let taken = self.0.taken.get();
        if taken < self.0.room.get() {
            self.0.taken.set(taken + 1);
            return Ok(Place(self.clone()));
        }
        self.0.count_shed();
        Err(Full)
    }

    /// Now and then, finds out when the worker gets round to a task that is ready now.
    fn look(&self) {
        let now = Instant::now();
        let is_due = match self.0.look.get() {
            Look::Never => true,
            Look::UnderWay => false,
            Look::Done(at) => now >= at + LOOK_EVERY,
        };
        if is_due {
            self.0.look.set(Look::UnderWay);
            let room = self.clone();
            actix_web::rt::spawn(async move {
                let seen = Instant::now();
                room.0.adapt(seen - now, seen);
                room.0.look.set(Look::Done(seen));
            });
        }
    }
}

impl Room {
    fn adapt(&self, lag: Duration, now: Instant) {
        let room = self.room.get();
        if lag <= self.bounds.lag {
            self.late_since.set(None);
            self.room.set((room + MORE).min(self.bounds.most));
            return;
        }
        let late_since = self.late_since.get().unwrap_or(now);
        self.late_since.set(Some(late_since));
        if now - late_since >= PATIENCE {
            self.room.set((room * 3 / 4).max(LEAST).min(self.bounds.most));
        }
    }

    /// A log line for each would cost as much as a good part of an answer, when there is least to spare.
    fn count_shed(&self) {
        self.shed.increment(1);
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
pub struct Place(LookupRoom);

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.0.0.taken;
        taken.set(taken.get() - 1);
    }
}

/// Lets a request in; a lookup, and one for the document, only if there is room for it. Stands before everything that costs, authentication and
/// routing included, since that is what shedding saves; so a shed call is counted, and not recorded.
pub fn admit(request: &ServiceRequest) -> Result<Option<Place>, Full> {
    let path = request.match_info().as_str();
    if lookup_route(path).is_none() && !is_document(path) {
        return Ok(None);
    }
    let Some(room) = request.app_data::<LookupRoom>() else {
        return Ok(None);
    };
    room.look();
    room.take().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const LAG: Duration = Duration::from_millis(20);

    fn room(most: usize) -> LookupRoom {
        LookupRoom::new(RoomBounds { most, lag: LAG })
    }

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let room = room(2);
        let places = (room.take(), room.take());
        assert!(places.0.is_ok() && places.1.is_ok() && room.take().is_err());
        drop(places.0);
        assert!(room.take().is_ok());
    }

    #[test]
    fn a_worker_that_goes_on_to_be_late_takes_fewer_until_it_keeps_up() {
        let (room, began) = (room(100), Instant::now());
        room.0.adapt(LAG * 2, began);
        room.0.adapt(LAG * 2, began + PATIENCE / 2);
        assert_eq!(room.0.room.get(), 100);
        for _ in 0..10 {
            room.0.adapt(LAG * 2, began + PATIENCE);
        }
        assert_eq!(room.0.room.get(), LEAST);
        room.0.adapt(LAG, began + PATIENCE);
        assert_eq!(room.0.room.get(), LEAST + MORE);
        room.0.adapt(LAG * 2, began + PATIENCE);
        for _ in 0..100 {
            room.0.adapt(LAG, began + PATIENCE);
        }
        assert_eq!(room.0.room.get(), 100);
    }

    #[actix_web::test]
    async fn a_lookup_is_known_by_its_path_as_it_is_routed_and_other_calls_need_no_room() {
        let admit = |path: &str| {
            let request = TestRequest::with_uri(path).app_data(room(0));
            admit(&request.to_srv_request()).is_ok()
        };
        assert!(!admit("/v2/customers/customerRelationships?fromDate=2026-01-01"));
        assert!(!admit("/v2/customers/customer%52elationships"));
        assert!(!admit("/kar-ws/api/v1/customers/accountServicingProvider"));
        assert!(!admit("/openapi.json") && !admit("/docs/index.html"));
        assert!(admit("/v2/participants"));
    }
}

//! Lookups beyond what a worker can have under way are refused at once, so that those it took are answered in time.

use super::answer::respond_to;
use super::error::Problem;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use std::cell::Cell;
use std::rc::Rc;

/// The lookups that one worker has under way. Each worker has its own, so nothing is shared between threads.
#[derive(Clone)]
pub struct LookupRoom {
    most: usize,
    taken: Rc<Cell<usize>>,
}

impl LookupRoom {
    /// Room for so many lookups at a time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Rc::default(),
        }
    }

    fn take(&self) -> Option<Place> {
        let taken = self.taken.get();
        (taken < self.most).then(|| {
            self.taken.set(taken + 1);
            Place(Rc::clone(&self.taken))
        })
    }
}

/// Free again once dropped: also where the caller has gone away.
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Wraps a lookup's resource. Stands before authentication, since looking at the token is most of what could be
/// saved; so a shed call is counted and logged, and not recorded.
pub async fn bound(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let place = request.app_data::<LookupRoom>().and_then(LookupRoom::take);
    if place.is_none() {
        metrics::counter!("kundeforhold_shed_total").increment(1);
        let refusal = respond_to(request.request(), Problem::UNAVAILABLE);
        return Ok(request.into_response(refusal).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let room = LookupRoom::new(2);
        let places = (room.take(), room.take());
        assert!(places.0.is_some() && places.1.is_some() && room.take().is_none());
        drop(places.0);
        assert!(room.take().is_some());
    }
}

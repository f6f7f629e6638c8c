//! The pieces of a body as they come, within its bounds.

use super::{BodyFault, BodyLimits};
use actix_web::web::{Bytes, Payload};
use futures_util::{Stream, StreamExt};
use std::time::{Duration, Instant};

/// A body while it comes.
struct Coming {
    body: Payload,
    limits: BodyLimits,
    taken: u64,
    pace: Pace,
    ended: bool,
}

/// How fast the bank sends: only what it lets us wait for counts, not what we let it wait.
struct Pace {
    is_grace: bool,
    waited: Duration,
    bytes: u64,
}

/// The pieces of a body, within its bounds.
pub fn pieces_of(body: Payload, limits: BodyLimits) -> impl Stream<Item = Result<Bytes, BodyFault>> {
    let coming = Coming {
        body,
        limits,
        taken: 0,
        pace: Pace {
            is_grace: true,
            waited: Duration::ZERO,
            bytes: 0,
        },
        ended: false,
    };
    futures_util::stream::unfold(coming, async |mut coming| {
        let piece = coming.next().await?;
        coming.ended = piece.is_err();
        Some((piece, coming))
    })
}

impl Coming {
    async fn next(&mut self) -> Option<Result<Bytes, BodyFault>> {
        if self.ended {
            return None;
        }
        let began = Instant::now();
        let piece = match tokio::time::timeout(self.limits.pause, self.body.next()).await {
            Err(_) => return Some(Err(BodyFault::Paused(self.limits.pause.as_secs()))),
            Ok(piece) => piece?,
        };
        let Ok(piece) = piece else {
            return Some(Err(BodyFault::Cut));
        };
        self.taken += piece.len() as u64;
        if self.taken > self.limits.max_body_bytes {
            return Some(Err(BodyFault::BodyTooLarge(self.limits.max_body_bytes)));
        }
        let least = self.limits.min_bytes_per_second;
        Some(
            match self.pace.holds(piece.len(), began.elapsed(), &self.limits) {
                true => Ok(piece),
                false => Err(BodyFault::TooSlow(least)),
            },
        )
    }
}

impl Pace {
    /// Whether the body is as fast as it must be, once it was waited for longer than its grace.
    fn holds(&mut self, bytes: usize, waited: Duration, limits: &BodyLimits) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < limits.grace {
            return true;
        }
        let least = limits.min_bytes_per_second.saturating_mul(self.waited.as_secs());
        let holds = self.is_grace || self.bytes >= least;
        *self = Self {
            is_grace: false,
            waited: Duration::ZERO,
            bytes: 0,
        };
        holds
    }
}

//! What a lookup finds.

use super::Sets;
use crate::domain::delivery::PublicationId;
use crate::pseudonym::Tag;
use std::sync::Arc;

/// What was found, as one moment had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    pub held: Vec<T>,
    /// The last publication at that moment; `None`: nothing was published ever, or no cache wants to know.
    pub at: Option<PublicationId>,
    /// How the sets stood then, or a moment before: never as a later publication left them.
    pub sets: Arc<Sets>,
}

/// What an answer from a cache stands on, as far as this process knew. Where others publish too, that is confirmed once the
/// answer is made, before it is given ([`Store::confirm`](super::Store::confirm)).
#[derive(Debug, Clone)]
pub struct Basis {
    /// The publication that it was read at.
    pub at: PublicationId,
    /// Of the customer or account, under each key.
    pub(super) tags: Vec<Tag>,
    /// How the sets stood, by which it was judged.
    pub sets: Arc<Sets>,
}

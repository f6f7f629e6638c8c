//! What a lookup finds.

use super::Sets;
use crate::domain::delivery::PublicationId;
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

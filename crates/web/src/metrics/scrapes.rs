//! How many scrapes may be under way.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Scrapes under way at a time; a pair of Prometheus servers, and two people who look.
const SCRAPES_MAX: usize = 4;

/// Places for scrapes.
pub(crate) struct Scrapes(Arc<Semaphore>);

impl Default for Scrapes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SCRAPES_MAX)))
    }
}

impl Scrapes {
    /// A place, if there is one.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

//! How late checks start: counts shared by the threads that run them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A start later than this is late.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(1);

/// How many rounds started, how many of them late, and how many were skipped.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    started: AtomicU64,
    late: AtomicU64,
    skipped: AtomicU64,
}

impl Lag {
    /// Counts the start of a round.
    pub(crate) fn start(&self, lateness: Duration) {
        self.started.fetch_add(1, Ordering::Relaxed);
        if lateness > LATE_AFTER {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a round that was not started, because too many run at a time.
    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Rounds started, late and skipped since the start of the process.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.started.load(Ordering::Relaxed), self.late.load(Ordering::Relaxed), self.skipped.load(Ordering::Relaxed))
    }
}

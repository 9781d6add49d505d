//! How far the history has come behind the log, so that a backup can wait
//! until everything its state counts is there.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Two marks: what was passed on to the history, and what it has dealt with.
#[derive(Debug, Default)]
pub(crate) struct Tide {
    passed_on: AtomicU64,
    dealt_with: watch::Sender<u64>,
}

impl Tide {
    /// A batch of the log's entry `index` is on its way to the history. Said
    /// before the state that counts it can be seen.
    pub(crate) fn passed_on(&self, index: u64) {
        self.passed_on.fetch_max(index, Ordering::AcqRel);
    }

    /// The batch of this entry is kept, or never will be.
    pub(crate) fn dealt_with(&self, index: u64) {
        self.dealt_with.send_if_modified(|known| std::mem::replace(known, index.max(*known)) < index);
    }

    /// Waits until all that was passed on so far is dealt with.
    pub(crate) async fn caught_up(&self) {
        let wanted = self.passed_on.load(Ordering::Acquire);
        // The sender is ours, so it cannot be gone.
        let _ = self.dealt_with.subscribe().wait_for(|known| *known >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_wait_ends_when_what_was_passed_on_before_it_is_dealt_with() {
        let tide = Tide::default();
        tide.caught_up().await;
        tide.passed_on(7);
        tide.dealt_with(5);
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, tide.caught_up()).await.is_err(), "7 is on its way");
        tide.dealt_with(7);
        tide.caught_up().await;
        tide.dealt_with(6);
        tide.caught_up().await;
    }
}

//! Follows the log entry by entry: passes results on to the history, and wakes
//! the loops that have something to do.
//!
//! **A loop is woken only when the state it will look at holds the reason**:
//! woken a moment earlier it would find nothing to do and sleep again.

use cluster::Observer;
use control::{Applied, Effect, State};
use model::entry::{Body, Entry};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Batches that may wait for the history: a few seconds at full rate. Then the
/// log waits for the history, and the checks for the log.
const BATCHES_WAITING_MAX: usize = 64;

/// A batch of results with its place in the log.
pub(crate) type Logged = (u64, Arc<Entry>);

/// The loops' ends.
pub(crate) struct Followed {
    /// Batches for the history.
    pub(crate) batches: mpsc::Receiver<Logged>,
    /// Changes when deliveries are due or became so.
    pub(crate) deliveries: watch::Receiver<u64>,
    /// Changes when the page changes visibly.
    pub(crate) urgent: watch::Receiver<u64>,
    /// Changes when another configuration is active.
    pub(crate) reconfigured: watch::Receiver<u64>,
}

/// The log's end.
pub(crate) struct Follower {
    batches: mpsc::Sender<Logged>,
    deliveries: watch::Sender<u64>,
    urgent: watch::Sender<u64>,
    reconfigured: watch::Sender<u64>,
    history: Option<Arc<history::Store>>,
    replayed_upto: u64,
    unpublished: Vec<(u64, Effect)>,
}

pub(crate) fn channel() -> (Followed, Follower) {
    let (batches, batches_rx) = mpsc::channel(BATCHES_WAITING_MAX);
    let (deliveries, deliveries_rx) = watch::channel(0);
    let (urgent, urgent_rx) = watch::channel(0);
    let (reconfigured, reconfigured_rx) = watch::channel(0);
    let followed =
        Followed { batches: batches_rx, deliveries: deliveries_rx, urgent: urgent_rx, reconfigured: reconfigured_rx };
    let unpublished = Vec::new();
    (followed, Follower { batches, deliveries, urgent, reconfigured, history: None, replayed_upto: 0, unpublished })
}

impl Follower {
    /// Names the history that replayed results go to.
    pub(crate) fn with_history(mut self, history: &Arc<history::Store>) -> Self {
        self.history = Some(Arc::clone(history));
        self
    }

    fn keep(&self, index: u64, entry: &Arc<Entry>) {
        let Body::Results(batch) = &entry.body else {
            return;
        };
        if index > self.replayed_upto {
            // The receiver is gone only when the node stops; the log keeps the batch.
            let _ = self.batches.blocking_send((index, Arc::clone(entry)));
            return;
        }
        // While the node opens nobody receives yet. What the history has already it skips.
        let Some(history) = &self.history else {
            return;
        };
        if let Err(error) = history.apply(index, entry.at, &batch.location, &batch.observations) {
            tracing::warn!(index, error = %crate::chain(&anyhow::Error::new(error)), "replayed results could not be kept");
        }
    }
}

impl Observer for Follower {
    fn applied(&mut self, index: u64, entry: &Arc<Entry>, applied: &Applied, _state: &State) {
        self.keep(index, entry);
        self.unpublished.extend(applied.effects.iter().map(|effect| (index, *effect)));
    }

    fn published(&mut self) {
        for (index, effect) in self.unpublished.drain(..) {
            match effect {
                Effect::Deliver => drop(self.deliveries.send_replace(index)),
                Effect::Publish => drop(self.urgent.send_replace(index)),
                Effect::Reconfigure => drop(self.reconfigured.send_replace(index)),
                // One location per node, and this one has just looked.
                Effect::LookNow(_) => {}
            }
        }
    }

    fn replay_begins(&mut self, upto: u64) {
        self.replayed_upto = upto;
    }

    fn repeated(&mut self, index: u64, entry: &Arc<Entry>) {
        self.keep(index, entry);
    }
}

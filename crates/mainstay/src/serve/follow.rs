//! Follows the log entry by entry: passes results on to the history, and wakes
//! the loops that have something to do.

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
    durable: u64,
}

pub(crate) fn channel() -> (Followed, Follower) {
    let (batches, batches_rx) = mpsc::channel(BATCHES_WAITING_MAX);
    let (deliveries, deliveries_rx) = watch::channel(0);
    let (urgent, urgent_rx) = watch::channel(0);
    let (reconfigured, reconfigured_rx) = watch::channel(0);
    let followed =
        Followed { batches: batches_rx, deliveries: deliveries_rx, urgent: urgent_rx, reconfigured: reconfigured_rx };
    (followed, Follower { batches, deliveries, urgent, reconfigured, durable: 0 })
}

impl Follower {
    /// Tells up to which entry the history has everything.
    pub(crate) fn with_history(mut self, history: &history::Store) -> Self {
        self.durable = history.watermark();
        self
    }

    fn keep(&self, index: u64, entry: &Arc<Entry>) {
        if index <= self.durable || !matches!(entry.body, Body::Results(_)) {
            return;
        }
        // The receiver is gone only when the node stops; the log keeps the batch.
        let _ = self.batches.blocking_send((index, Arc::clone(entry)));
    }
}

impl Observer for Follower {
    fn applied(&mut self, index: u64, entry: &Arc<Entry>, applied: &Applied, _state: &State) {
        self.keep(index, entry);
        for effect in &applied.effects {
            match effect {
                Effect::Deliver => drop(self.deliveries.send_replace(index)),
                Effect::Publish => drop(self.urgent.send_replace(index)),
                Effect::Reconfigure => drop(self.reconfigured.send_replace(index)),
                // One location per node, and this one has just looked.
                Effect::LookNow(_) => {}
            }
        }
    }

    fn repeated(&mut self, index: u64, entry: &Arc<Entry>) {
        self.keep(index, entry);
    }
}

//! Follows the log entry by entry: passes results on to the history, and wakes
//! the loops that have something to do.
//!
//! **A loop is woken only when the state it will look at holds the reason**:
//! woken a moment earlier it would find nothing to do and sleep again.

use crate::backup::Tide;
use cluster::Observer;
use control::{Applied, Effect, State};
use model::entry::{Body, Entry};
use model::id::{CheckSlot, LocationId};
use model::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// Batches that may wait for the history: a few seconds at full rate. Then the
/// log waits for the history, and the checks for the log.
const BATCHES_WAITING_MAX: usize = 64;
/// Checks that may wait to be looked at at once. When more fail together, the
/// rest is looked at in its regular time.
const LOOKS_WAITING_MAX: usize = 4_096;

/// How much older than its entry a result may be as a rule.
const LATE_MAX: Duration = Duration::from_secs(600);

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
    /// Changes when another configuration is active, or other nodes share the checks.
    pub(crate) reconfigured: watch::Receiver<u64>,
    /// Checks that somebody else saw fail.
    pub(crate) looks: broadcast::Sender<CheckSlot>,
    /// Changes when the state was replaced by another node's: the last index that was not applied here.
    pub(crate) replaced: watch::Receiver<u64>,
}

/// The log's end.
pub(crate) struct Follower {
    batches: mpsc::Sender<Logged>,
    deliveries: watch::Sender<u64>,
    urgent: watch::Sender<u64>,
    reconfigured: watch::Sender<u64>,
    looks: broadcast::Sender<CheckSlot>,
    replaced: watch::Sender<u64>,
    history: Option<Arc<history::Store>>,
    location: Option<LocationId>,
    replayed_upto: u64,
    /// Of the last entry that was applied here.
    stamp: Timestamp,
    unpublished: Vec<(u64, Effect)>,
    tide: Arc<Tide>,
}

pub(crate) fn channel() -> (Followed, Follower) {
    let (batches, batches_rx) = mpsc::channel(BATCHES_WAITING_MAX);
    let (deliveries, deliveries_rx) = watch::channel(0);
    let (urgent, urgent_rx) = watch::channel(0);
    let (reconfigured, reconfigured_rx) = watch::channel(0);
    let (replaced, replaced_rx) = watch::channel(0);
    let (looks, _) = broadcast::channel(LOOKS_WAITING_MAX);
    let followed = Followed {
        batches: batches_rx,
        deliveries: deliveries_rx,
        urgent: urgent_rx,
        reconfigured: reconfigured_rx,
        looks: looks.clone(),
        replaced: replaced_rx,
    };
    let follower = Follower {
        batches,
        deliveries,
        urgent,
        reconfigured,
        looks,
        replaced,
        history: None,
        location: None,
        replayed_upto: 0,
        stamp: Timestamp::EPOCH,
        unpublished: Vec::new(),
        tide: Arc::default(),
    };
    (followed, follower)
}

impl Follower {
    /// How far the history has come behind the log.
    pub(crate) fn tide(&self) -> Arc<Tide> {
        Arc::clone(&self.tide)
    }

    /// Names the history that replayed results go to; a witness has none.
    pub(crate) fn with_history(mut self, history: Option<&Arc<history::Store>>) -> Self {
        self.history = history.map(Arc::clone);
        self
    }

    /// Names the place, whose own rounds need not be repeated there.
    pub(crate) fn at(mut self, location: &LocationId) -> Self {
        self.location = Some(location.clone());
        self
    }

    /// Whether an effect concerns this node: what its location has just seen it
    /// looks at again in its own time.
    fn concerns(&self, entry: &Entry, effect: Effect) -> bool {
        match (&entry.body, effect) {
            (Body::Results(batch), Effect::LookNow(_)) => Some(&batch.location) != self.location.as_ref(),
            _ => true,
        }
    }

    /// Writes down what the history will never see in entries, before the next
    /// one comes. Without the note a later start would notice it all the same.
    fn note_gap(&self, state: &State) {
        let Some(history) = &self.history else { return };
        let entries = history.watermark() + 1..state.applied_index() + 1;
        if let Err(error) = history.note_gap(entries, self.stamp.minus(LATE_MAX), state.now()) {
            tracing::error!(error = %crate::chain(&anyhow::Error::new(error)), "what the history lacks could not be written down");
        }
    }

    fn keep(&self, index: u64, entry: &Arc<Entry>) {
        let Body::Results(batch) = &entry.body else {
            return;
        };
        if index > self.replayed_upto {
            self.tide.passed_on(index);
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
        self.stamp = entry.at;
        self.keep(index, entry);
        let ours = applied.effects.iter().filter(|effect| self.concerns(entry, **effect));
        let ours: Vec<_> = ours.map(|effect| (index, *effect)).collect();
        self.unpublished.extend(ours);
    }

    fn published(&mut self) {
        for (index, effect) in self.unpublished.drain(..) {
            match effect {
                Effect::Deliver => drop(self.deliveries.send_replace(index)),
                Effect::Publish => drop(self.urgent.send_replace(index)),
                Effect::Reconfigure => drop(self.reconfigured.send_replace(index)),
                // Without threads that check nobody listens.
                Effect::LookNow(slot) => drop(self.looks.send(slot)),
            }
        }
    }

    fn replay_begins(&mut self, upto: u64) {
        self.replayed_upto = upto;
    }

    fn repeated(&mut self, index: u64, entry: &Arc<Entry>) {
        self.keep(index, entry);
    }

    fn replaced(&mut self, state: &State) {
        let index = state.applied_index();
        self.note_gap(state);
        self.replaced.send_replace(index);
        for woken in [&self.deliveries, &self.urgent, &self.reconfigured] {
            woken.send_replace(index);
        }
    }
}

//! What a node has put on its disk, because the log took nothing, comes into
//! the log; only the oldest make room, and only a lost disk loses any. However
//! often a batch comes into the log, it counts once.

use super::Moment;
use crate::node::history::{self, Key};
use crate::world::World;
use control::state::CommandOutcome;
use model::entry::Body;
use model::member::NodeId;
use model::observation::{Batch, Observation, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Starts of a node whose batches are told apart.
const STARTS_KEPT: usize = 4;

type Name = (NodeId, u64, u64);

#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiting: BTreeSet<Name>,
    counted: BTreeSet<Name>,
    /// The last starts of each node.
    starts: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Results that were to be counted.
    results: u64,
    /// What was logged of each round.
    pub(super) logged: BTreeMap<Key, Outcome>,
}

impl Watch {
    pub(crate) fn kept(&mut self, batch: &Batch) {
        if !self.counted.contains(&name(batch)) {
            self.waiting.insert(name(batch));
        }
    }

    pub(crate) fn dropped(&mut self, batch: &Batch) {
        self.waiting.remove(&name(batch));
    }

    pub(super) fn entry(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Body::Results(batch) = &moment.entry.body else { return Ok(()) };
        self.waiting.remove(&name(batch));
        if self.counted.insert(name(batch)) {
            self.count(moment, batch);
        }
        let counted: u64 = moment.state.result_counts().values().sum();
        if counted == self.results {
            return Ok(());
        }
        Err(format!("{counted} results are counted, {} came", self.results))
    }

    fn count(&mut self, moment: &Moment<'_>, batch: &Batch) {
        for observation in &batch.observations {
            let key = (observation.slot, batch.location.clone(), observation.scheduled.as_ms());
            history::keep(&mut self.logged, key, observation.outcome);
        }
        // Of the starts of a node that are long over nobody can tell any more what was counted.
        let starts = self.starts.entry(batch.node).or_default();
        let is_old = starts.len() >= STARTS_KEPT && starts.first().is_some_and(|oldest| batch.incarnation < *oldest);
        if moment.applied.outcome != CommandOutcome::Accepted || is_old {
            return;
        }
        starts.insert(batch.incarnation);
        if starts.len() > STARTS_KEPT {
            starts.pop_first();
        }
        let is_known = |observation: &&Observation| moment.state.target(observation.slot).is_some();
        self.results += batch.observations.iter().filter(is_known).count() as u64;
    }
}

const fn name(batch: &Batch) -> Name {
    (batch.node, batch.incarnation, batch.sequence)
}

pub(super) fn holds(world: &World) -> Result<(), String> {
    let waiting = &world.outside.record.watches.results_are_kept.waiting;
    let is_there = |name: &&Name| world.nodes.contains_key(&name.0);
    match waiting.iter().find(is_there) {
        Some((node, start, number)) => {
            Err(format!("batch {number} of start {start} of node {node} never came into the log"))
        }
        None => Ok(()),
    }
}

//! What a node has put on its disk, because the log took nothing, comes into
//! the log and counts once; only the oldest make room, and only a lost disk
//! loses any.

use super::Moment;
use crate::node::history::{self, Key};
use crate::world::World;
use model::entry::Body;
use model::member::NodeId;
use model::observation::{Batch, Outcome};
use std::collections::{BTreeMap, BTreeSet};

type Name = (NodeId, u64, u64);

#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiting: BTreeSet<Name>,
    counted: BTreeSet<Name>,
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
        if !self.counted.insert(name(batch)) {
            return Ok(());
        }
        for observation in &batch.observations {
            let key = (observation.slot, batch.location.clone(), observation.scheduled.as_ms());
            history::keep(&mut self.logged, key, observation.outcome);
        }
        Ok(())
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

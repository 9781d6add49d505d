//! A node that is cut off for longer than a break of a line says so, once; one
//! that is not says nothing.

use crate::world::World;
use control::edge::Notice;
use model::member::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// How long a node may take to say that it is cut off: until it misses the
/// leader, for as long as it then waits, and the steps in between.
const TOLD_WITHIN_MS: u64 = 50_000;
/// How long a node must have been together with the others so that it may not say that it was cut off.
const TOGETHER_MS: u64 = 40_000;

#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Those who have said that they are cut off, and not yet that it is over.
    told: BTreeSet<NodeId>,
    alone_since: BTreeMap<NodeId, u64>,
    well_since: BTreeMap<NodeId, u64>,
}

impl Watch {
    pub(crate) fn notice(&mut self, node: NodeId, notice: Notice, now_ms: u64) -> Result<(), String> {
        match notice {
            Notice::CutOff { .. } => {
                let is_well = self.well_since.get(&node).is_some_and(|since_ms| now_ms > since_ms + TOGETHER_MS);
                if is_well {
                    return Err(format!("node {node} says that it is cut off, and is not"));
                }
                if !self.told.insert(node) {
                    return Err(format!("node {node} says twice that it is cut off"));
                }
            }
            Notice::Together { .. } => {
                if !self.told.remove(&node) {
                    return Err(format!("node {node} says that it is no longer cut off, and never said that it was"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn second(&mut self, world: &World, now_ms: u64) -> Result<(), String> {
        let (alone, well) = (world.lonely_nodes(), world.well_nodes());
        self.alone_since.retain(|node, _| alone.contains(node));
        self.well_since.retain(|node, _| well.contains(node));
        for node in alone {
            self.alone_since.entry(node).or_insert(now_ms);
        }
        for node in well {
            self.well_since.entry(node).or_insert(now_ms);
        }
        self.told.retain(|node| world.nodes.contains_key(node));
        let silent =
            |(node, since_ms): &(&NodeId, &u64)| now_ms > **since_ms + TOLD_WITHIN_MS && !self.told.contains(node);
        match self.alone_since.iter().find(silent) {
            Some((node, since_ms)) => {
                Err(format!("node {node} is cut off for {} s and has not said so", (now_ms - since_ms) / 1_000))
            }
            None => Ok(()),
        }
    }
}

pub(super) fn holds(world: &World) -> Result<(), String> {
    match world.outside.record.watches.a_cut_off_node_tells_once.told.first() {
        Some(node) => Err(format!("node {node} has not said that it is no longer cut off")),
        None => Ok(()),
    }
}

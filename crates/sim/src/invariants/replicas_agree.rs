//! Every node applies the same entries with the same result, and has the same
//! state at the same index, however it came by it: entry by entry, by a
//! snapshot, or anew after a crash.

use crate::world::World;
use control::{Applied, State};
use model::member::NodeId;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often whole states are compared; the answers to every entry are.
const COMPARED_EVERY: u64 = 32;

/// What the first node that came to an index had there.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    entries: BTreeMap<u64, u64>,
    states: BTreeMap<u64, u64>,
}

impl Watch {
    pub(crate) fn applied(
        &mut self,
        node: NodeId,
        index: u64,
        bytes: &[u8],
        applied: &Applied,
        state: &State,
    ) -> Result<(), String> {
        let found = hash(&(bytes, format!("{applied:?}")));
        if *self.entries.entry(index).or_insert(found) != found {
            return Err(format!(
                "at {index} node {node} has another entry, or another answer to it, than the first node there"
            ));
        }
        if index.is_multiple_of(COMPARED_EVERY) { self.compare(node, index, state) } else { Ok(()) }
    }

    pub(crate) fn replaced(&mut self, node: NodeId, index: u64, state: &State) -> Result<(), String> {
        self.compare(node, index, state)
    }

    fn compare(&mut self, node: NodeId, index: u64, state: &State) -> Result<(), String> {
        let found = hash(&state.encode());
        if *self.states.entry(index).or_insert(found) == found {
            return Ok(());
        }
        Err(format!("at {index} the state of node {node} is not that of the first node there"))
    }
}

/// The same in every run of the same program, which is all that is needed.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn holds(world: &World) -> Result<(), String> {
    let mut states: BTreeMap<u64, (NodeId, &State)> = BTreeMap::new();
    for (node, life) in world.nodes.values().filter_map(|node| Some((node.id, node.life.as_ref()?))) {
        let (first, state) = *states.entry(life.state.applied_index()).or_insert((node, &life.state));
        if life.state != *state {
            return Err(format!("nodes {first} and {node} do not have the same state"));
        }
    }
    Ok(())
}

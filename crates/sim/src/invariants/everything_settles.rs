//! When everything works again, the cluster comes together: all nodes are
//! members that vote and are heard, nobody waits for an answer, nothing waits
//! on a disk, and nothing is said to be wrong any more.

use crate::world::World;

/// Entries that a node may be behind at any moment.
const LAG_MAX: u64 = 20;

pub(super) fn holds(world: &World) -> Result<(), String> {
    if let Some(discontent) = world.people.discontent() {
        return Err(format!("somebody still waits for an answer: {discontent}"));
    }
    if !world.is_together() {
        return Err("the nodes are not all members that vote".to_owned());
    }
    for node in world.nodes.values() {
        let id = node.id;
        let Some(life) = &node.life else { return Err(format!("node {id} does not live")) };
        let state = &life.state;
        if state.applied_index() + LAG_MAX < world.outside.record.front {
            return Err(format!("node {id} has applied everything up to {} only", state.applied_index()));
        }
        if !node.disk.spool.is_empty() {
            return Err(format!("{} batches still wait on the disk of node {id}", node.disk.spool.len()));
        }
        if node.disk.file.as_ref().is_some_and(|file| state.offered_by(id) != Some(file.digest.as_str())) {
            return Err(format!("the file of node {id} was not offered"));
        }
        if let Some(absent) = state.members().find(|known| !known.is_present) {
            return Err(format!("node {} is not heard in the eyes of node {id}", absent.member.id));
        }
        if let Some(cut) = state.members().find(|known| known.egress_broken.is_some()) {
            return Err(format!("node {} has no way out in the eyes of node {id}", cut.member.id));
        }
        if let Some(((kind, about), _)) = state.conditions().first_key_value() {
            return Err(format!("{} of node {about} still holds in the eyes of node {id}", kind.name()));
        }
        if let Some((location, _)) = state.locations_set_aside().first_key_value() {
            return Err(format!("{location} is still set aside in the eyes of node {id}"));
        }
    }
    Ok(())
}

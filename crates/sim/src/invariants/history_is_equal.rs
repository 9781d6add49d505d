//! All nodes that keep history have the same one, and nothing in it that was
//! not logged; and if no disk was full and no node was taken out, which may have
//! been the last one to have something, nothing that was logged is missing.

use crate::node::Node;
use crate::world::World;
use model::member::Role;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let record = &world.outside.record;
    let logged = &record.watches.results_are_kept.logged;
    let is_complete = record.story.disks_full == 0 && !record.plan.is_rebuilt;
    let mut first: Option<(&Node, usize)> = None;
    for node in world.nodes.values().filter(|node| node.role == Role::Full) {
        let id = node.id;
        let count = node.disk.history.all().count();
        if let Some((key, _)) = node.disk.history.all().find(|(key, _)| !logged.contains_key(*key)) {
            return Err(format!("node {id} has {key:?}, which was never logged"));
        }
        if is_complete && count != logged.len() {
            return Err(format!("node {id} has {count} results, {} were logged", logged.len()));
        }
        let (other, expected) = *first.get_or_insert((node, count));
        if count != expected || !node.disk.history.all().eq(other.disk.history.all()) {
            return Err(format!("node {id} has {count} results, node {} has {expected}, or others", other.id));
        }
    }
    Ok(())
}

//! The five parts of every service's time sum to the time since it is known, on every node.

use crate::world::World;
use model::limits::DAYS_KEPT;

pub(super) fn holds(world: &World) -> Result<(), String> {
    for state in world.nodes.values().filter_map(|node| Some(&node.life.as_ref()?.state)) {
        let now = state.now();
        for (service, known) in state.services() {
            let known_ms = u64::try_from(now.since(known.ledger.first()).as_millis()).unwrap_or(u64::MAX);
            let total_ms = known.ledger.last_days(DAYS_KEPT, now).total_ms();
            if total_ms != known_ms {
                let id = &service.id;
                return Err(format!("{id}: the parts sum to {total_ms} ms, it is known for {known_ms} ms"));
            }
        }
    }
    Ok(())
}

//! The five parts of every service's time sum to the time since it is known.

use crate::world::World;
use model::limits::DAYS_KEPT;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let now = world.now();
    for (service, known) in world.state.services() {
        let known_ms = u64::try_from(now.since(known.ledger.first()).as_millis()).unwrap_or(u64::MAX);
        let total_ms = known.ledger.last_days(DAYS_KEPT, now).total_ms();
        if total_ms != known_ms {
            return Err(format!(
                "{}: the parts sum to {total_ms} ms, the service is known for {known_ms} ms",
                service.id
            ));
        }
    }
    Ok(())
}

//! When everything has worked for long enough, every service with checks is up and every incident is over.

use crate::world::World;
use model::verdict::ServiceStatus;

pub(super) fn holds(world: &World) -> Result<(), String> {
    for (service, known) in world.state.services() {
        if known.status() != ServiceStatus::Up && !service.checks.is_empty() {
            return Err(format!("{} is still {}", service.id, known.status().name()));
        }
    }
    match world.state.incidents().find(|incident| incident.is_open()) {
        Some(open) => Err(format!("incident {} ({}) is still open", open.id, open.title)),
        None => Ok(()),
    }
}

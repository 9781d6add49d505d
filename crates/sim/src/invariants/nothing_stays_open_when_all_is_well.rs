//! When everything has worked for long enough, every service with checks that
//! somebody can make is up, and its incidents are over.

use crate::world::World;
use model::id::ServiceId;
use model::verdict::ServiceStatus;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let Some(state) = world.nodes.values().find_map(|node| Some(&node.life.as_ref()?.state)) else {
        return Err("no node lives".to_owned());
    };
    for (service, known) in state.services() {
        if known.status() != ServiceStatus::Up && !service.checks.is_empty() && world.is_watchable(state, service) {
            let slots = state.slots_of(&service.id).iter();
            let checks = slots.filter_map(|slot| Some((state.target(*slot)?.1, state.check(*slot)?)));
            let checks: Vec<String> = checks
                .map(|(check, known)| format!("{} {} from {:?}", check.id, known.verdict.name(), check.from))
                .collect();
            return Err(format!("{} is still {}: {}", service.id, known.status().name(), checks.join(", ")));
        }
    }
    // Of what nobody can look at any more nobody knows that it is over.
    let can_end =
        |id: &ServiceId| state.services().all(|(service, _)| service.id != *id || world.is_watchable(state, service));
    match state.incidents().find(|incident| incident.is_open() && can_end(&incident.service)) {
        Some(open) => Err(format!("incident {} ({}) is still open", open.id, open.title)),
        None => Ok(()),
    }
}

//! No incident of an outage without as many failed rounds as its check demands.

use crate::world::World;
use model::check::CheckKind;
use model::verdict::ServiceStatus;

pub(super) fn holds(world: &World) -> Result<(), String> {
    // A check that failed may be gone by now.
    if world.is_changed {
        return Ok(());
    }
    for incident in world.state.incidents().filter(|incident| incident.worst == ServiceStatus::Down) {
        let failed = world.state.slots_of(&incident.service).iter().any(|slot| {
            let demanded = world.state.target(*slot).map_or(1, |(_, check)| match check.kind {
                CheckKind::Heartbeat(_) => 1,
                _ => u64::from(check.down_after),
            });
            world.failed_rounds.get(slot).is_some_and(|failed| *failed >= demanded)
        });
        if !failed {
            return Err(format!(
                "incident {} ({}) was opened although no check failed often enough",
                incident.id, incident.title
            ));
        }
    }
    Ok(())
}

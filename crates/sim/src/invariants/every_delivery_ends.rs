//! Every delivery that was decided is delivered when the receivers are well
//! again, and everybody who was told of a begin is told of its end, except who
//! was removed meanwhile or refused to listen.

use crate::world::World;
use control::delivery::DeliveryState;
use model::id::ReceiverId;
use model::message::Step;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let Some(state) = world.nodes.values().find_map(|node| Some(&node.life.as_ref()?.state)) else {
        return Err("no node lives".to_owned());
    };
    let receivers = &world.outside.receivers;
    let removed = &world.outside.record.watches.acknowledged_commands_survive.receivers_removed;
    let stays = |receiver: &ReceiverId| !removed.contains(receiver);
    let is_taken = |key: &str| receivers.taken.iter().any(|taken| taken.key == key);
    let is_configured = |receiver: &ReceiverId| state.configuration().receiver(receiver).is_some();
    let mut orphans = state.deliveries().filter(|delivery| !is_configured(&delivery.receiver));
    if let Some(orphan) = orphans.find(|delivery| !delivery.state.is_finished()) {
        return Err(format!("{} waits for a receiver that is gone", orphan.message.key));
    }
    for delivery in state.deliveries().filter(|delivery| stays(&delivery.receiver)) {
        let key = &delivery.message.key;
        if receivers.refused.contains(key) {
            continue;
        }
        if !matches!(delivery.state, DeliveryState::Delivered { .. }) {
            return Err(format!("{key} is {}", delivery.state.name()));
        }
        if !is_taken(key) {
            return Err(format!("{key} counts as delivered, but nobody took it"));
        }
    }
    for incident in state.incidents().filter(|incident| !incident.is_open()) {
        for receiver in incident.told.iter().filter(|receiver| stays(receiver)) {
            let key = format!("incident-{}-{receiver}-{}", incident.id, Step::Resolved.name());
            if !is_taken(&key) && !receivers.refused.contains(&key) {
                return Err(format!("{receiver} was told that incident {} began, never that it ended", incident.id));
            }
        }
    }
    Ok(())
}

//! Every delivery that was decided is delivered when the receivers are well
//! again, and everybody who was told of a begin is told of its end, except who was removed meanwhile.

use crate::world::World;
use control::delivery::DeliveryState;
use model::id::ReceiverId;
use model::message::Step;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let stays = |receiver: &ReceiverId| !world.removed.contains(receiver);
    for delivery in world.state.deliveries().filter(|delivery| stays(&delivery.receiver)) {
        if !matches!(delivery.state, DeliveryState::Delivered { .. }) {
            return Err(format!("{} is {}", delivery.message.key, delivery.state.name()));
        }
        if !world.taken.iter().any(|taken| taken.key == delivery.message.key) {
            return Err(format!("{} counts as delivered, but nobody took it", delivery.message.key));
        }
    }
    for incident in world.state.incidents().filter(|incident| !incident.is_open()) {
        for receiver in incident.told.iter().filter(|receiver| stays(receiver)) {
            let key = format!("incident-{}-{receiver}-{}", incident.id, Step::Resolved.name());
            if !world.taken.iter().any(|taken| taken.key == key) {
                return Err(format!("{receiver} was told that incident {} began, never that it ended", incident.id));
            }
        }
    }
    Ok(())
}

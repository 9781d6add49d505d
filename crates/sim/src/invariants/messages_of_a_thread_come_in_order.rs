//! Nobody hears of the end of an incident before its begin.

use crate::world::World;
use model::message::Step;

pub(super) fn holds(world: &World) -> Result<(), String> {
    for (at, taken) in world.taken.iter().enumerate() {
        // The begin of what somebody was removed and added again may be given up.
        let stayed = !world.removed.contains(&taken.receiver);
        if stayed && taken.step != Step::Opened && taken.step != Step::Own {
            let begun = world.taken[..at].iter().any(|before| {
                before.receiver == taken.receiver
                    && before.thread == taken.thread
                    && matches!(before.step, Step::Opened | Step::Own)
            });
            if !begun {
                return Err(format!(
                    "{} heard {} of {} before its begin",
                    taken.receiver,
                    taken.step.name(),
                    taken.thread
                ));
            }
        }
    }
    Ok(())
}

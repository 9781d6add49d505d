//! Nobody hears of the end of an incident before its begin.

use crate::world::World;
use model::message::Step;

/// How the threads of what a node tells on its own account are called; of those nothing is promised.
const ALONE: &str = "cut-off-";

pub(super) fn holds(world: &World) -> Result<(), String> {
    let receivers = &world.outside.receivers;
    let removed = &world.outside.record.watches.acknowledged_commands_survive.receivers_removed;
    for (at, taken) in receivers.taken.iter().enumerate() {
        // The begin of what somebody was removed and added again, or refused, may be given up.
        let is_owed = !removed.contains(&taken.receiver)
            && !taken.thread.starts_with(ALONE)
            && !receivers.refused.iter().any(|key| key.starts_with(&taken.thread));
        if is_owed && !matches!(taken.step, Step::Opened | Step::Own | Step::Test) {
            let is_begin = |before: &&crate::outside::receivers::Taken| {
                before.receiver == taken.receiver
                    && before.thread == taken.thread
                    && matches!(before.step, Step::Opened | Step::Own)
            };
            if !receivers.taken[..at].iter().any(|before| is_begin(&before)) {
                let (who, step, thread) = (&taken.receiver, taken.step.name(), &taken.thread);
                return Err(format!("{who} heard {step} of {thread} before its begin"));
            }
        }
    }
    Ok(())
}

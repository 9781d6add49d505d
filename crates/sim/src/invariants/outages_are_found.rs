//! What does not work is found down in its time, while most of the places that
//! look at it have a node that is well: the next round sees it fail, the others
//! look at once, and a few more rounds confirm it.

use super::{Moment, checks_are_made};
use crate::world::World;
use model::check::{Check, CheckKind};
use model::id::{CheckSlot, LocationId};
use model::member::{NodeId, Role};
use model::verdict::Verdict;
use std::collections::BTreeMap;

/// What all takes beside rounds and pauses: entries on their way, clocks that
/// run slow, and a node that is taken over from.
const BESIDES_MS: u64 = 60_000;

/// When each place was set aside last. What it held to be failing it has to see
/// anew, and its nodes, which know it for confirmed, do not hurry.
#[derive(Debug, Default)]
pub(super) struct Watch {
    aside_ms: BTreeMap<LocationId, u64>,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>) {
        for location in moment.state.locations_set_aside().keys() {
            self.aside_ms.insert(location.clone(), moment.now_ms);
        }
    }

    pub(super) fn second(&self, world: &World, made: &checks_are_made::Watch, now_ms: u64) -> Result<(), String> {
        let leader = world.leader().and_then(|leader| world.nodes.get(&leader)?.life.as_ref());
        let Some(state) = leader.map(|life| &life.state) else { return Ok(()) };
        for slot in state.slots() {
            let (Some((_, check)), Some(known)) = (state.target(slot), state.check(slot)) else { continue };
            let down_ms = world.outside.targets.down_for(&check.id).unwrap_or(0) * 1_000;
            let is_heartbeat = matches!(check.kind, CheckKind::Heartbeat(_));
            if is_heartbeat || known.verdict == Verdict::Down || down_ms < takes_ms(check) {
                continue;
            }
            let looks = |location: &&LocationId| self.has_looked(world, made, (slot, check, *location), now_ms);
            if check.from.iter().filter(looks).count() * 2 > check.from.len() {
                let (id, verdict) = (&check.id, known.verdict.name());
                return Err(format!("{id} has not worked for {} s, and is said to be {verdict}", down_ms / 1_000));
            }
        }
        Ok(())
    }

    /// Whether a place has had the time to find out.
    fn has_looked(
        &self,
        world: &World,
        made: &checks_are_made::Watch,
        (slot, check, location): (CheckSlot, &Check, &LocationId),
        now_ms: u64,
    ) -> bool {
        let is_there =
            |id: &NodeId| world.nodes.get(id).is_some_and(|node| node.role == Role::Full && node.location == *location);
        let unhurried_ms = takes_ms(check) + milliseconds(check.every) * u64::from(check.down_after);
        self.aside_ms.get(location).is_none_or(|aside_ms| now_ms >= aside_ms + unhurried_ms)
            && made.is_wanted_for(&(slot, location.clone()), takes_ms(check), now_ms)
            && made.well_for(takes_ms(check), now_ms).any(is_there)
    }
}

/// How long it may take until a check that does not work is said to be down.
fn takes_ms(check: &Check) -> u64 {
    let confirmed = (check.retry + check.timeout) * u32::from(check.down_after);
    milliseconds(check.every + check.timeout + confirmed) + BESIDES_MS
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

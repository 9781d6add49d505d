//! What must hold in every run, one file for each property.

mod every_delivery_ends;
mod messages_of_a_thread_come_in_order;
mod no_alarm_without_a_failure;
mod nothing_stays_open_when_all_is_well;
mod replay_gives_the_same_state;
mod time_adds_up;

use crate::world::World;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// Which property.
    pub property: &'static str,
    /// What was found.
    pub found: String,
}

type Property = fn(&World) -> Result<(), String>;

fn hold(world: &World, properties: &[(&'static str, Property)]) -> Result<(), Violation> {
    for (property, holds) in properties {
        holds(world).map_err(|found| Violation { seed: world.seed, property, found })?;
    }
    Ok(())
}

/// Checks what must hold at every moment.
pub fn check_while_running(world: &World) -> Result<(), Violation> {
    hold(
        world,
        &[
            ("no_alarm_without_a_failure", no_alarm_without_a_failure::holds),
            ("replay_gives_the_same_state", replay_gives_the_same_state::holds),
        ],
    )
}

/// Checks what must hold when the world has been well for long enough.
pub fn check_at_end(world: &World) -> Result<(), Violation> {
    hold(
        world,
        &[
            ("nothing_stays_open_when_all_is_well", nothing_stays_open_when_all_is_well::holds),
            ("every_delivery_ends", every_delivery_ends::holds),
            ("messages_of_a_thread_come_in_order", messages_of_a_thread_come_in_order::holds),
            ("time_adds_up", time_adds_up::holds),
        ],
    )
}

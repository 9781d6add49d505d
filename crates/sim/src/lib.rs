//! A whole Mainstay in virtual time, for seeds by the thousand.
//!
//! Everything that decides is real: the schedule, the collector, the machine,
//! the choice of due deliveries. Only the world is made up: targets that fail,
//! limp and flap, receivers that refuse and hang, nodes that die between two
//! entries. **A seed always gives the same run**, so a failure is a number.
//!
//! Reading order: [`world`], `changes`, [`weather`], [`random`], then one file for each
//! property in `invariants`.

mod changes;
mod invariants;
pub mod random;
pub mod weather;
pub mod world;

pub use invariants::{Violation, check_at_end, check_while_running};

/// Runs one seed to its end; returns what was violated, with the seed's story.
pub fn run(seed: u64) -> Result<world::Story, Violation> {
    let mut world = world::World::new(seed);
    while world.step() {
        check_while_running(&world)?;
    }
    world.calm_down();
    check_at_end(&world)?;
    Ok(world.story())
}

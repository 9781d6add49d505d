//! A node that dies and starts again reaches the state it had.

use crate::world::World;

pub(super) fn holds(world: &World) -> Result<(), String> {
    if world.replayed_equal { Ok(()) } else { Err("the state after a restart differs from the one before".to_owned()) }
}

//! Of the copies of a message that a receiver took all but one said of
//! themselves that they may be doubles.

use crate::world::World;
use std::collections::BTreeMap;

pub(super) fn holds(world: &World) -> Result<(), String> {
    let mut unmarked: BTreeMap<&str, u32> = BTreeMap::new();
    for taken in world.outside.receivers.taken.iter().filter(|taken| !taken.is_marked) {
        *unmarked.entry(&taken.key).or_default() += 1;
    }
    match unmarked.into_iter().find(|(_, count)| *count > 1) {
        Some((key, count)) => Err(format!("{key} was taken {count} times without a word that it may be double")),
        None => Ok(()),
    }
}

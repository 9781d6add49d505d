//! The store through its front door.

mod common;
mod crash;
mod damage;
mod disk_full;
mod opening;
mod results;
mod size;
mod upkeep;

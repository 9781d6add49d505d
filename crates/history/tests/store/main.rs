//! The store through its front door.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod backup;
mod common;
mod crash;
mod damage;
mod disk_full;
mod exchange;
mod gaps;
mod hostile;
mod import_crash;
mod opening;
mod pull;
mod results;
mod size;
mod upkeep;

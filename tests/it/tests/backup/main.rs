//! Backups with the real binary: what comes back, what is refused on that way,
//! what a server does by itself, and a cluster that goes on where three nodes
//! were lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

mod by_itself;
mod damaged;
mod stage;
mod three;
mod whole;

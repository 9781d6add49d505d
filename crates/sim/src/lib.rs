//! A whole cluster of Mainstay in virtual time, for seeds by the thousand.
//!
//! ```text
//!  people, faults, targets, receivers, lines (outside)
//!        │        ▲
//!        ▼        │            entries            ┌────────────┐
//!   node ─ loops ─┴─▶ log between the nodes ────▶ │ control:   │──▶ record ──▶ invariants
//!        ◀── effects ───────────────────────────  │ the real   │
//!                                                 │ machine    │
//!                                                 └────────────┘
//! ```
//!
//! One, two, three or five nodes live on one thread. Everything that decides is
//! real: the machine, on each node for itself; the schedule, the share of the
//! checks and the collector; whom the leader hears and what it does about
//! members; which deliveries are due; what a node that is cut off says. The log
//! between the nodes is a made-up one that keeps raft's promises and shows its
//! failures. Everything else is made up and goes wrong: nodes die, stand still
//! and lose their disks, lines are cut, slow, lossy and repeat themselves,
//! clocks jump, targets and receivers fail, people change everything meanwhile.
//! Then all works again, and everything must settle.
//!
//! **A seed always gives the same run**, so a failure is a number.
//!
//! Reading order: `world`, `plan`, `faults`, `people`, `outside`, `node`,
//! `log`, `record`, then one file for each property in `invariants`.

mod clock;
mod faults;
mod invariants;
mod log;
mod many;
mod node;
mod outside;
mod people;
mod plan;
mod random;
mod record;
mod world;

pub use many::{After, Found, run_many};
pub use record::Story;

use outside::trace::Trace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

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

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, property, found } = self;
        write!(f, "seed {seed}: {property} does not hold: {found}\nagain: cargo xtask sim --seeds 1 --first {seed}")
    }
}

/// Runs one seed to its end.
///
/// # Errors
/// The first property that did not hold.
pub fn run(seed: u64) -> Result<Story, Violation> {
    live(&mut World::new(seed, Trace::default()), seed)
}

/// Runs one seed and tells its last steps, so many at most.
///
/// # Errors
/// The first property that did not hold, and what came before.
pub fn tell(seed: u64, steps: usize) -> Result<Story, (Violation, Vec<String>)> {
    let mut world = World::new(seed, Trace::read(steps));
    live(&mut world, seed).map_err(|violation| (violation, world.outside.trace.into_lines()))
}

/// An assertion of the machine that fails is a property like any other.
fn live(world: &mut World, seed: u64) -> Result<Story, Violation> {
    catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation { seed, property: "nothing_panics", found: text.unwrap_or_default() })
    })
}

//! The replicated machine: every decision of Mainstay, none of the world.
pub mod state;
pub use state::{Applied, CommandOutcome, Effect, State};

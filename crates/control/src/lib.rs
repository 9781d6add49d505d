//! The replicated machine: every decision of Mainstay, none of the world.
//!
//! ```text
//!              ┌───────────────── State::apply ──────────────────┐
//!   entry ───▶ │ admit ─▶ judge ─▶ standing ─▶ alert ─▶ delivery │ ───▶ effects
//!              └──────────────────────┬──────────────────────────┘
//!                                     ▼
//!                                page (projection)
//! ```
//!
//! All nodes apply the same entries in the same order and reach the same
//! state. **Nothing here asks a clock, opens a socket or a file, or draws a
//! random number**: time is the entry's stamp, what is to be done leaves as an
//! [`Effect`], and every choice returns its [`decision::Reason`], which is the
//! log field, the metric label and the sentence people read.
//!
//! Reading order: [`state`], [`judge`], `rounds`, [`aside`], [`flap`],
//! [`standing`], [`ledger`], [`alert`], [`incident`], [`delivery`], [`admit`],
//! [`members`], [`heartbeat`], [`decision`], [`page`], [`leader`],
//! [`shared_fate`], [`edge`].

pub mod admit;
pub mod alert;
pub mod aside;
pub mod decision;
pub mod delivery;
pub mod edge;
pub mod flap;
pub mod heartbeat;
pub mod incident;
mod index;
pub mod judge;
pub mod leader;
pub mod ledger;
pub mod members;
pub mod page;
mod rounds;
pub mod shards;
pub mod shared_fate;
pub mod standing;
pub mod state;

pub use state::{Applied, CommandOutcome, Effect, MACHINE_VERSION, State};

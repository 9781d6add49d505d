//! The store of check results: what applied batches held, and what it came to.
//!
//! ```text
//!             apply                    maintain                 maintain
//!   batches ────────▶ buffer ─▶ head ──────────▶ chunks ──────────────▶ roll-ups
//!   of the log       (memory)  (a row a result)  (columns, 2 h)  (5 minutes, days)
//! ```
//!
//! Every result is in exactly one of these places or, for moments, in two; it
//! is found by its key of check, location and scheduled time, so that **no
//! result is ever counted twice**. Latencies are rounded when they are applied,
//! so that **sealing changes no answer**. The log is the durable copy until
//! [`Store::flush`] says otherwise: after a crash the caller applies again
//! what lies above [`Store::watermark`].
//!
//! Several nodes keep a store each. **What a store holds follows from what it
//! was given and not from the order**, so they can be compared by [`exchange`]
//! and completed from each other. What a store knows that it lacks is a [`Gap`].
//!
//! The store decides nothing: not what a verdict is, not what happens when the
//! disk fills. It reads no wall clock either; maintenance is told the time.
//!
//! Reading order: `keys`, `codec`, `evidence`, `buffer`, `shards`, `gap`,
//! `state`, `manifest`, `tables`, `store` (opening, applying, writing), `read`,
//! `maintain`, [`exchange`], `backup`, [`fill`].

mod backup;
mod buffer;
mod codec;
mod error;
mod evidence;
pub mod exchange;
pub mod fill;
mod gap;
mod keys;
pub mod limits;
mod maintain;
mod manifest;
mod read;
mod shards;
mod state;
mod store;
mod tables;

pub use backup::BackupError;
pub use codec::chunk::Precision;
pub use codec::rollup::{LatencySummary, Resolution, Rollup, Totals, merged};
pub use error::{ApplyError, OpenError, ReadError, WriteError};
pub use gap::Gap;
pub use maintain::{Budget, Maintained};
pub use read::{Damage, Evidence, Read, Sample};
pub use state::FORMAT;
pub use store::{Applied, DiskUsage, Options, Store};

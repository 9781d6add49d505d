//! The replicated log: what is written here is on disk, in order, and applied.
//!
//! Elections and replication are openraft's, durability is SQLite's, the
//! machine is `control`'s; this room is what lies between. A single node is a
//! cluster of one on the same path. **Nothing that was acknowledged is ever
//! lost**: an answer follows the flush, and what cannot be read back whole is
//! refused with what to do, never guessed.
//!
//! ```text
//!  propose ─► group, stamp ─► openraft ─► thread "log" (SQLite, flush)
//!                                │                 │ flushed
//!  answer ◄─ publish state ◄─ thread "machine" ◄───┘ committed
//!                                └─► observer: history, effects, pages
//! ```
//!
//! It does not know what an entry means, performs no effect, and never asks
//! for the time but to stamp an entry.
//!
//! Reading order: [`Node`] (`node`), `open`, `directory`, `identity`;
//! `propose`, `clock`; `store`, `writer`, `database`, `wal`, `meta`, `row`;
//! `machine`, `snapshot`, `housekeeping`, `room`.

mod clock;
mod database;
mod directory;
mod failure;
mod files;
mod filesystem;
mod housekeeping;
mod identity;
mod machine;
mod meta;
mod network;
mod node;
mod observer;
mod open;
mod propose;
mod room;
mod row;
mod snapshot;
mod store;
mod stored;
mod types;
mod wal;
mod writer;

#[cfg(test)]
mod suite;

pub use clock::{ClockEvent, ClockModel};
pub use database::LogError;
pub use directory::{DirectoryError, prepare};
pub use failure::Failure;
pub use housekeeping::SnapshotPolicy;
pub use identity::{ClusterId, IdentityError};
pub use node::{CloseError, Node, Options, RESERVE_BYTES_DEFAULT, Status};
pub use observer::Observer;
pub use open::{OpenError, Recovery};
pub use propose::{ProposeError, Proposed};
pub use room::Room;
pub use snapshot::SnapshotError;
pub use types::{NodeId, Peer};

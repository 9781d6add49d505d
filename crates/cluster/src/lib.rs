//! The replicated log: what is written here is on the disks of a majority, in
//! order, and applied.
//!
//! Elections and replication are openraft's, durability is SQLite's, the
//! machine is `control`'s; this room is what lies between, on each node and
//! between nodes. A single node is a cluster of one on the same path. **Nothing
//! that was acknowledged is ever lost**: an answer follows the flushes, and what
//! cannot be read back whole is refused with what to do, never guessed.
//!
//! ```text
//!  propose ─► leader? ─► group, stamp ─► openraft ─► thread "log" (SQLite, flush)
//!     │ no                                 │  ▲            │ flushed
//!     └─► net ─► the leader                │  └── net ◄─── other nodes ───┐
//!                                          ▼            committed         ▼
//!  answer ◄─ publish state ◄──────── thread "machine" ◄──────── majority has it
//!                └─► observer: history, effects, pages
//! ```
//!
//! It does not know what an entry means, performs no effect, and never asks
//! for the time but to stamp an entry. Who ought to belong to the cluster is in
//! the state, and what is to be done about it is decided by `control::leader`.
//!
//! Reading order: [`Node`] (`node`), `start`, `parts`, `open`, `directory`,
//! `identity`; `propose`, `forward`, `clock`; `store`, `writer`, `database`,
//! `change`, `wal`, `meta`, `row`; `machine`, `snapshot`, `housekeeping`, `room`.
//! Between nodes: `net`, `wire`, `serve`, `network`, `peers`, `contact`,
//! `timing`, `elector`, `handover`; `marks`, `guard`, `pulse`; `members`, `tend`,
//! `found`, `invite`, `join`, `acquaintance`, `credentials`, `remove`;
//! `transplant`, `recover`.

mod acquaintance;
mod change;
mod clock;
mod contact;
mod credentials;
mod database;
mod directory;
mod elector;
mod failure;
mod files;
mod filesystem;
mod forward;
mod found;
mod guard;
mod handover;
mod housekeeping;
mod identity;
mod invite;
mod join;
mod machine;
mod marks;
mod members;
mod meta;
mod net;
mod network;
mod node;
mod observer;
mod open;
mod parts;
mod peers;
mod propose;
mod pulse;
mod recover;
mod remove;
mod room;
mod row;
mod serve;
mod service;
mod snapshot;
mod start;
mod status;
mod store;
mod stored;
mod tend;
mod timing;
mod transplant;
mod types;
mod wal;
mod wire;
mod writer;

#[cfg(test)]
mod suite;

pub use acquaintance::AcquaintanceError;
pub use clock::{ClockEvent, ClockModel};
pub use credentials::CredentialsError;
pub use database::LogError;
pub use directory::{DirectoryError, prepare};
pub use failure::Failure;
pub use forward::ReadError;
pub use found::FoundError;
pub use handover::HandOverError;
pub use housekeeping::SnapshotPolicy;
pub use identity::{ClusterId, IdentityError};
pub use invite::{InviteError, InviteOptions};
pub use join::{JoinError, JoinOptions, Joined, join};
pub use marks::Behind;
pub use net::{AuthorityError, KeyError, SealError, Ticket, TicketError, Token};
pub use node::{About, CloseError, Node, Options, RESERVE_BYTES_DEFAULT};
pub use observer::Observer;
pub use open::{OpenError, Recovery};
pub use propose::{ProposeError, Proposed};
pub use recover::{RecoverError, Recovered, identity_of, recover};
pub use remove::RemoveError;
pub use room::Room;
pub use service::{AskError, PeerService};
pub use snapshot::SnapshotError;
pub use status::{PeerStatus, Status};
pub use timing::Profile;
pub use transplant::{Founded, TransplantError, transplant};
pub use types::{NodeId, Peer};

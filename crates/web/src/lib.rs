//! Public page, API and metrics, answered from memory.
//!
//! ```text
//!   front door ── publish(State) ──▶ one immutable view ──▶ page, API, metrics ──▶ visitors
//!        ▲                                                                          │
//!        └────────────── Commands (heartbeats, wishes; answered after commit) ◀─────┘
//! ```
//!
//! This room turns requests into reads of a [`control::State`] that somebody
//! else swaps, and into [`Commands`] that somebody else commits. It decides
//! nothing, keeps nothing that must survive, and serves nothing from disk.
//! **No request changes the state except through [`Commands`], and a wish other
//! than a heartbeat is taken from the local socket only.**
//!
//! Everything a stranger can send has a bound in [`options`]: heads, bodies,
//! connections, subscribers, and the time for each.
//!
//! Reading order: [`options`], [`commands`], [`api`], then inside: `door` and `serve`
//! (connections), `answer` (one request), `routes` (what is where), `freshness` (whether it is the present),
//! `cached` and `document` (made once, served often), `page`, `statuspage`, `operator`, `metrics`, `heartbeat`, `events`.

pub mod api;
pub mod commands;
pub mod options;

mod answer;
mod cached;
mod document;
mod door;
mod error_page;
mod events;
mod freshness;
mod heartbeat;
mod lookup;
mod metrics;
mod operator;
mod page;
mod published;
mod redact;
mod routes;
mod serve;
mod shared;
mod stalling;
mod statuspage;
mod visitor;

pub use commands::Commands;
pub use options::Options;
pub use serve::Web;

//! Backups: one file that holds all of a node, and the way back from it.
//!
//! ```text
//!  command ──┐             ┌─ state (one index) ──┐
//!  timetable ┴─▶ desk ─▶ make                     ├─▶ archive ─▶ seal ─▶ target
//!                          └─ history (a copy) ───┘   (tar)    (zstd, age)  (file, bucket)
//!  restore ◀─────────────────────────────────── archive ◀─ seal ◀─ target
//! ```
//!
//! The server makes them, because it has the files; `mainstay restore` works
//! without one. **A backup is whole or not there, and is believed only after
//! its last byte was read.** When one is due is decided in `control::edge`.
//!
//! Reading order: [`manifest`], [`archive`], [`seal`]; [`name`], [`target`],
//! [`bucket`]; [`tide`], [`make`], [`desk`]; [`restore`].

mod archive;
mod bucket;
mod desk;
mod make;
mod manifest;
mod name;
mod progress;
mod restore;
mod seal;
mod target;
mod tide;

pub(crate) use desk::{Desk, first_line};
pub(crate) use progress::Progress;
pub(crate) use restore::{Inside, RestoreWish, refuse_unfinished, refuse_what_is_there, restore, verify};
pub(crate) use seal::Keys;
pub(crate) use tide::Tide;

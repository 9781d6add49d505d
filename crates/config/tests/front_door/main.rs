//! The room through its front door: what it accepts, what it refuses and in
//! which words, that nothing breaks it, and that it is fast.
//!
//! Fixtures are in `tests/accepted` and `tests/mistakes`; `UPDATE=1 cargo test
//! -p config` writes what they become anew, to be read in the diff.

mod accepted;
mod common;
mod golden;
mod hostile;
mod mistakes;
mod speed;

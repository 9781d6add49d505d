//! Tests with the real binary, real servers and a real browser; few and slow.
//!
//! This library is the stage: it starts things and takes them down again. The
//! plays are in `tests/`, one file per subject. Knows no room of Mainstay: the
//! tests see what a user sees, which is a program, its ports and its files.
//!
//! Rules of the stage: every server listens on loopback, or in a place of a
//! [`world`] of its test, on a port that was free, keeps its files in a directory of its own, and dies with its whole
//! process group when its value is dropped; every wait has a bound and says
//! what it waited for; a program that is not installed skips its tests, and
//! fails them where `CI` is set ([`program::require`]).
//!
//! Reading order: [`program`], [`process`], [`wait`], [`http`], [`certificates`],
//! [`servers`], [`webhook`], [`mainstay`], [`chromium`]; for several nodes
//! [`world`], [`door`], [`node`], [`cluster`], and
//! for all of it at random [`torture`].

pub mod certificates;
pub mod chromium;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod door;
pub mod http;
pub mod linearizability;
pub mod mainstay;
pub mod network;
pub mod node;
pub mod process;
pub mod program;
pub mod random;
pub mod servers;
pub mod torture;
pub mod wait;
pub mod wall;
pub mod webhook;
pub mod world;

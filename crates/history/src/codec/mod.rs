//! How results look on disk: pure functions from values to bytes and back.
//!
//! Reading order: `latency`, `column`, `chunk`, `row`, `rollup`. Each stored
//! value begins with its version, so that a newer program can change the form
//! and still read the old one.

pub(crate) mod chunk;
pub(crate) mod column;
pub(crate) mod latency;
pub(crate) mod rollup;
pub(crate) mod row;

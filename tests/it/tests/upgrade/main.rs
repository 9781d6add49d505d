//! What an older version wrote is opened and shows the same; what a newer one
//! wrote is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

mod newer;
mod previous;

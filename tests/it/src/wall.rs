//! The wall clock, and the times that Mainstay writes.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Milliseconds since 1970 of a time such as `2026-11-20T21:23:00.250Z`, by the
/// system's own `date`.
///
/// # Panics
/// It is no time.
pub fn read_ms(text: &str) -> u64 {
    let said = Command::new("date").args(["--date", text, "+%s%3N"]).output().expect("date is everywhere");
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap_or_else(|_| panic!("not a time: {text:?}"))
}

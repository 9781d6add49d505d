//! When runs began that announced it, so that their ends know how long they took.
//!
//! Kept in memory only: a run under way while the node restarts is reported
//! without its time, and nothing is judged by it.

use model::id::CheckSlot;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Runs under way that are remembered; beyond it the oldest is forgotten.
const STARTS_MAX: usize = 10_000;
/// Longest name of a run; healthchecks uses UUIDs of 36 characters.
const RUN_LENGTH_MAX: usize = 64;

/// Runs under way.
#[derive(Default)]
pub(crate) struct Starts(Mutex<BTreeMap<(CheckSlot, String), Instant>>);

impl Starts {
    /// A run begins.
    pub(crate) fn note(&self, slot: CheckSlot, run: &str) {
        let mut starts = self.0.lock().expect("nothing panics with it held");
        starts.insert(key(slot, run), Instant::now());
        if starts.len() > STARTS_MAX {
            let oldest = starts.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.map(|key| starts.remove(&key));
        }
    }

    /// A run ends; how long it took, if its begin is known.
    pub(crate) fn took(&self, slot: CheckSlot, run: &str) -> Option<Duration> {
        let begun = self.0.lock().expect("nothing panics with it held").remove(&key(slot, run))?;
        Some(begun.elapsed())
    }
}

fn key(slot: CheckSlot, run: &str) -> (CheckSlot, String) {
    (slot, run.chars().take(RUN_LENGTH_MAX).collect())
}

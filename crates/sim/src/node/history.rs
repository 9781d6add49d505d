//! The results a node keeps, and how it comes by those that it lacks.
//!
//! A result is known by check, location and scheduled time; of two of the same
//! round the same one is kept in whatever order they come. Windows end at aligned times, so that two nodes compare them by
//! checksum. **No result is counted twice.**

use super::Node;
use crate::outside::{Message, Outside};
use model::id::{CheckSlot, LocationId};
use model::member::Role;
use model::observation::{Batch, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length of a window.
const WINDOW_MS: i64 = 5 * 60_000;
/// How often a node compares a window with a peer: the bound on the rate.
const ASKED_EVERY_MS: u64 = 2_000;

/// What names a result.
pub(crate) type Key = (CheckSlot, LocationId, i64);

/// The results of a window, as one node has them.
#[derive(Debug)]
pub(crate) struct Chunk {
    window: i64,
    results: BTreeMap<Key, Outcome>,
}

/// All results a node has.
#[derive(Debug, Default)]
pub(crate) struct History {
    watermark: u64,
    windows: BTreeMap<i64, BTreeMap<Key, Outcome>>,
    asked_ms: u64,
}

impl History {
    /// Keeps the results of an entry.
    pub(super) fn keep(&mut self, index: u64, batch: &Batch) {
        if index <= self.watermark {
            return;
        }
        self.watermark = index;
        for observation in &batch.observations {
            let scheduled_ms = observation.scheduled.as_ms();
            let key = (observation.slot, batch.location.clone(), scheduled_ms);
            let window = self.windows.entry(scheduled_ms.div_euclid(WINDOW_MS)).or_default();
            keep(window, key, observation.outcome);
        }
    }

    /// A snapshot came: what lay in between was never seen here.
    pub(super) fn misses_upto(&mut self, index: u64) {
        self.watermark = self.watermark.max(index);
    }

    /// Takes what a peer has.
    pub(super) fn merge(&mut self, chunk: &Chunk) {
        let window = self.windows.entry(chunk.window).or_default();
        for (key, outcome) in &chunk.results {
            keep(window, key.clone(), *outcome);
        }
    }

    fn checksum(&self, window: i64) -> u64 {
        let results = self.windows.get(&window).into_iter().flatten();
        results.fold(0, |sum, ((slot, location, scheduled), outcome)| {
            let word = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
            let location = location.as_str().bytes().fold(0, |sum, byte| word(sum, u64::from(byte)));
            [u64::from(slot.0), location, *scheduled as u64, *outcome as u64].into_iter().fold(sum, word)
        })
    }

    /// All results, for comparing.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Outcome)> {
        self.windows.values().flatten()
    }
}

/// Keeps a result, and of two of the same round that of who looked, or else
/// the worse: the history room's own rule, so far as outcomes go.
pub(crate) fn keep(results: &mut BTreeMap<Key, Outcome>, key: Key, outcome: Outcome) {
    let rank = |outcome| match outcome {
        Outcome::Own => 0,
        Outcome::Pass => 1,
        Outcome::Degraded => 2,
        Outcome::Fail => 3,
    };
    let kept = results.entry(key).or_insert(outcome);
    if rank(outcome) > rank(*kept) {
        *kept = outcome;
    }
}

impl Node {
    /// Compares a window with a peer now and then, and asks for it if they differ.
    pub(super) fn ask_for_history(&mut self, outside: &mut Outside) {
        if self.role == Role::Witness || self.disk.is_full || outside.now < self.disk.history.asked_ms + ASKED_EVERY_MS
        {
            return;
        }
        self.disk.history.asked_ms = outside.now;
        let id = self.id;
        let state = &self.life_mut().state;
        let peers: Vec<_> = state
            .members()
            .filter(|known| known.makes_checks() && known.member.id != id)
            .map(|known| known.member.id)
            .collect();
        let Some(peer) = outside.random.pick(&peers).copied() else { return };
        // A peer may have windows of which nothing is known here, so they are counted, not listed.
        let first = outside.record.begin_window(WINDOW_MS);
        let current = outside.ideal().as_ms().div_euclid(WINDOW_MS);
        let window = first + outside.random.between(0, (current - first + 1) as u64) as i64;
        let checksum = self.disk.history.checksum(window);
        outside.send(id, peer, Message::AskHistory { window, checksum });
    }

    /// Answers a peer that compares; nothing if both have the same.
    pub(super) fn give_history(
        &mut self,
        to: model::member::NodeId,
        window: i64,
        checksum: u64,
        outside: &mut Outside,
    ) {
        let history = &self.disk.history;
        if history.checksum(window) != checksum {
            let results = history.windows.get(&window).cloned().unwrap_or_default();
            outside.record.story.chunks_given += 1;
            outside.send(self.id, to, Message::GiveHistory(Arc::new(Chunk { window, results })));
        }
    }
}

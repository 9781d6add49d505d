//! Hands results in, one batch at a time and in order; keeps them on the disk
//! while the log takes nothing.
//!
//! **A batch leaves the disk only after it is committed**; sent twice it
//! counts once.

use super::Node;
use super::propose::{Fate, Wish};
use crate::outside::{Event, Outside};
use crate::people::Deed;
use control::edge::Collector;
use model::entry::Body;
use model::id::CheckId;
use model::observation::{Batch, Observation, Outcome};
use model::time::Timestamp;

/// While the log takes nothing, how long results are gathered before they go to disk.
const GATHERED_FOR_MS: u64 = 5_000;
/// How long a batch that was not taken rests before it is offered again.
const OFFERED_EVERY_MS: u64 = 500;
/// Batches kept on disk; the oldest go first. Small, so that the bound is met.
pub(crate) const SPOOL_MAX: usize = 60;

/// Where results are handed in.
#[derive(Debug)]
pub(super) struct Desk {
    collector: Collector,
    /// Senders of heartbeats who wait for an answer.
    beats: Vec<CheckId>,
    is_under_way: bool,
    is_refused: bool,
    gathered_until_ms: u64,
    offer_at_ms: u64,
}

impl Desk {
    pub(super) fn new(node: &Node, began: Timestamp, now_ms: u64) -> Self {
        let incarnation = u64::try_from(began.as_ms()).unwrap_or(0);
        Self {
            collector: Collector::new(node.location.clone(), node.id, incarnation),
            beats: Vec::new(),
            is_under_way: false,
            is_refused: false,
            gathered_until_ms: now_ms,
            offer_at_ms: now_ms,
        }
    }
}

impl Node {
    /// Whether batches wait on disk, so that new ones have to stand behind them.
    fn is_behind(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.desk.is_refused) || !self.disk.spool.is_empty()
    }

    /// Takes a result, or a heartbeat whose sender waits for an answer.
    pub(crate) fn collect(
        &mut self,
        observation: Observation,
        is_urgent: bool,
        beat: Option<CheckId>,
        outside: &mut Outside,
    ) {
        let (now, is_behind) = (self.now(outside), self.is_behind());
        let life = self.life_mut();
        if observation.outcome == Outcome::Fail && is_urgent {
            life.alone.hurry(outside.now);
        }
        let desk = &mut life.desk;
        if is_behind && desk.collector.is_empty() {
            desk.gathered_until_ms = outside.now + GATHERED_FOR_MS;
        }
        desk.collector.add(observation, is_urgent, now);
        match beat {
            Some(beat) if desk.is_refused => answer_beat(beat, false, outside),
            Some(beat) => desk.beats.push(beat),
            None => {}
        }
        if is_urgent && !is_behind {
            self.hand_in(outside);
        }
    }

    /// Hands in what is due, if nothing is on its way.
    pub(super) fn hand_in(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        let is_behind = self.is_behind();
        let desk = &mut self.life_mut().desk;
        if desk.is_under_way {
            return;
        }
        if !is_behind {
            if let Some(batch) = desk.collector.take(now) {
                self.propose_batch(batch, false, outside);
            }
            return;
        }
        if !desk.collector.is_empty() && desk.gathered_until_ms <= outside.now {
            self.keep_gathered(outside);
        }
        let desk = &mut self.life_mut().desk;
        if desk.offer_at_ms > outside.now {
            return;
        }
        match self.disk.spool.front().cloned() {
            Some(batch) => self.propose_batch(batch, true, outside),
            None => self.life_mut().desk.is_refused = false,
        }
    }

    fn propose_batch(&mut self, batch: Batch, is_kept: bool, outside: &mut Outside) {
        let desk = &mut self.life_mut().desk;
        desk.is_under_way = true;
        let beats = if desk.collector.is_empty() { std::mem::take(&mut desk.beats) } else { Vec::new() };
        let body = Body::Results(batch.clone());
        self.propose(Wish::HandIn { batch, is_kept, beats }, body, outside);
    }

    /// What became of a batch is known, or that nobody knows.
    pub(super) fn handed_in(
        &mut self,
        batch: Batch,
        is_kept: bool,
        beats: Vec<CheckId>,
        fate: &Fate,
        outside: &mut Outside,
    ) {
        let is_taken = matches!(fate, Fate::Taken { .. });
        beats.into_iter().for_each(|beat| answer_beat(beat, is_taken, outside));
        let desk = &mut self.life_mut().desk;
        desk.is_under_way = false;
        if is_taken {
            desk.is_refused = false;
            if is_kept {
                self.disk.spool.pop_front();
            }
            return self.hand_in(outside);
        }
        if !desk.is_refused {
            desk.gathered_until_ms = outside.now + GATHERED_FOR_MS;
        }
        desk.is_refused = true;
        desk.offer_at_ms = outside.now + OFFERED_EVERY_MS;
        if !is_kept {
            self.keep(batch, outside);
        }
    }

    fn keep_gathered(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        self.life_mut().desk.collector.hurry();
        while let Some(batch) = self.life_mut().desk.collector.take(now) {
            self.keep(batch, outside);
        }
        for beat in std::mem::take(&mut self.life_mut().desk.beats) {
            answer_beat(beat, false, outside);
        }
    }

    fn keep(&mut self, batch: Batch, outside: &mut Outside) {
        outside.record.kept(&batch);
        self.disk.spool.push_back(batch);
        while self.disk.spool.len() > SPOOL_MAX {
            if let Some(dropped) = self.disk.spool.pop_front() {
                outside.record.dropped(&dropped);
            }
        }
    }
}

fn answer_beat(beat: CheckId, is_taken: bool, outside: &mut Outside) {
    outside.after(0, Event::Acts(Deed::BeatAnswered { beat, is_taken }));
}

//! What a prober decides alone: which checks it makes, when each one runs, when
//! a failed round is repeated, when results are handed in, what it says when it
//! is cut off from the others, and when its own backups are due.
//!
//! The schedule is a hashed wheel: a million checks cost 32 bytes each and no
//! task. **A round's time is a property of the check, not of the start of the
//! process**: checks are spread over their interval by a hash of their id and
//! stay in step over restarts, so results stay regular.

mod cut_off;
mod share;
mod timetable;

pub use cut_off::{CutOff, Notice};
pub use share::{Share, share};
pub use timetable::Timetable;

use model::check::Check;
use model::id::{CheckSlot, LocationId};
use model::limits::{BATCH_BYTES_MAX, BATCH_OBSERVATIONS_MAX};
use model::member::NodeId;
use model::observation::{Batch, Observation, Outcome};
use model::time::Timestamp;
use std::time::Duration;

/// Positions of the wheel, one millisecond each: about 65 s, so that the usual
/// interval is one turn.
const BUCKETS: usize = 1 << 16;
/// No entry.
const NONE: u32 = u32::MAX;
/// First rounds after a start, per second: fast enough that a page fills at
/// once, slow enough not to be a flood.
const FIRST_ROUNDS_PER_SECOND: u64 = 2_000;
/// How long results wait for others before they are handed in.
const HAND_IN_AFTER: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy)]
struct Slot {
    due_ms: i64,
    every_ms: u32,
    offset_ms: u32,
    next: u32,
    previous: u32,
    fails: u8,
    works: u8,
    is_failing: bool,
    is_linked: bool,
}

const EMPTY: Slot = Slot {
    due_ms: 0,
    every_ms: 1,
    offset_ms: 0,
    next: NONE,
    previous: NONE,
    fails: 0,
    works: 0,
    is_failing: false,
    is_linked: false,
};

impl Slot {
    /// The first regular time after `now_ms`.
    const fn next_regular(&self, now_ms: i64) -> i64 {
        let every = self.every_ms as i64;
        now_ms + every - (now_ms - self.offset_ms as i64).rem_euclid(every)
    }
}

/// When each check runs.
#[derive(Debug)]
pub struct Schedule {
    buckets: Vec<u32>,
    slots: Vec<Slot>,
    turned_to_ms: i64,
}

/// A round that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Which check.
    pub slot: CheckSlot,
    /// When it was due.
    pub scheduled: Timestamp,
}

impl Schedule {
    /// An empty schedule that starts now.
    pub fn new(now: Timestamp) -> Self {
        Self { buckets: vec![NONE; BUCKETS], slots: Vec::new(), turned_to_ms: now.as_ms() }
    }

    /// Makes room for checks with slots below `count`, and for no more, so that
    /// putting them in one by one does not take up to twice the memory.
    pub fn reserve(&mut self, count: usize) {
        self.slots.reserve_exact(count.saturating_sub(self.slots.len()));
    }

    /// Puts a check in. `order` counts the checks that are put in at this
    /// start, from 0: first rounds follow each other in this order, at once for
    /// the first few thousand, and never later than their regular time.
    pub fn insert(&mut self, slot: CheckSlot, check: &Check, now: Timestamp, order: usize) {
        let at = slot.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, EMPTY);
        }
        self.unlink(slot.0);
        let every_ms = u32::try_from(check.every.as_millis()).unwrap_or(u32::MAX).max(1);
        let kept = self.slots[at];
        let offset_ms = (fnv1a(check.id.as_str().as_bytes()) % u64::from(every_ms)) as u32;
        let counted = Slot { fails: kept.fails, works: kept.works, is_failing: kept.is_failing, ..EMPTY };
        self.slots[at] = Slot { every_ms, offset_ms, ..counted };
        let regular = self.slots[at].next_regular(now.as_ms());
        let first = now.as_ms() + (order as u64 * 1000 / FIRST_ROUNDS_PER_SECOND) as i64;
        self.link(slot.0, regular.min(first));
    }

    /// Takes a check out.
    pub fn remove(&mut self, slot: CheckSlot) {
        if (slot.0 as usize) < self.slots.len() {
            self.unlink(slot.0);
            self.slots[slot.0 as usize] = EMPTY;
        }
    }

    /// How many checks are in.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_linked).count()
    }

    /// Whether no check is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Turns the wheel to `now` and adds the rounds that became due, each once:
    /// what a pause of the process made miss is not caught up with.
    /// A `now` before the last one turns nothing.
    pub fn turn(&mut self, now: Timestamp, due: &mut Vec<Due>) {
        let now_ms = now.as_ms();
        let from = self.turned_to_ms;
        if now_ms < from {
            return;
        }
        let steps = ((now_ms - from) as usize + 1).min(BUCKETS);
        for step in 0..steps {
            let bucket = ((from + step as i64) as usize) % BUCKETS;
            self.empty_bucket(bucket, now_ms, due);
        }
        self.turned_to_ms = now_ms;
    }

    fn empty_bucket(&mut self, bucket: usize, now_ms: i64, due: &mut Vec<Due>) {
        let mut at = self.buckets[bucket];
        while at != NONE {
            let slot = self.slots[at as usize];
            let next = slot.next;
            if slot.due_ms <= now_ms {
                let regular = slot.next_regular(now_ms);
                // After a pause the round counts for the last time that was missed, or it would be late.
                let scheduled = slot.due_ms.max(regular - i64::from(slot.every_ms));
                due.push(Due { slot: CheckSlot(at), scheduled: Timestamp::from_ms(scheduled) });
                self.unlink(at);
                self.link(at, regular);
            }
            at = next;
        }
    }

    /// Runs a check earlier than its regular time; never later.
    pub fn hasten(&mut self, slot: CheckSlot, at: Timestamp) {
        let Some(known) = self.slots.get(slot.0 as usize).copied() else {
            return;
        };
        let at_ms = at.as_ms().max(self.turned_to_ms + 1);
        if known.is_linked && at_ms < known.due_ms {
            self.unlink(slot.0);
            self.link(slot.0, at_ms);
        }
    }

    /// Counts the end of a round, and hastens the next one while a change
    /// waits to be confirmed. Returns whether the round said something else
    /// than the ones before, so that it should be handed in at once.
    pub fn finished(&mut self, slot: CheckSlot, check: &Check, outcome: Outcome, now: Timestamp) -> bool {
        let Some(known) = self.slots.get_mut(slot.0 as usize) else {
            return false;
        };
        let is_change = match outcome {
            Outcome::Own => return false,
            Outcome::Fail => {
                known.fails = known.fails.saturating_add(1);
                known.works = 0;
                !known.is_failing
            }
            Outcome::Pass | Outcome::Degraded => {
                known.works = known.works.saturating_add(1);
                known.fails = 0;
                known.is_failing
            }
        };
        if known.fails >= check.down_after {
            known.is_failing = true;
        } else if known.works >= check.up_after {
            known.is_failing = false;
        }
        let waits = (known.fails > 0 && !known.is_failing) || (known.works > 0 && known.is_failing);
        if waits {
            self.hasten(slot, now.plus(check.retry));
        }
        is_change
    }

    fn link(&mut self, at: u32, due_ms: i64) {
        let bucket = due_ms as usize % BUCKETS;
        let head = self.buckets[bucket];
        let slot = &mut self.slots[at as usize];
        slot.due_ms = due_ms;
        slot.next = head;
        slot.previous = NONE;
        slot.is_linked = true;
        if head != NONE {
            self.slots[head as usize].previous = at;
        }
        self.buckets[bucket] = at;
    }

    fn unlink(&mut self, at: u32) {
        let slot = self.slots[at as usize];
        if !slot.is_linked {
            return;
        }
        if slot.previous == NONE {
            self.buckets[slot.due_ms as usize % BUCKETS] = slot.next;
        } else {
            self.slots[slot.previous as usize].next = slot.next;
        }
        if slot.next != NONE {
            self.slots[slot.next as usize].previous = slot.previous;
        }
        self.slots[at as usize].is_linked = false;
    }
}

/// The FNV-1a hash: small, well spread, and the same for ever.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Results that wait to be handed in.
#[derive(Debug)]
pub struct Collector {
    location: LocationId,
    node: NodeId,
    incarnation: u64,
    sequence: u64,
    waiting: Vec<Observation>,
    oldest: Option<Timestamp>,
    is_urgent: bool,
}

impl Collector {
    /// An empty collector. `incarnation` must differ from that of every earlier start.
    pub fn new(location: LocationId, node: NodeId, incarnation: u64) -> Self {
        Self { location, node, incarnation, sequence: 0, waiting: Vec::new(), oldest: None, is_urgent: false }
    }

    /// Adds a result; an urgent one makes all be handed in at once.
    pub fn add(&mut self, observation: Observation, is_urgent: bool, now: Timestamp) {
        self.oldest.get_or_insert(now);
        self.is_urgent |= is_urgent;
        self.waiting.push(observation);
    }

    /// Makes everything that waits due at once.
    pub fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// How many results wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the waiting results are to be handed in at the latest.
    pub fn due(&self) -> Option<Timestamp> {
        let oldest = self.oldest?;
        Some(if self.is_urgent || self.waiting.len() >= BATCH_OBSERVATIONS_MAX {
            oldest
        } else {
            oldest.plus(HAND_IN_AFTER)
        })
    }

    /// How many of the waiting results fit into one batch.
    fn next_count(&self) -> usize {
        let mut bytes = 0;
        let fits = |observation: &&Observation| {
            bytes += observation.weight();
            bytes <= BATCH_BYTES_MAX
        };
        self.waiting.iter().take(BATCH_OBSERVATIONS_MAX).take_while(fits).count().max(1)
    }

    /// The next batch, if one is due.
    pub fn take(&mut self, now: Timestamp) -> Option<Batch> {
        if self.due()? > now {
            return None;
        }
        let count = self.next_count();
        let rest = self.waiting.split_off(count);
        let observations = std::mem::replace(&mut self.waiting, rest);
        self.oldest = (!self.waiting.is_empty()).then_some(now);
        self.is_urgent &= !self.waiting.is_empty();
        self.sequence += 1;
        Some(Batch {
            location: self.location.clone(),
            node: self.node,
            incarnation: self.incarnation,
            sequence: self.sequence,
            observations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::check::{CheckKind, Family, IcmpCheck, LatencyLimits};
    use model::id::CheckId;
    use proptest::prelude::*;

    fn check(id: &str, every_ms: u64) -> Check {
        Check {
            id: CheckId::new(id).expect("a legal id"),
            kind: CheckKind::Icmp(IcmpCheck { host: "192.0.2.1".to_owned(), count: 1 }),
            every: Duration::from_millis(every_ms),
            timeout: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            down_after: 2,
            up_after: 2,
            from: Vec::new(),
            family: Family::Any,
            latency: LatencyLimits::default(),
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_795_000_000_000 + ms)
    }

    proptest! {
        #[test]
        fn every_check_runs_once_in_each_interval(every in prop::collection::vec(1_000u64..400_000, 1..40), steps in prop::collection::vec(1i64..30_000, 1..120)) {
            let mut schedule = Schedule::new(at(0));
            for (n, ms) in every.iter().enumerate() {
                schedule.insert(CheckSlot(n as u32), &check(&format!("c{n}"), *ms), at(0), n);
            }
            let mut last: Vec<Option<i64>> = vec![None; every.len()];
            let mut ran_at = vec![0i64; every.len()];
            let mut now = 0;
            for step in steps {
                now += step;
                let mut due = Vec::new();
                schedule.turn(at(now), &mut due);
                for round in due {
                    let n = round.slot.0 as usize;
                    let scheduled = round.scheduled.as_ms() - at(0).as_ms();
                    prop_assert!(scheduled <= now, "a round is never early");
                    if let Some(before) = last[n] {
                        prop_assert!(scheduled > before, "a round is never repeated");
                    }
                    last[n] = Some(scheduled);
                    ran_at[n] = now;
                }
                for (n, ms) in every.iter().enumerate() {
                    let ran = ran_at[n];
                    prop_assert!(now - ran < *ms as i64 + step + 1000, "check {} of {} ms last ran {} ms ago", n, ms, now - ran);
                }
            }
        }
    }

    #[test]
    fn a_failed_round_is_repeated_soon_until_it_is_confirmed() {
        let check = check("api", 60_000);
        let mut schedule = Schedule::new(at(0));
        schedule.insert(CheckSlot(0), &check, at(0), 0);
        let mut due = Vec::new();
        schedule.turn(at(1), &mut due);
        assert!(schedule.finished(CheckSlot(0), &check, Outcome::Fail, at(100)), "a first failure is news");
        due.clear();
        schedule.turn(at(5_099), &mut due);
        assert!(due.iter().all(|round| round.scheduled != at(5_100)));
        due.clear();
        schedule.turn(at(5_100), &mut due);
        assert_eq!(due.len(), 1, "repeated after `retry`");
        assert!(
            schedule.finished(CheckSlot(0), &check, Outcome::Fail, at(5_200)),
            "the round that confirms is news as well"
        );
        assert!(!schedule.finished(CheckSlot(0), &check, Outcome::Fail, at(60_000)), "known by then");
        assert!(schedule.finished(CheckSlot(0), &check, Outcome::Pass, at(120_000)));
    }

    #[test]
    fn results_are_handed_in_after_a_moment_or_at_once_when_urgent() {
        let seen = |slot| Observation {
            slot: CheckSlot(slot),
            scheduled: at(0),
            outcome: Outcome::Pass,
            latency_us: 1,
            detail: None,
        };
        let mut collector = Collector::new(LocationId::new("local").expect("a legal id"), NodeId(1), 7);
        collector.add(seen(1), false, at(0));
        assert_eq!(collector.take(at(249)), None);
        assert_eq!(collector.take(at(250)).map(|batch| (batch.sequence, batch.observations.len())), Some((1, 1)));
        collector.add(seen(2), true, at(300));
        assert_eq!(collector.take(at(300)).map(|batch| batch.sequence), Some(2));
        assert_eq!(collector.take(at(9_000)), None);
    }
}

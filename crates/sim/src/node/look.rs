//! Makes the checks that fall to this node, by the real schedule.

use super::Node;
use crate::outside::{Event, Outside, Round};
use control::edge::{Due, Schedule, Share};
use model::check::Check;
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest time of a round whose target answers.
const ANSWERED_MS_MAX: u64 = 400;

/// What a node knows of its checks.
#[derive(Debug)]
pub(crate) struct Look {
    schedule: Schedule,
    planned: BTreeMap<CheckSlot, Arc<Check>>,
    running: BTreeSet<CheckSlot>,
    /// Whether the checks have to be shared out anew.
    pub(super) shares_anew: bool,
    /// Checks that somebody else saw fail.
    pub(super) at_once: Vec<CheckSlot>,
}

impl Look {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            schedule: Schedule::new(now),
            planned: BTreeMap::new(),
            running: BTreeSet::new(),
            shares_anew: true,
            at_once: Vec::new(),
        }
    }
}

impl Node {
    pub(super) fn look(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        if self.life_mut().look.shares_anew {
            self.take_share(now);
        }
        let look = &mut self.life_mut().look;
        for slot in std::mem::take(&mut look.at_once) {
            look.schedule.hasten(slot, now);
        }
        let mut due = Vec::new();
        look.schedule.turn(now, &mut due);
        for round in due {
            self.begin_round(round, outside);
        }
    }

    /// Takes over what falls to this node: what stays the same keeps its schedule.
    fn take_share(&mut self, now: Timestamp) {
        let (id, location) = (self.id, self.location.clone());
        let life = self.life_mut();
        let (state, look) = (&life.state, &mut life.look);
        look.shares_anew = false;
        let share = Share::of(state, id, &location);
        let mut before = std::mem::take(&mut look.planned);
        let mut order = 0;
        for slot in state.slots() {
            let Some((_, check)) = state.target(slot).filter(|(_, check)| share.holds(check)) else { continue };
            let known = before.remove(&slot).filter(|known| **known == *check);
            let check = known.unwrap_or_else(|| {
                look.schedule.insert(slot, check, now, order);
                order += 1;
                Arc::new(check.clone())
            });
            look.planned.insert(slot, check);
        }
        before.into_keys().for_each(|slot| look.schedule.remove(slot));
    }

    fn begin_round(&mut self, due: Due, outside: &mut Outside) {
        let (id, location, life) = (self.id, self.location.clone(), self.life_number());
        let look = &mut self.life_mut().look;
        let Some(check) = look.planned.get(&due.slot).cloned() else { return };
        // A target that takes all its time is no lack of ours.
        if !look.running.insert(due.slot) {
            return;
        }
        let outcome = outside.targets.seen(&check.id, &location, id, &mut outside.random);
        let waits_in_vain = outcome == Outcome::Fail && outside.random.happens(300);
        let timeout_ms = u64::try_from(check.timeout.as_millis()).unwrap_or(u64::MAX);
        let took_ms = if waits_in_vain { timeout_ms } else { outside.random.between(5, ANSWERED_MS_MAX) };
        outside.record.round(id, due.slot, &location);
        let round = Round { slot: due.slot, check, scheduled: due.scheduled, outcome };
        outside.after(took_ms, Event::Looked { node: id, life, round });
    }

    /// A round has ended.
    pub(crate) fn looked(&mut self, round: &Round, outside: &mut Outside) {
        let now = self.now(outside);
        let look = &mut self.life_mut().look;
        look.running.remove(&round.slot);
        // A check that was changed meanwhile, or is another node's by now, is not what was looked at.
        if look.planned.get(&round.slot).is_none_or(|check| **check != *round.check) {
            return;
        }
        let is_news = look.schedule.finished(round.slot, &round.check, round.outcome, now);
        let observation = observation(round);
        self.collect(observation, is_news, None, outside);
    }
}

fn observation(round: &Round) -> Observation {
    let failure = Failure { cause: Cause::Refused, sentence: "made up".to_owned() };
    let detail =
        (round.outcome != Outcome::Pass).then(|| Box::new(Detail { failure: Some(failure), ..Detail::default() }));
    Observation { slot: round.slot, scheduled: round.scheduled, outcome: round.outcome, latency_us: 1_000, detail }
}

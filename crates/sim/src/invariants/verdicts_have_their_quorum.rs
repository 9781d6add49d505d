//! A check is concluded to be down only when more than half of its assigned
//! locations have lately seen it fail as often in a row as it demands; a
//! heartbeat only when it did not come in its time.
//!
//! Counted anew from the logged rounds: each batch once, late ones not, and
//! what is silent or set aside has no vote.

use super::Moment;
use super::late_results_change_nothing::is_late;
use control::judge;
use model::check::{Check, CheckKind, HeartbeatSchedule};
use model::entry::Body;
use model::id::{CheckSlot, LocationId};
use model::member::NodeId;
use model::observation::{Batch, Observation, Outcome};
use model::time::Timestamp;
use model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// The rounds of a check in a row from one place.
#[derive(Debug, Default, Clone, Copy)]
struct Run {
    fails: u8,
    works: u8,
    is_failing: bool,
    last: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    batches: BTreeSet<(NodeId, u64, u64)>,
    runs: BTreeMap<(CheckSlot, LocationId), Run>,
    beats: BTreeMap<CheckSlot, Timestamp>,
    strays: BTreeSet<CheckSlot>,
    kinds: BTreeMap<CheckSlot, CheckKind>,
    /// Since when each check looks at what it looks at.
    since: BTreeMap<CheckSlot, Timestamp>,
    verdicts: BTreeMap<CheckSlot, Verdict>,
    aside: BTreeSet<LocationId>,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        self.forget_changed(moment);
        self.forget_failures_of_the_heard_again(moment);
        if let Body::Results(batch) = &moment.entry.body
            && *moment.applied == accepted(moment)
            && self.batches.insert((batch.node, batch.incarnation, batch.sequence))
        {
            batch.observations.iter().for_each(|observation| self.count(moment, batch, observation));
        }
        for slot in moment.state.slots() {
            let (Some((_, check)), Some(known)) = (moment.state.target(slot), moment.state.check(slot)) else {
                continue;
            };
            let before = self.verdicts.insert(slot, known.verdict);
            if known.verdict == Verdict::Down && before != Some(Verdict::Down) {
                self.justify(moment, slot, check)?;
            }
        }
        Ok(())
    }

    /// What a check saw that looks at something else by now says nothing.
    fn forget_changed(&mut self, moment: &Moment<'_>) {
        if !matches!(moment.entry.body, Body::Command(_)) {
            return;
        }
        let kinds: BTreeMap<CheckSlot, CheckKind> =
            moment.state.slots().filter_map(|slot| Some((slot, moment.state.target(slot)?.1.kind.clone()))).collect();
        self.runs.retain(|(slot, _), _| kinds.get(slot) == self.kinds.get(slot));
        let changed = kinds.iter().filter(|(slot, kind)| self.kinds.get(slot) != Some(*kind));
        self.since.extend(changed.map(|(slot, _)| (*slot, moment.state.now())));
        self.verdicts.retain(|slot, _| kinds.contains_key(slot));
        self.kinds = kinds;
    }

    /// What a location held to be failing while it was set aside it has to see anew.
    fn forget_failures_of_the_heard_again(&mut self, moment: &Moment<'_>) {
        let aside: BTreeSet<LocationId> = moment.state.locations_set_aside().keys().cloned().collect();
        let before = std::mem::replace(&mut self.aside, aside);
        for location in before.difference(&self.aside) {
            self.runs.retain(|(_, from), run| from != location || run.fails == 0 && !run.is_failing);
        }
    }

    fn count(&mut self, moment: &Moment<'_>, batch: &Batch, observation: &Observation) {
        // Clocks differ: what comes from the future was now.
        let (slot, scheduled) = (observation.slot, observation.scheduled.min(moment.state.now()));
        let Some((_, check)) = moment.state.target(slot) else { return };
        if matches!(check.kind, CheckKind::Heartbeat(_)) {
            if observation.outcome == Outcome::Fail {
                // A node that is behind may still make rounds of what the check was before.
                self.strays.insert(slot);
            } else {
                let last = self.beats.entry(slot).or_default();
                *last = scheduled.max(*last);
            }
            return;
        }
        if self.since.get(&slot).is_some_and(|since| observation.scheduled < *since) {
            return;
        }
        // What a node without a way out sees says nothing.
        if moment.state.member(batch.node).is_some_and(|known| known.egress_broken.is_some()) {
            return;
        }
        let run = self.runs.entry((slot, batch.location.clone())).or_default();
        if is_late(moment.state.now(), check, observation) || scheduled <= run.last {
            return;
        }
        if observation.outcome != Outcome::Own && scheduled.since(run.last) > judge::silent_after(check) {
            // Rounds before and after a pause are not in a row.
            (run.fails, run.works) = (0, 0);
        }
        match observation.outcome {
            Outcome::Own => return,
            Outcome::Fail => (run.fails, run.works) = (run.fails.saturating_add(1), 0),
            Outcome::Pass | Outcome::Degraded => (run.fails, run.works) = (0, run.works.saturating_add(1)),
        }
        run.last = scheduled;
        // What failed once holds until enough good rounds say otherwise.
        run.is_failing = run.fails >= check.down_after || run.is_failing && run.works < check.up_after;
    }

    fn justify(&self, moment: &Moment<'_>, slot: CheckSlot, check: &Check) -> Result<(), String> {
        let now = moment.state.now();
        if let CheckKind::Heartbeat(heartbeat) = &check.kind {
            let HeartbeatSchedule::Period(period) = heartbeat.expected else { return Ok(()) };
            let last = self.beats.get(&slot).copied().unwrap_or_default();
            if now.since(last) >= period || self.strays.contains(&slot) {
                return Ok(());
            }
            return Err(format!("heartbeat {} is down at {now} although it came at {last}", check.id));
        }
        let has_failed = |location: &&LocationId| {
            let run = self.runs.get(&(slot, (*location).clone())).copied().unwrap_or_default();
            run.is_failing
                && now.since(run.last) <= judge::silent_after(check)
                && !moment.state.locations_set_aside().contains_key(*location)
        };
        let failing = check.from.iter().filter(has_failed).count();
        if failing * 2 > check.from.len() {
            return Ok(());
        }
        let (id, of, down_after) = (&check.id, check.from.len(), check.down_after);
        let seen = check.from.iter().map(|location| (location, self.runs.get(&(slot, location.clone()))));
        let seen: Vec<_> = seen.collect();
        Err(format!(
            "{id} is down at {now} although only {failing} of {of} locations have seen it fail {down_after} times: {seen:?}"
        ))
    }
}

fn accepted(moment: &Moment<'_>) -> control::Applied {
    control::Applied { outcome: control::state::CommandOutcome::Accepted, effects: moment.applied.effects.clone() }
}

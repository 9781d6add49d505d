//! From checks to the standing of services: what the passing of time changes
//! about them, and what all of it comes to for each service.

use crate::alert;
use crate::decision::Reason;
use crate::heartbeat;
use crate::judge::{self, Seen};
use crate::ledger::Ledger;
use crate::rounds::{HEARTBEAT_THRESHOLDS, changed_vote, conclude};
use crate::state::{CheckState, Effect, State};
use model::check::{Check, CheckKind};
use model::id::{CheckSlot, IncidentId};
use model::observation::{Cause, Failure, Outcome};
use model::service::{Impact, Maintenance, Service};
use model::time::{Timestamp, humane_duration};
use model::verdict::{ServiceStatus, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Time between two entries from which no node can have been there: ticks come every few seconds.
const AWAY_AFTER: Duration = Duration::from_secs(60);

/// What is known of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The worst of its checks, planned work not considered.
    pub observed: ServiceStatus,
    /// Since when.
    pub observed_since: Timestamp,
    /// What the page shows, and the split of its time.
    pub ledger: Ledger,
    /// When what the page shows was concluded; later than its begin.
    pub concluded: Timestamp,
    /// The open incident.
    pub incident: Option<IncidentId>,
    /// Why an incident is not opened or closed yet, as last decided.
    pub hold: Option<crate::decision::Hold>,
}

impl ServiceState {
    /// A service nobody has looked at yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            observed: ServiceStatus::Unknown,
            observed_since: now,
            ledger: Ledger::new(ServiceStatus::Unknown, now),
            concluded: now,
            incident: None,
            hold: None,
        }
    }

    /// What the page shows.
    pub const fn status(&self) -> ServiceStatus {
        self.ledger.status()
    }
}

/// What the passing of time changes: silent checks, late heartbeats, the
/// borders of planned work, and whatever is held.
pub(crate) fn tick(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let mut touched = std::mem::take(&mut state.attention);
    for slot in overdue(state) {
        let configuration = Arc::clone(&state.configuration);
        let Some((service, position)) = state.index.targets[slot.0 as usize] else {
            continue;
        };
        let owner = &configuration.services[service as usize];
        let check = &owner.checks[position as usize];
        if let CheckKind::Heartbeat(_) = check.kind {
            miss(state, owner, check, slot);
        } else {
            conclude(state, owner, check, slot);
        }
        touched.insert(service);
    }
    settle(state, touched, effects);
    alert::unverified(state, effects);
}

/// Notices what lies between the entry before and this one: borders of planned
/// work, and heartbeats that could not be heard because no node was there.
pub(crate) fn pass(state: &mut State, before: Timestamp) {
    let now = state.now();
    let is_crossed = |border: Timestamp| before < border && border <= now;
    let configuration = Arc::clone(&state.configuration);
    let planned = configuration.maintenance.iter().chain(state.maintenance.values());
    let crossed = planned.filter(|work| is_crossed(work.from) || is_crossed(work.until));
    let touched: Vec<u32> =
        crossed.flat_map(|work| &work.services).filter_map(|id| state.index.services.get(id).copied()).collect();
    state.attention.extend(touched);
    if before == Timestamp::EPOCH || now.since(before) <= AWAY_AFTER {
        return;
    }
    for slot in state.slots().collect::<Vec<_>>() {
        let (Some((_, check)), Some(known)) = (state.target(slot), state.check(slot)) else {
            continue;
        };
        let CheckKind::Heartbeat(heartbeat) = &check.kind else {
            continue;
        };
        // It may have come meanwhile; the next one tells.
        let was_awaited = |deadline: &Timestamp| *deadline > before && deadline.minus(heartbeat.grace) <= now;
        if known.deadline.as_ref().is_some_and(was_awaited) {
            let deadline = heartbeat::deadline(heartbeat, now);
            state.checks.get_mut(slot.0 as usize).expect("it was there a moment ago").deadline = Some(deadline);
        }
    }
}

/// The checks whose silence or lateness changes their verdict, or that of their service, now.
fn overdue(state: &State) -> Vec<CheckSlot> {
    let (now, aside) = (state.now(), state.aside_numbers());
    let is_overdue = |slot: &CheckSlot| {
        let (Some((service, check)), Some(known)) = (state.target(*slot), state.check(*slot)) else {
            return false;
        };
        if matches!(check.kind, CheckKind::Heartbeat(_)) {
            let is_late = known.deadline.is_some_and(|deadline| now > deadline);
            return known.looked.is_some() && known.verdict != Verdict::Down && is_late;
        }
        let is_silent = |last: Timestamp| now.since(last) > judge::silent_after(check);
        match (known.verdict, known.looked) {
            // Beside checks that are up it did not count until now.
            (Verdict::Unknown, None) => {
                is_silent(known.created)
                    && state.service(&service.id).is_some_and(|known| known.observed == ServiceStatus::Up)
            }
            // Of those that saw it none may be assigned any more.
            (Verdict::Up | Verdict::Degraded | Verdict::Down, looked) if known.seens.is_empty() => {
                is_silent(looked.unwrap_or(known.created))
            }
            // A place that is gone for long is silent for all its checks; that is
            // news once. Even of one that is unknown: what was about to be
            // confirmed there is a disagreement from then on.
            (Verdict::Up | Verdict::Unknown | Verdict::Degraded | Verdict::Down, _) => {
                known.seens.iter().any(|seen| is_silent(seen.last)) && changed_vote(known, check, &aside, now).is_some()
            }
        }
    };
    state.slots().filter(is_overdue).collect()
}

/// A heartbeat did not come: the machine itself observes it.
fn miss(state: &mut State, service: &Service, check: &Check, slot: CheckSlot) {
    let now = state.now();
    let Some(known) = state.check(slot) else {
        return;
    };
    let last = known.looked.unwrap_or(known.created);
    let deadline = known.deadline.unwrap_or(now);
    let sentence = format!("no heartbeat for {}; the last came at {last}", humane_duration(now.since(last)));
    let location = known.seens.first().map_or(0, |seen| seen.location);
    let failure = Failure { cause: Cause::Missed, sentence };
    let known = state.checks.get_mut(slot.0 as usize).expect("it was there a moment ago");
    known.failure = Some(Arc::new(failure));
    known.outcome = Some(Outcome::Fail);
    if known.seens.is_empty() {
        known.seens.push(Seen::new(location));
    }
    for seen in &mut known.seens {
        seen.count(deadline, Outcome::Fail, HEARTBEAT_THRESHOLDS);
    }
    conclude(state, service, check, slot);
}

/// Brings services, and then their incidents, up to date.
pub(crate) fn settle(state: &mut State, touched: BTreeSet<u32>, effects: &mut BTreeSet<Effect>) {
    let index = Arc::clone(&state.index);
    let mut to_judge = touched.clone();
    for at in touched {
        if restate(state, at) {
            effects.insert(Effect::Publish);
        }
        to_judge.extend(index.dependents.get(at as usize).into_iter().flatten());
    }
    for at in to_judge {
        alert::judge(state, at, effects);
    }
}

/// Recomputes one service from its checks; returns whether what the page shows changed.
fn restate(state: &mut State, at: u32) -> bool {
    let now = state.now();
    let configuration = Arc::clone(&state.configuration);
    let Some(service) = configuration.services.get(at as usize) else {
        return false;
    };
    let (observed, since) = observe(state, at);
    let work = active_work(state, service);
    let shown = match &work {
        Some(work) if explains(work.impact, observed) => ServiceStatus::Maintenance,
        Some(_) | None => observed,
    };
    let Some(known) = state.services.get(at as usize) else {
        return false;
    };
    let (before, shown_before) = (known.observed, known.status());
    if before == observed && shown_before == shown {
        return false;
    }
    // What another configuration changes, it changes from here on: how long a
    // check that is gone, or new, stood as it did says nothing of the service.
    let since = if state.revision() == state.applied_index() { now } else { since };
    let turned_at = if before == observed { now } else { since };
    let known = state.services.get_mut(at as usize).expect("it was there a moment ago");
    if before != observed {
        known.observed = observed;
        known.observed_since = since.max(known.observed_since);
    }
    if shown_before != shown {
        known.ledger.turn(shown, turned_at.min(now));
        known.concluded = now;
        let since = known.ledger.since();
        state.decide(Some(&service.id), None, Reason::Status { from: shown_before, to: shown, since });
    }
    true
}

/// The worst state of a service's checks and when it began. A check that is
/// new and not yet due for silence does not count beside others.
fn observe(state: &State, at: u32) -> (ServiceStatus, Timestamp) {
    let now = state.now();
    let before = state.services.get(at as usize).map_or(ServiceStatus::Unknown, |service| service.observed);
    let slots = state.index.slots.get(at as usize).map_or(&[][..], |slots| slots);
    let known = || slots.iter().filter_map(|slot| Some((state.target(*slot)?.1, state.check(*slot)?)));
    let counts = |(check, known): &(&Check, &CheckState)| {
        let is_new = known.verdict == Verdict::Unknown && known.looked.is_none();
        !is_new
            || (now.since(known.created) > judge::silent_after(check) && !matches!(check.kind, CheckKind::Heartbeat(_)))
    };
    let worst = known().filter(counts).map(|(_, known)| known.verdict).max();
    let Some(worst) = worst else {
        return (ServiceStatus::Unknown, now);
    };
    let observed = ServiceStatus::from(worst);
    let since = if observed > before {
        known().filter(|(_, known)| known.verdict == worst).map(|(_, known)| known.since).min()
    } else {
        known().map(|(_, known)| known.since).max()
    };
    (observed, since.unwrap_or(now).min(now))
}

/// The planned work on a service that is under way; of several the one that announced the worst.
pub(crate) fn active_work<'a>(state: &'a State, service: &Service) -> Option<&'a Maintenance> {
    let now = state.now();
    let is_active = |work: &&Maintenance| work.from <= now && now < work.until && work.services.contains(&service.id);
    state.maintenance().filter(is_active).max_by_key(|work| work.impact)
}

/// Whether an announced impact explains what is observed. Reduced redundancy
/// explains nothing that is noticed, and does not change what is shown.
const fn explains(impact: Impact, observed: ServiceStatus) -> bool {
    match impact {
        Impact::AtRisk => false,
        Impact::Degraded => !matches!(observed, ServiceStatus::Down),
        Impact::Outage => true,
    }
}

//! From rounds to the standing of services: judges what a batch brought and
//! what the passing of time changed, and carries it up to the services.

use crate::alert;
use crate::aside::{self, Recent};
use crate::decision::Reason;
use crate::heartbeat;
use crate::judge::{self, Seen, Thresholds};
use crate::ledger::Ledger;
use crate::state::{CheckState, Effect, LastMeasured, State};
use model::check::{Check, CheckKind};
use model::id::{CheckSlot, IncidentId};
use model::observation::{Batch, Cause, Failure, Observation, Outcome};
use model::service::{Impact, Maintenance, Service};
use model::time::{Timestamp, humane_duration};
use model::verdict::{ServiceStatus, Verdict};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
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

/// Judges the rounds of a batch.
pub(crate) fn results(state: &mut State, batch: &Batch, effects: &mut BTreeSet<Effect>) {
    let Some(number) = state.location_number(&batch.location) else {
        return;
    };
    let configuration = Arc::clone(&state.configuration);
    let index = Arc::clone(&state.index);
    let has_no_way_out = state.member(batch.node).is_some_and(|known| known.egress_broken.is_some());
    let place = Place { number, aside: state.aside_numbers() };
    let mut recent = state.recent.remove(&batch.location).unwrap_or_default();
    let mut touched = BTreeSet::new();
    let mut counts: BTreeMap<(&'static str, Outcome), u64> = BTreeMap::new();
    let mut late = 0;
    for observation in &batch.observations {
        let Some((service, position)) = index.targets.get(observation.slot.0 as usize).copied().flatten() else {
            continue;
        };
        let owner = &configuration.services[service as usize];
        let check = &owner.checks[position as usize];
        *counts.entry((check.kind.name(), observation.outcome)).or_default() += 1;
        // A heartbeat comes to us by itself, whatever becomes of our own way out.
        let is_blind = has_no_way_out && !matches!(check.kind, CheckKind::Heartbeat(_));
        if is_blind || !check.from.contains(&batch.location) {
            continue;
        }
        if is_late(state.now(), check, observation) {
            late += 1;
        } else if result(state, (owner, check), &place, observation, &mut recent, effects) {
            touched.insert(service);
        }
    }
    state.recent.insert(batch.location.clone(), recent);
    state.count_results(&batch.location, counts, late);
    aside::review(state, &mut touched, effects);
    settle(state, touched, effects);
}

/// Where a round was made, and which places do not count at the moment.
struct Place {
    number: u16,
    aside: SmallVec<[u16; 4]>,
}

impl Place {
    fn is_aside(&self, location: u16) -> bool {
        self.aside.contains(&location)
    }
}

/// Whether a round comes too late to say anything about now. What a heartbeat
/// says holds until the next one is due.
fn is_late(now: Timestamp, check: &Check, observation: &Observation) -> bool {
    let is_old = now.since(observation.scheduled) > judge::late_after(check);
    is_old && !holds_still(now, check, observation)
}

fn holds_still(now: Timestamp, check: &Check, observation: &Observation) -> bool {
    match &check.kind {
        CheckKind::Heartbeat(beat) => heartbeat::deadline(beat, observation.scheduled) > now,
        CheckKind::Http(_)
        | CheckKind::Tcp(_)
        | CheckKind::Icmp(_)
        | CheckKind::Dns(_)
        | CheckKind::Tls(_)
        | CheckKind::Smtp(_)
        | CheckKind::Ssh(_)
        | CheckKind::Postgres(_)
        | CheckKind::Redis(_)
        | CheckKind::Plugin(_) => false,
    }
}

/// Counts one round; returns whether the service must be looked at.
fn result(
    state: &mut State,
    (service, check): (&Service, &Check),
    place: &Place,
    observation: &Observation,
    recent: &mut Recent,
    effects: &mut BTreeSet<Effect>,
) -> bool {
    let (now, slot, outcome) = (state.now(), observation.slot, observation.outcome);
    let Some(known) = state.checks.get_mut(slot.0 as usize) else {
        return false;
    };
    // The round began when the check still looked at something else.
    if observation.scheduled < known.created {
        return false;
    }
    if !known.seens.iter().any(|seen| seen.location == place.number) {
        known.seens.push(Seen::new(place.number));
    }
    let at = known.seens.iter().position(|seen| seen.location == place.number).expect("just made sure");
    let before = known.seens[at];
    let Some(counted_at) = counted_at(now, check, known, &before, observation) else {
        return false;
    };
    let is_suspect =
        |known: &CheckState| known.seens.iter().any(|seen| seen.is_suspect() && !place.is_aside(seen.location));
    let (was_suspect, has_changed) = (is_suspect(known), has_changed(known, &before, outcome));
    known.seens[at].count(counted_at, outcome, thresholds(check, observation));
    if outcome != Outcome::Own && !matches!(check.kind, CheckKind::Heartbeat(_)) {
        recent.count(slot, outcome == Outcome::Fail);
    }
    if place.is_aside(place.number) {
        return false;
    }
    note(known, check, observation);
    if known.seens[at].fails > 0 && before.fails == 0 && !is_called_for(known, check, place, now) {
        effects.insert(Effect::LookNow(slot));
    }
    let flapped = has_changed.and_then(|has_changed| known.flap.count(has_changed));
    let (percent, suspicion_turned) = (known.flap.percent(), was_suspect != is_suspect(known));
    if let Some(is_flapping) = flapped {
        state.decide(Some(&service.id), Some(&check.id), Reason::Flapping { is_flapping, percent });
    }
    let changed = conclude(state, service, check, slot);
    changed || flapped.is_some() || suspicion_turned
}

/// The moment for which a round counts; `None` if a newer one was counted before.
///
/// A beat that was on its way when it was missed, and still holds, is a sign of
/// life now: the next one may be a day away.
fn counted_at(
    now: Timestamp,
    check: &Check,
    known: &CheckState,
    before: &Seen,
    observation: &Observation,
) -> Option<Timestamp> {
    let scheduled = observation.scheduled.min(now);
    if before.is_overtaken_by(scheduled) {
        return Some(scheduled);
    }
    let was_overtaken = known.looked.is_none_or(|looked| scheduled > looked) && holds_still(now, check, observation);
    was_overtaken.then_some(now)
}

/// Whether a round went otherwise than the one before at this place; `None` if
/// it says nothing. That a heartbeat was missed is no round.
fn has_changed(known: &CheckState, before: &Seen, outcome: Outcome) -> Option<bool> {
    let was_missed = known.failure.as_ref().is_some_and(|failure| failure.cause == Cause::Missed);
    let has_failed = match outcome {
        Outcome::Own => return None,
        Outcome::Pass | Outcome::Degraded => false,
        Outcome::Fail => true,
    };
    let is_first = before.fails == 0 && before.works == 0;
    Some(!is_first && has_failed != (before.fails > 0 && !was_missed))
}

/// Whether nobody else has to be called to look, when a location has seen a
/// check fail that had worked there. If another one saw that a moment ago, all
/// were called and their rounds are on their way: in an outage that all see,
/// each would call all others again otherwise.
fn is_called_for(known: &CheckState, check: &Check, place: &Place, now: Timestamp) -> bool {
    let lately = |seen: &Seen| now.since(seen.run_start) <= check.retry + check.timeout;
    let has_called =
        |seen: &Seen| seen.location != place.number && !place.is_aside(seen.location) && seen.fails > 0 && lately(seen);
    matches!(check.kind, CheckKind::Heartbeat(_)) || check.from.len() < 2 || known.seens.iter().any(has_called)
}

/// A heartbeat speaks for itself: one is enough either way, and there is no pause between two.
const HEARTBEAT_THRESHOLDS: Thresholds = Thresholds { down_after: 1, up_after: 1, pause_max: Duration::MAX };

/// What it takes to change what a location says.
fn thresholds(check: &Check, observation: &Observation) -> Thresholds {
    if matches!(check.kind, CheckKind::Heartbeat(_)) {
        return HEARTBEAT_THRESHOLDS;
    }
    let pause_max = judge::silent_after(check);
    if is_certain(observation) {
        return Thresholds { down_after: 1, up_after: 1, pause_max };
    }
    Thresholds { down_after: check.down_after, up_after: check.up_after, pause_max }
}

/// Whether a failure needs no second look: an expired certificate does not unexpire.
fn is_certain(observation: &Observation) -> bool {
    let cause = observation.detail.as_ref().and_then(|detail| detail.failure.as_ref()).map(|failure| failure.cause);
    matches!(cause, Some(Cause::CertificateExpired | Cause::Missed))
}

/// Takes over what people are shown of a round.
fn note(known: &mut CheckState, check: &Check, observation: &Observation) {
    known.outcome = Some(observation.outcome);
    known.latency_us = observation.latency_us;
    if observation.outcome != Outcome::Own {
        known.looked = Some(known.looked.map_or(observation.scheduled, |before| before.max(observation.scheduled)));
    }
    if let (CheckKind::Heartbeat(heartbeat), Outcome::Pass) = (&check.kind, observation.outcome) {
        known.deadline = Some(heartbeat::deadline(heartbeat, observation.scheduled));
    }
    if known.verdict == Verdict::Up && observation.outcome == Outcome::Pass {
        known.failure = None;
    }
    let Some(detail) = &observation.detail else {
        return;
    };
    if let Some(failure) = &detail.failure {
        known.failure = Some(Arc::new(failure.clone()));
    }
    // Rounds that bring no news come without their certificate.
    let shown = detail.evidence.certificate.as_ref().map(|certificate| certificate.not_after);
    let before = known.measured.as_ref().and_then(|measured| measured.certificate_until);
    known.measured = Some(Arc::new(LastMeasured {
        phases: detail.phases,
        certificate_until: shown.or(before),
        status: detail.evidence.status.clone(),
    }));
}

/// Takes the vote on a check; returns whether its verdict changed.
pub(crate) fn conclude(state: &mut State, service: &Service, check: &Check, slot: CheckSlot) -> bool {
    let now = state.now();
    let Some(known) = state.checks.get(slot.0 as usize) else {
        return false;
    };
    let vote = judge::vote(&known.seens, check, &state.aside_numbers(), now);
    if vote.verdict == known.verdict || (vote.is_being_confirmed && known.verdict < vote.verdict) {
        return false;
    }
    let from = known.verdict;
    let since = vote.since.max(known.since);
    let known = state.checks.get_mut(slot.0 as usize).expect("it was there a moment ago");
    known.verdict = vote.verdict;
    known.since = since;
    if vote.verdict == Verdict::Up {
        known.failure = None;
    }
    let sentence = known.failure.as_ref().map(|failure| failure.sentence.clone());
    let reason = Reason::Verdict { from, to: vote.verdict, since, tally: vote.tally, sentence };
    state.decide(Some(&service.id), Some(&check.id), reason);
    true
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
    let now = state.now();
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
            (Verdict::Unknown, Some(_)) => false,
            // Of those that saw it none may be assigned any more.
            (Verdict::Up | Verdict::Degraded | Verdict::Down, looked) if known.seens.is_empty() => {
                is_silent(looked.unwrap_or(known.created))
            }
            (Verdict::Up | Verdict::Degraded | Verdict::Down, _) => known.seens.iter().any(|seen| is_silent(seen.last)),
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

//! From rounds to verdicts: judges what a batch brought.
//!
//! Which rounds count at all is decided here: not those that come too late, of
//! a node without a way out, or of a check that looked at something else by
//! then; those of a location that is set aside are only counted. What follows
//! for the services is decided in [`crate::standing`].

use crate::aside::{self, Recent};
use crate::decision::Reason;
use crate::heartbeat;
use crate::judge::{self, Seen, Thresholds, Vote};
use crate::standing;
use crate::state::{CheckState, Effect, LastMeasured, State};
use model::check::{Check, CheckKind};
use model::id::CheckSlot;
use model::observation::{Batch, Cause, Observation, Outcome};
use model::service::Service;
use model::time::Timestamp;
use model::verdict::Verdict;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

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
        // A heartbeat comes to us by itself, to whichever node it is sent, and
        // whatever becomes of our own way out.
        let looks = !matches!(check.kind, CheckKind::Heartbeat(_));
        if looks && (has_no_way_out || !check.from.contains(&batch.location)) {
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
    standing::settle(state, touched, effects);
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
    let is_heartbeat = matches!(check.kind, CheckKind::Heartbeat(_));
    let Some(known) = state.checks.get_mut(slot.0 as usize) else {
        return false;
    };
    // The round began when the check still looked at something else.
    if observation.scheduled < known.created {
        return false;
    }
    if !known.seens.iter().any(|seen| seen.location == place.number) {
        // There are as many as places it is looked at from, and with a million checks each byte counts.
        known.seens.reserve_exact(check.from.len().saturating_sub(known.seens.len()));
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
    if outcome != Outcome::Own && !is_heartbeat {
        recent.count(slot, outcome == Outcome::Fail);
    }
    if place.is_aside(place.number) && !is_heartbeat {
        return false;
    }
    note(known, check, observation);
    if known.seens[at].fails > 0 && before.fails == 0 && !is_called_for(known, check, place, now) {
        effects.insert(Effect::LookNow(slot));
    }
    let places = check.from.len();
    let flapped = has_changed.and_then(|has_changed| known.flap.count(has_changed, places));
    let (percent, suspicion_turned) = (known.flap.percent(places), was_suspect != is_suspect(known));
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
pub(crate) const HEARTBEAT_THRESHOLDS: Thresholds = Thresholds { down_after: 1, up_after: 1, pause_max: Duration::MAX };

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
        // One that came in elsewhere and had to wait may be older than the last one.
        let deadline = heartbeat::deadline(heartbeat, observation.scheduled);
        known.deadline = Some(known.deadline.map_or(deadline, |before| before.max(deadline)));
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
    let Some(vote) = changed_vote(known, check, &state.aside_numbers(), now) else {
        return false;
    };
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

/// The vote on a check, if it changes the verdict.
pub(crate) fn changed_vote(known: &CheckState, check: &Check, aside: &[u16], now: Timestamp) -> Option<Vote> {
    let vote = judge::vote(&known.seens, check, aside, now);
    let waits = vote.is_being_confirmed && known.verdict < vote.verdict;
    (vote.verdict != known.verdict && !waits).then_some(vote)
}

//! Whether a service's state opens, worsens or ends an incident, and who is told.
//!
//! Three rules about dependencies: an outage elsewhere suppresses *alerting*,
//! never watching; it suppresses the *creation* of an incident, never its
//! resolution; and only the direct need's own state counts, which goes on
//! being measured, so that chains work without walking the graph.

use crate::decision::{Hold, NotTold, Reason};
use crate::delivery;
use crate::heartbeat;
use crate::incident::{Incident, Line};
use crate::judge::{self, Seen};
use crate::standing::{ServiceState, active_work};
use crate::state::{Effect, State};
use model::check::CheckKind;
use model::entry::Phase;
use model::id::{CheckSlot, IncidentId, ServiceId};
use model::limits::INCIDENTS_MAX;
use model::message::Step;
use model::observation::Outcome;
use model::service::{NeedClass, Service};
use model::time::{Timestamp, humane_duration};
use model::verdict::{ServiceStatus, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a service may go unverified before its owners are told, counted
/// from when that was noticed: a node that was off has noticed nothing.
const UNVERIFIED_ALARM_AFTER: Duration = Duration::from_secs(10 * 60);
/// Names of services that are listed in a message; more are counted.
const UNVERIFIED_NAMED_MAX: usize = 10;
/// Holds that are followed from one service to the next in search of a circle:
/// longer than any chain of needs that people draw.
const HOLDS_FOLLOWED_MAX: usize = 64;

/// What is to be done about a service's incident.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Nothing,
    Hold(Hold),
    Open,
    Worsen(IncidentId),
    Improve(IncidentId),
    Resolve(IncidentId),
}

/// Decides about one service and carries the decision out in the state.
pub(crate) fn judge(state: &mut State, at: u32, effects: &mut BTreeSet<Effect>) {
    let configuration = Arc::clone(&state.configuration);
    let (Some(service), Some(known)) = (configuration.services.get(at as usize), state.services.get(at as usize))
    else {
        return;
    };
    let choice = match known.incident.and_then(|id| state.incident(id)) {
        Some(incident) => with_incident(state, at, known.status(), incident),
        None => without_incident(state, at, service, known.status()),
    };
    let hold = if let Choice::Hold(hold) = &choice { Some(hold.clone()) } else { None };
    note_hold(state, at, service, hold, effects);
    match choice {
        Choice::Nothing | Choice::Hold(_) => {}
        Choice::Open => open(state, at, service, effects),
        Choice::Worsen(id) => worsen(state, service, id, effects),
        Choice::Improve(id) => improve(state, service, id),
        Choice::Resolve(id) => resolve(state, at, service, id, effects),
    }
}

fn with_incident(state: &State, at: u32, status: ServiceStatus, incident: &Incident) -> Choice {
    let said_last = incident.timeline.iter().rev().find(|line| line.author.is_none()).map(|line| line.phase);
    match status {
        ServiceStatus::Up if is_flapping(state, at) => Choice::Hold(Hold::Flapping),
        ServiceStatus::Up => Choice::Resolve(incident.id),
        ServiceStatus::Down if incident.worst < ServiceStatus::Down => Choice::Worsen(incident.id),
        ServiceStatus::Degraded if incident.worst == ServiceStatus::Down && said_last != Some(Phase::Monitoring) => {
            Choice::Improve(incident.id)
        }
        // Not verified is not over, and planned work does not end what began before it.
        ServiceStatus::Down | ServiceStatus::Degraded | ServiceStatus::Unknown | ServiceStatus::Maintenance => {
            Choice::Nothing
        }
    }
}

fn without_incident(state: &State, at: u32, service: &Service, status: ServiceStatus) -> Choice {
    match status {
        ServiceStatus::Up | ServiceStatus::Unknown => Choice::Nothing,
        ServiceStatus::Maintenance => {
            let observed = state.services.get(at as usize).map(|known| known.observed);
            match (active_work(state, service), observed) {
                (Some(work), Some(ServiceStatus::Down | ServiceStatus::Degraded)) => {
                    Choice::Hold(Hold::Maintenance { title: work.title.clone(), until: work.until })
                }
                _ => Choice::Nothing,
            }
        }
        ServiceStatus::Down | ServiceStatus::Degraded => match explained_by_need(state, at, service, status) {
            Some(hold) => Choice::Hold(hold),
            None => Choice::Open,
        },
    }
}

/// Whether something this service needs explains its state, or may soon.
fn explained_by_need(state: &State, at: u32, service: &Service, status: ServiceStatus) -> Option<Hold> {
    for need in &service.needs {
        let Some(parent) = state.service(&need.service) else {
            continue;
        };
        let id = need.service.clone();
        let explains = match (need.class, parent.observed) {
            (NeedClass::Hard, ServiceStatus::Down) => true,
            (NeedClass::Soft, ServiceStatus::Down | ServiceStatus::Degraded) => status == ServiceStatus::Degraded,
            (NeedClass::Hard, ServiceStatus::Degraded) => status == ServiceStatus::Degraded,
            (
                NeedClass::Hard | NeedClass::Soft,
                ServiceStatus::Up | ServiceStatus::Unknown | ServiceStatus::Maintenance,
            ) => false,
        };
        if explains && !is_held_because_of(state, &need.service, &service.id) {
            return Some(Hold::NeedIsDown { service: id });
        }
        if state.slots_of(&need.service).iter().any(|slot| is_being_confirmed(state, *slot)) {
            return Some(Hold::NeedIsSuspect { service: id });
        }
        let held_before = state.services.get(at as usize).and_then(|known| known.hold.as_ref());
        let waited_for = matches!(held_before, Some(Hold::NeedIsDown { service } | Hold::NeedCameBack { service }) if *service == id);
        if waited_for && !has_fresh_failure(state, service, parent.observed_since) {
            return Some(Hold::NeedCameBack { service: id });
        }
    }
    None
}

/// Whether a location has seen a check fail and will look again soon. Nobody
/// confirms what a location has seen that is silent by now.
fn is_being_confirmed(state: &State, slot: CheckSlot) -> bool {
    let (Some((_, check)), Some(known)) = (state.target(slot), state.check(slot)) else {
        return false;
    };
    let (silent_after, aside) = (judge::silent_after(check), state.aside_numbers());
    let is_heard = |seen: &Seen| state.now().since(seen.last) <= silent_after && !aside.contains(&seen.location);
    known.seens.iter().any(|seen| seen.is_suspect() && is_heard(seen))
}

/// Whether an incident of `service` is held because of `other`. Then it does
/// not explain anything of `other`: of services that like each other in a
/// circle, one is told.
fn is_held_because_of(state: &State, service: &ServiceId, other: &ServiceId) -> bool {
    let mut at = service;
    for _ in 0..HOLDS_FOLLOWED_MAX {
        match state.service(at).and_then(|known| known.hold.as_ref()) {
            Some(Hold::NeedIsDown { service } | Hold::NeedIsSuspect { service } | Hold::NeedCameBack { service }) => {
                if service == other {
                    return true;
                }
                at = service;
            }
            Some(Hold::Maintenance { .. } | Hold::Flapping) | None => return false,
        }
    }
    false
}

/// Whether a check of the service has failed in a round that was due after
/// `since`. Nobody looks at a heartbeat: it has failed again when one that
/// could be expected since then did not come.
fn has_fresh_failure(state: &State, service: &Service, since: Timestamp) -> bool {
    let has_failed = |slot: &CheckSlot| {
        let (Some((_, check)), Some(known)) = (state.target(*slot), state.check(*slot)) else {
            return false;
        };
        let has_looked = known.looked.is_some_and(|looked| looked > since);
        let is_missed = if let CheckKind::Heartbeat(beat) = &check.kind {
            state.now() > heartbeat::deadline(beat, since)
        } else {
            false
        };
        matches!(known.outcome, Some(Outcome::Fail | Outcome::Degraded)) && (has_looked || is_missed)
    };
    state.slots_of(&service.id).iter().any(has_failed)
}

fn is_flapping(state: &State, at: u32) -> bool {
    let slots = state.index.slots.get(at as usize).map_or(&[][..], |slots| slots);
    slots.iter().filter_map(|slot| state.check(*slot)).any(|known| known.flap.is_flapping())
}

fn note_hold(state: &mut State, at: u32, service: &Service, hold: Option<Hold>, effects: &mut BTreeSet<Effect>) {
    let Some(known) = state.services.get(at as usize) else {
        return;
    };
    if hold.is_some() {
        state.attention.insert(at);
    }
    if known.hold == hold {
        return;
    }
    let open = known.incident;
    state.services.get_mut(at as usize).expect("it was there a moment ago").hold.clone_from(&hold);
    let Some(hold) = hold else {
        return;
    };
    let is_flapping = hold == Hold::Flapping;
    state.decide(Some(&service.id), None, Reason::Held(hold));
    let told_before = open.and_then(|id| state.incident(id)).is_none_or(|incident| incident.told_flapping);
    if let (true, false, Some(id)) = (is_flapping, told_before, open) {
        change(state, id, |incident| incident.told_flapping = true);
        let text = format!("{} goes up and down. You will hear again when it stays up.", service.name);
        tell(state, service, id, Step::Flapping, &text, effects);
    }
}

fn open(state: &mut State, at: u32, service: &Service, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let Some(known) = state.services.get(at as usize) else {
        return;
    };
    let (status, started) = (known.status(), known.observed_since.min(now));
    state.incidents_opened += 1;
    let id = IncidentId(state.incidents_opened);
    let is_down = status == ServiceStatus::Down;
    let title = format!("{} is {}", service.name, if is_down { "down" } else { "degraded" });
    let mut incident = Incident {
        id,
        service: service.id.clone(),
        service_name: service.name.clone(),
        title,
        started,
        opened: now,
        resolved: None,
        worst: status,
        phase: Phase::Investigating,
        is_public: service.is_public && service.announces && is_down,
        acknowledged: None,
        told_flapping: false,
        told: BTreeSet::new(),
        timeline: Vec::new(),
        revision: state.applied_index(),
    };
    let said = if is_down {
        format!("{} has not been reachable since {}. We are looking into it.", service.name, started.minute())
    } else {
        format!("{} has not been working well since {}. We are looking into it.", service.name, started.minute())
    };
    incident.add(Line { at: now, phase: Phase::Investigating, text: said, is_public: true, author: None });
    state.services.get_mut(at as usize).expect("it was there a moment ago").incident = Some(id);
    Arc::make_mut(&mut state.incidents).insert(id, Arc::new(incident));
    forget_oldest(state);
    state.decide(Some(&service.id), None, Reason::Opened { incident: id, status });
    effects.insert(Effect::Publish);
    let text = findings(state, service);
    tell(state, service, id, Step::Opened, &text, effects);
}

fn worsen(state: &mut State, service: &Service, id: IncidentId, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let is_public = service.is_public && service.announces;
    change(state, id, |incident| {
        incident.worst = ServiceStatus::Down;
        incident.title = format!("{} is down", incident.service_name);
        incident.is_public |= is_public;
        let text = format!("{} is not reachable.", incident.service_name);
        incident.add(Line { at: now, phase: Phase::Investigating, text, is_public: true, author: None });
    });
    state.decide(Some(&service.id), None, Reason::Worsened { incident: id });
    effects.insert(Effect::Publish);
    let text = findings(state, service);
    tell(state, service, id, Step::Worsened, &text, effects);
}

fn improve(state: &mut State, service: &Service, id: IncidentId) {
    let now = state.now();
    change(state, id, |incident| {
        let text = format!("{} can be reached again, but does not work well yet.", service.name);
        incident.add(Line { at: now, phase: Phase::Monitoring, text, is_public: true, author: None });
    });
}

fn resolve(state: &mut State, at: u32, service: &Service, id: IncidentId, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let Some(known) = state.services.get_mut(at as usize) else {
        return;
    };
    known.incident = None;
    let over = known.observed_since.min(now);
    close(state, id, over, |incident, lasted| {
        format!("{} works again since {}, after {lasted}.", incident.service_name, over.minute())
    });
    let lasted = state.incident(id).map_or(Duration::ZERO, |incident| over.since(incident.started));
    state.decide(Some(&service.id), None, Reason::Resolved { incident: id, lasted });
    effects.insert(Effect::Publish);
    let was_down = state.incident(id).is_none_or(|incident| incident.worst == ServiceStatus::Down);
    let was = if was_down { "was out" } else { "did not work well" };
    let text =
        format!("{} is up again since {}. It {was} for {}.", service.name, over.minute(), humane_duration(lasted));
    tell(state, service, id, Step::Resolved, &text, effects);
    forget_oldest(state);
}

/// Ends the incident of a service that is no longer configured or has no
/// checks any more, and tells who was told of it.
pub(crate) fn abandon(state: &mut State, service: &Service, id: IncidentId, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let text = |lasted: &str| format!("{} is no longer watched; its incident was closed after {lasted}.", service.name);
    close(state, id, now, |_, lasted| text(lasted));
    let lasted = state.incident(id).map_or(Duration::ZERO, |incident| now.since(incident.started));
    state.decide(Some(&service.id), None, Reason::Resolved { incident: id, lasted });
    let text = text(&humane_duration(lasted));
    tell(state, service, id, Step::Resolved, &text, effects);
    forget_oldest(state);
}

/// Writes the end of an incident into it; `said` makes its last line of it and of how long it lasted.
fn close(state: &mut State, id: IncidentId, over: Timestamp, said: impl FnOnce(&Incident, &str) -> String) {
    let now = state.now();
    change(state, id, |incident| {
        let over = over.max(incident.started);
        incident.resolved = Some(over);
        let text = said(incident, &humane_duration(over.since(incident.started)));
        incident.add(Line { at: now, phase: Phase::Resolved, text, is_public: true, author: None });
    });
    Arc::make_mut(&mut state.incidents_closed).push_back(id);
}

/// Changes an incident and raises its revision.
pub(crate) fn change(state: &mut State, id: IncidentId, how: impl FnOnce(&mut Incident)) {
    let revision = state.applied_index();
    if let Some(incident) = Arc::make_mut(&mut state.incidents).get_mut(&id) {
        let incident = Arc::make_mut(incident);
        incident.revision = revision;
        how(incident);
    }
}

/// Forgets those that ended first; what is open stays, however much it is.
fn forget_oldest(state: &mut State) {
    while state.incidents.len() > INCIDENTS_MAX {
        let Some(id) = Arc::make_mut(&mut state.incidents_closed).pop_front() else {
            return;
        };
        Arc::make_mut(&mut state.incidents).remove(&id);
    }
}

/// What is wrong with each check that is, for the people who mend it.
fn findings(state: &State, service: &Service) -> String {
    let mut lines = Vec::new();
    for slot in state.slots_of(&service.id) {
        let (Some((_, check)), Some(known)) = (state.target(*slot), state.check(*slot)) else {
            continue;
        };
        if !matches!(known.verdict, Verdict::Down | Verdict::Degraded) {
            continue;
        }
        let said = known.failure.as_ref().map_or("no reason given", |failure| failure.sentence.as_str());
        lines.push(format!(
            "{} ({}) is {} since {}: {said}",
            check.id,
            check.kind.target(),
            known.verdict.name(),
            known.since
        ));
    }
    lines.extend(perhaps_us(state, service));
    lines.join("\n")
}

/// What is to be said when most of what a location looks at fails, and no other
/// location looks at it, so that none can be asked whether it is true.
fn perhaps_us(state: &State, service: &Service) -> Option<String> {
    let alone = service.checks.iter().filter_map(|check| match check.from.as_slice() {
        [only] => Some((only, state.recent.get(only)?.mostly_failing()?)),
        _ => None,
    });
    let (location, (failing, of)) = alone.into_iter().next()?;
    Some(format!(
        "Of the last {of} checks made from {location}, {failing} failed: perhaps it is {location}'s own network. No other location looks at this one, so none could be asked."
    ))
}

fn tell(state: &mut State, service: &Service, id: IncidentId, step: Step, text: &str, effects: &mut BTreeSet<Effect>) {
    let configuration = Arc::clone(&state.configuration);
    let Some(incident) = state.incident(id).map(Arc::clone) else {
        return;
    };
    for receiver in &configuration.receivers {
        // Whoever did not want to hear that it was degraded hears now that it began.
        let is_first = !incident.told.contains(&receiver.id);
        let step = if step == Step::Worsened && is_first { Step::Opened } else { step };
        // Whoever was told that it began hears that it is over, whatever the configuration says by then.
        let is_owed = step == Step::Resolved && !is_first;
        if !is_owed && service.receivers.as_ref().is_some_and(|wanted| !wanted.contains(&receiver.id)) {
            continue;
        }
        let because = if incident.worst == ServiceStatus::Degraded && !receiver.wants_degraded && !is_owed {
            Some(NotTold::DegradedUnwanted)
        } else if step == Step::Resolved && !receiver.wants_resolved {
            Some(NotTold::ResolvedUnwanted)
        } else if matches!(step, Step::Resolved | Step::Flapping) && is_first {
            Some(NotTold::NeverTold)
        } else {
            None
        };
        match because {
            Some(because) => {
                let reason = Reason::NotTold { receiver: receiver.id.clone(), step, because };
                state.decide(Some(&service.id), None, reason);
            }
            None => {
                if delivery::tell_incident(state, service, &incident, receiver, step, text, effects) {
                    change(state, id, |incident| {
                        incident.told.insert(receiver.id.clone());
                    });
                }
            }
        }
    }
}

/// Tells the owners when services have not been verified for too long: a
/// monitor that has stopped looking must not keep silent about it. That most
/// are not is an alarm of its own, because one that can never be verified must
/// not hide it.
pub(crate) fn unverified(state: &mut State, effects: &mut BTreeSet<Effect>) {
    const SOME: &str = "unverified";
    const MOST: &str = "unverified-most";
    let mut watched = 0;
    let mut stale: Vec<&str> = Vec::new();
    for (service, known) in state.services().filter(|(service, _)| !service.checks.is_empty()) {
        watched += 1;
        if is_stale(state, service, known) {
            stale.push(&service.name);
        }
    }
    let are_most = stale.len() * 2 > watched;
    let shown = stale.iter().take(UNVERIFIED_NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = stale.len().saturating_sub(UNVERIFIED_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "Not verified for more than {}: {shown}{more}. What their pages show may be out of date.",
        humane_duration(UNVERIFIED_ALARM_AFTER)
    );
    let is_none = stale.is_empty();
    if are_most && !state.is_raised(MOST) {
        let title = if watched == 1 { "Services are not verified" } else { "Most services are not verified" };
        delivery::tell_own(state, MOST, title, &text, true, effects);
    } else if !are_most && !is_none && !state.is_raised(SOME) {
        delivery::tell_own(state, SOME, "Services are not verified", &text, true, effects);
    }
    for (alarm, is_over) in [(MOST, !are_most), (SOME, is_none)] {
        if is_over && state.is_raised(alarm) {
            let text = if is_none {
                "Every service is being watched again."
            } else {
                "Most services are being watched again."
            };
            delivery::tell_own(state, alarm, "Services are verified again", text, false, effects);
        }
    }
}

/// Whether a service has not been verified for too long. A heartbeat that
/// never came is not missed before it could have come.
fn is_stale(state: &State, service: &Service, known: &ServiceState) -> bool {
    let now = state.now();
    let is_expected = |slot: &CheckSlot| {
        state.check(*slot).is_none_or(|check| {
            check.verdict != Verdict::Unknown
                || check.looked.is_some()
                || check.deadline.is_none_or(|deadline| now > deadline)
        })
    };
    known.status() == ServiceStatus::Unknown
        && now.since(known.concluded) > UNVERIFIED_ALARM_AFTER
        && state.slots_of(&service.id).iter().any(is_expected)
}

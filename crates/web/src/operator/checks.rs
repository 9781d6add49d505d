//! Checks.

use super::{Part, text};
use crate::{api, redact};
use control::State;
use control::judge::Reading;
use control::state::CheckState;
use model::check::Check;
use model::id::{CheckId, CheckSlot};
use model::observation::{Failure, Phases};
use model::service::Service;
use model::time::Timestamp;
use model::verdict::Verdict;

/// A page of the checks whose verdict is wanted.
pub(crate) fn checks(state: &State, part: &Part, wanted: impl Fn(Verdict) -> bool) -> api::Checks {
    let mut slots = state.slots();
    if let Some(after) = &part.after {
        let after = CheckId::new(after).ok().and_then(|id| state.slot(&id));
        slots.find(|slot| Some(*slot) == after);
    }
    let found = slots.filter_map(|slot| {
        let (service, check) = state.target(slot)?;
        let known = state.check(slot)?;
        wanted(known.verdict).then(|| self::check(service, check, known))
    });
    let mut checks: Vec<api::Check> = found.take(part.limit + 1).collect();
    let has_more = checks.len() > part.limit;
    checks.truncate(part.limit);
    let next = checks.last().filter(|_| has_more).map(|last| last.id.clone());
    api::Checks { checks, next }
}

/// One check in a list.
pub(super) fn check(service: &Service, check: &Check, known: &CheckState) -> api::Check {
    api::Check {
        id: check.id.to_string(),
        service: service.id.to_string(),
        kind: check.kind.name().to_owned(),
        target: redact::target(&check.kind),
        verdict: known.verdict.name().to_owned(),
        since: text(known.since),
        looked: known.looked.map(text),
        outcome: known.outcome.map(|outcome| outcome.name().to_owned()),
        latency_us: known.latency_us,
        is_flapping: known.flap.is_flapping(),
        failure: known.failure.as_deref().map(failure),
    }
}

pub(super) fn failure(failure: &Failure) -> api::Failure {
    api::Failure { cause: failure.cause.name().to_owned(), sentence: failure.sentence.clone() }
}

pub(super) const fn phases(phases: &Phases) -> api::Phases {
    api::Phases {
        resolve_us: phases.resolve_us,
        connect_us: phases.connect_us,
        tls_us: phases.tls_us,
        first_byte_us: phases.first_byte_us,
        transfer_us: phases.transfer_us,
    }
}

/// One check with all that the state knows of it; what history knows is added by the caller.
pub(crate) fn check_detail(state: &State, slot: CheckSlot) -> Option<api::CheckDetail> {
    let (service, definition) = state.target(slot)?;
    let known = state.check(slot)?;
    let measured = known.measured.as_deref();
    Some(api::CheckDetail {
        check: check(service, definition, known),
        every_ms: definition.every.as_millis() as u64,
        timeout_ms: definition.timeout.as_millis() as u64,
        down_after: definition.down_after,
        up_after: definition.up_after,
        locations: locations(state, definition, known),
        phases: measured.map(|measured| phases(&measured.phases)),
        answer: measured.and_then(|measured| measured.status.clone()),
        certificate_until: measured.and_then(|measured| measured.certificate_until).map(text),
        deadline: known.deadline.map(text),
        last_failure: None,
        history_error: None,
    })
}

fn locations(state: &State, check: &Check, known: &CheckState) -> Vec<api::LocationReading> {
    let all = &state.configuration().locations;
    let of = |location: &model::id::LocationId| {
        known.seens.iter().find(|seen| all.get(usize::from(seen.location)) == Some(location))
    };
    let reading = |reading| match reading {
        Reading::None => "none",
        Reading::Good => "good",
        Reading::Slow => "slow",
        Reading::Failing => "failing",
    };
    let from = check.from.iter().map(|location| {
        let seen = of(location);
        api::LocationReading {
            location: location.to_string(),
            reading: reading(seen.map_or(Reading::None, |seen| seen.reading)).to_owned(),
            looked: seen.map(|seen| seen.last).filter(|last| *last != Timestamp::EPOCH).map(text),
            fails: seen.map_or(0, |seen| seen.fails),
            works: seen.map_or(0, |seen| seen.works),
        }
    });
    from.collect()
}

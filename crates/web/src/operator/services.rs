//! Services.

use super::checks::check;
use super::{Part, text};
use crate::api;
use control::State;
use control::standing::ServiceState;
use model::limits::DAYS_KEPT;
use model::service::Service;
use model::verdict::Verdict;

/// Ids of checks given with a service; `checks` has them all.
const CHECKS_MAX: usize = 100;
/// Checks that are not up given with a service.
const FAILING_MAX: usize = 10;

/// A page of the services.
pub(crate) fn services(state: &State, part: &Part) -> api::Services {
    let mut all = state.services();
    if let Some(after) = &part.after {
        all.find(|(service, _)| service.id.as_str() == after);
    }
    let mut services: Vec<api::Service> =
        all.take(part.limit + 1).map(|(service, known)| self::service(state, service, known)).collect();
    let has_more = services.len() > part.limit;
    services.truncate(part.limit);
    let next = services.last().filter(|_| has_more).map(|last| last.id.clone());
    api::Services { services, next }
}

/// One service.
pub(crate) fn service(state: &State, service: &Service, known: &ServiceState) -> api::Service {
    let split = known.ledger.last_days(DAYS_KEPT, state.now());
    let slots = state.slots_of(&service.id);
    let failing = slots.iter().filter_map(|slot| {
        let known = state.check(*slot).filter(|known| known.verdict != Verdict::Up)?;
        Some(check(service, state.target(*slot)?.1, known))
    });
    api::Service {
        id: service.id.to_string(),
        name: service.name.clone(),
        group: service.group.clone(),
        is_public: service.is_public,
        status: known.status().name().to_owned(),
        since: text(known.ledger.since()),
        observed: known.observed.name().to_owned(),
        verified: slots.iter().filter_map(|slot| state.check(*slot)?.looked).min().map(text),
        availability_ppm: split.availability_ppm(),
        split: api::Split {
            up_ms: split.up_ms,
            degraded_ms: split.degraded_ms,
            down_ms: split.down_ms,
            maintenance_ms: split.maintenance_ms,
            unknown_ms: split.unknown_ms,
        },
        incident: known.incident.map(|id| id.0),
        hold: known.hold.as_ref().map(ToString::to_string),
        failing: failing.take(FAILING_MAX).collect(),
        checks: service.checks.iter().take(CHECKS_MAX).map(|check| check.id.to_string()).collect(),
    }
}

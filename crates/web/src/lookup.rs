//! Finds services and checks in a state without walking all of them.

use control::State;
use control::standing::ServiceState;
use control::state::CheckState;
use model::check::Check;
use model::id::{CheckId, CheckSlot, ServiceId};
use model::service::Service;

/// A configured service with what is known of it.
pub(crate) fn service<'a>(state: &'a State, id: &ServiceId) -> Option<(&'a Service, &'a ServiceState)> {
    let known = state.service(id)?;
    // A service with checks is found through them; only one without needs the walk.
    let through_check = state.slots_of(id).first().and_then(|slot| state.target(*slot)).map(|(service, _)| service);
    Some((through_check.or_else(|| state.configuration().service(id))?, known))
}

/// A configured check with its service and what is known of it.
pub(crate) fn check<'a>(state: &'a State, id: &CheckId) -> Option<(CheckSlot, &'a Service, &'a Check, &'a CheckState)> {
    let slot = state.slot(id)?;
    let (service, check) = state.target(slot)?;
    Some((slot, service, check, state.check(slot)?))
}

//! Nothing the state says contradicts anything else it says: an open incident
//! belongs to one service that knows it; a service that is shown as up has no
//! open incident without a reason, and one that is shown as down has one, or a
//! reason why not; what the page shows is what the state holds.

use super::Moment;
use control::State;
use control::page;
use control::standing::ServiceState;
use model::id::IncidentId;
use model::service::Service;
use model::verdict::ServiceStatus;
use std::collections::BTreeSet;

/// How often the page is made.
const PAGE_EVERY: u64 = 16;

pub(super) fn entry(moment: &Moment<'_>) -> Result<(), String> {
    let state = moment.state;
    let mut owned = BTreeSet::new();
    for (service, known) in state.services() {
        one(state, service, known)?;
        owned.extend(known.incident);
    }
    let open: BTreeSet<IncidentId> =
        state.incidents().filter(|incident| incident.is_open()).map(|incident| incident.id).collect();
    if open != owned {
        return Err(format!("open are the incidents {open:?}, the services know of {owned:?}"));
    }
    if moment.index.is_multiple_of(PAGE_EVERY) { page_shows_the_state(state) } else { Ok(()) }
}

fn one(state: &State, service: &Service, known: &ServiceState) -> Result<(), String> {
    let (id, status) = (&service.id, known.status());
    if let Some(incident) = known.incident {
        let incident =
            state.incident(incident).ok_or_else(|| format!("{id} has incident {incident}, which is not there"))?;
        if incident.service != *id || !incident.is_open() {
            return Err(format!("{id} has incident {}, which is over or another's", incident.id));
        }
        if status == ServiceStatus::Up && known.hold.is_none() {
            return Err(format!("{id} is up, and incident {} is open without a reason", incident.id));
        }
        if status == ServiceStatus::Down && incident.worst != ServiceStatus::Down {
            return Err(format!("{id} is down, and incident {} says it is not", incident.id));
        }
    } else if matches!(status, ServiceStatus::Down | ServiceStatus::Degraded) && known.hold.is_none() {
        return Err(format!("{id} is {}, and there is neither an incident nor a reason why not", status.name()));
    }
    Ok(())
}

fn page_shows_the_state(state: &State) -> Result<(), String> {
    let page = page::view(state);
    for view in page.groups.iter().flat_map(|group| &group.services) {
        let known = state.service(&view.id).ok_or_else(|| format!("the page shows {}, which is not there", view.id))?;
        if view.status != known.status() {
            return Err(format!(
                "the page shows {} as {}, it is {}",
                view.id,
                view.status.name(),
                known.status().name()
            ));
        }
    }
    let shown: usize = page.counts.iter().sum();
    let public = state.configuration().services.iter().filter(|service| service.is_public).count();
    if shown != public {
        return Err(format!("the page counts {shown} services, {public} are public"));
    }
    match page.open.iter().find(|incident| !incident.is_open()) {
        Some(over) => Err(format!("the page shows incident {} as open, which is over", over.id)),
        None => Ok(()),
    }
}

//! The public JSON in the shape of Statuspage's version 2, so that clients
//! made for it work with only the base URL changed.
//!
//! Its vocabulary has no "not verified". A component that is not verified is
//! given as `degraded_performance` with a description that says why: the
//! mildest word that is not green. Lists are bounded; a page with very many
//! services gives those at the head of its configuration.

mod incident;
mod maintenance;

use crate::document::Document;
use crate::freshness::Freshness;
use crate::published::Published;
use control::State;
use control::standing::ServiceState;
use model::service::Service;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use serde::Serialize;
use std::collections::BTreeMap;

/// Components given; about 1 MB of JSON, which clients of this shape still read.
const COMPONENTS_MAX: usize = 2_000;
/// Incidents given, as Statuspage does.
const INCIDENTS_MAX: usize = 50;

/// The documents there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Summary,
    Status,
    Components,
    Incidents,
    Unresolved,
    Maintenances,
    Upcoming,
    Active,
}

impl Resource {
    pub(crate) const ALL: [Self; 8] = [
        Self::Summary,
        Self::Status,
        Self::Components,
        Self::Incidents,
        Self::Unresolved,
        Self::Maintenances,
        Self::Upcoming,
        Self::Active,
    ];

    /// Path below `/api/v2/`.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Summary => "summary.json",
            Self::Status => "status.json",
            Self::Components => "components.json",
            Self::Incidents => "incidents.json",
            Self::Unresolved => "incidents/unresolved.json",
            Self::Maintenances => "scheduled-maintenances.json",
            Self::Upcoming => "scheduled-maintenances/upcoming.json",
            Self::Active => "scheduled-maintenances/active.json",
        }
    }

    /// How the document is made; a plain function for each, because the cache keeps no captures.
    pub(crate) const fn make(self) -> crate::cached::Make {
        match self {
            Self::Summary => |published, freshness| document(published, freshness, Self::Summary),
            Self::Status => |published, freshness| document(published, freshness, Self::Status),
            Self::Components => |published, freshness| document(published, freshness, Self::Components),
            Self::Incidents => |published, freshness| document(published, freshness, Self::Incidents),
            Self::Unresolved => |published, freshness| document(published, freshness, Self::Unresolved),
            Self::Maintenances => |published, freshness| document(published, freshness, Self::Maintenances),
            Self::Upcoming => |published, freshness| document(published, freshness, Self::Upcoming),
            Self::Active => |published, freshness| document(published, freshness, Self::Active),
        }
    }
}

/// A document; what is not part of it is left out.
#[derive(Serialize, Default)]
struct Body<'a> {
    page: Option<Page<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Vec<Component<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incidents: Option<Vec<incident::Incident<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_maintenances: Option<Vec<maintenance::Scheduled<'a>>>,
}

#[derive(Serialize)]
struct Page<'a> {
    id: &'a str,
    name: &'a str,
    url: &'a str,
    time_zone: &'static str,
    updated_at: String,
}

#[derive(Serialize)]
struct Status {
    indicator: &'static str,
    description: String,
}

/// A component or, with `components`, a group of them.
#[derive(Serialize, Clone)]
struct Component<'a> {
    id: String,
    name: &'a str,
    status: &'static str,
    created_at: String,
    updated_at: String,
    position: usize,
    description: Option<String>,
    showcase: bool,
    start_date: Option<String>,
    group_id: Option<String>,
    page_id: &'static str,
    group: bool,
    only_show_if_degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Vec<String>>,
}

/// Statuspage gives its pages random names; ours has one page.
const PAGE_ID: &str = "mainstay";

fn document(published: &Published, freshness: Freshness, resource: Resource) -> Document {
    let state = &published.state;
    let is_stale = freshness.is_past();
    let page = &state.configuration().page;
    let mut body = Body {
        page: Some(Page {
            id: PAGE_ID,
            name: &page.name,
            url: page.url.as_deref().unwrap_or_default(),
            time_zone: "Etc/UTC",
            updated_at: time(updated(state)),
        }),
        ..Body::default()
    };
    match resource {
        Resource::Summary => {
            body.status = Some(status(state, freshness));
            body.components = Some(components(state, is_stale));
            body.incidents = Some(incident::unresolved(state, is_stale));
            body.scheduled_maintenances = Some(maintenance::all(state, is_stale, |_| true));
        }
        Resource::Status => body.status = Some(status(state, freshness)),
        Resource::Components => body.components = Some(components(state, is_stale)),
        Resource::Incidents => body.incidents = Some(incident::newest(state, is_stale)),
        Resource::Unresolved => body.incidents = Some(incident::unresolved(state, is_stale)),
        Resource::Maintenances => body.scheduled_maintenances = Some(maintenance::all(state, is_stale, |_| true)),
        Resource::Upcoming => {
            body.scheduled_maintenances = Some(maintenance::all(state, is_stale, |is_active| !is_active))
        }
        Resource::Active => {
            body.scheduled_maintenances = Some(maintenance::all(state, is_stale, |is_active| is_active))
        }
    }
    Document::open_json(serde_json::to_string(&body).expect("own types always encode")).true_at(state.now())
}

/// When what is shown changed last.
fn updated(state: &State) -> Timestamp {
    let services = state.services().map(|(_, known)| known.ledger.since()).max();
    let incidents =
        state.incidents().rev().take(INCIDENTS_MAX).filter_map(|one| one.timeline.last()).map(|line| line.at);
    services.into_iter().chain(incidents).max().unwrap_or(state.now())
}

fn status(state: &State, freshness: Freshness) -> Status {
    let shown = |indicator, description: &str| Status { indicator, description: description.to_owned() };
    match freshness {
        Freshness::Present => {}
        Freshness::Stale => return shown("minor", &format!("Not Verified Since {}", time(state.now()))),
        Freshness::CutOff { since, .. } => {
            let text = format!("Not Verified: No Contact With the Other Nodes Since {}", time(since));
            return shown("minor", &text);
        }
    }
    let public = || state.services().filter(|(service, _)| service.is_public).map(|(_, known)| known.status());
    match public().max().unwrap_or_default() {
        ServiceStatus::Up => shown("none", "All Systems Operational"),
        ServiceStatus::Unknown => shown("minor", "Not Verified"),
        ServiceStatus::Maintenance => shown("maintenance", "Service Under Maintenance"),
        ServiceStatus::Degraded => shown("minor", "Partially Degraded Service"),
        ServiceStatus::Down if public().all(|status| status == ServiceStatus::Down) => {
            shown("critical", "Major System Outage")
        }
        ServiceStatus::Down => shown("major", "Partial System Outage"),
    }
}

fn components(state: &State, is_stale: bool) -> Vec<Component<'_>> {
    let mut out = Vec::new();
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    let public = state.services().filter(|(service, _)| service.is_public).take(COMPONENTS_MAX);
    for (position, (service, known)) in public.enumerate() {
        let mut own = component(service, known, position + 1, is_stale);
        if let Some(name) = service.group.as_deref() {
            let at = *groups.entry(name).or_insert_with(|| {
                out.push(group(name, position + 1, &own));
                out.len() - 1
            });
            own.group_id = Some(out[at].id.clone());
            out[at].components.get_or_insert_default().push(own.id.clone());
            out[at].status = worse(out[at].status, own.status);
        }
        out.push(own);
    }
    out
}

fn component<'a>(service: &'a Service, known: &ServiceState, position: usize, is_stale: bool) -> Component<'a> {
    let status = if is_stale { ServiceStatus::Unknown } else { known.status() };
    let description = match (status, &service.description) {
        (ServiceStatus::Unknown, Some(text)) => Some(format!("Not verified at present. {text}")),
        (ServiceStatus::Unknown, None) => Some("Not verified at present.".to_owned()),
        (_, text) => text.clone(),
    };
    Component {
        id: service.id.to_string(),
        name: &service.name,
        status: component_status(status),
        created_at: time(known.ledger.first()),
        updated_at: time(known.ledger.since()),
        position,
        description,
        showcase: true,
        start_date: Some(time(known.ledger.first())[..10].to_owned()),
        group_id: None,
        page_id: PAGE_ID,
        group: false,
        only_show_if_degraded: false,
        components: None,
    }
}

fn group<'a>(name: &'a str, position: usize, first: &Component<'_>) -> Component<'a> {
    let slug = model::id::slug(name).unwrap_or_else(|| position.to_string());
    Component {
        // A service's id cannot hold a colon, so the two never meet.
        id: format!("group:{slug}"),
        name,
        status: first.status,
        created_at: first.created_at.clone(),
        updated_at: first.updated_at.clone(),
        position,
        description: None,
        showcase: false,
        start_date: None,
        group_id: None,
        page_id: PAGE_ID,
        group: true,
        only_show_if_degraded: false,
        components: None,
    }
}

const fn component_status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Up => "operational",
        ServiceStatus::Unknown | ServiceStatus::Degraded => "degraded_performance",
        ServiceStatus::Maintenance => "under_maintenance",
        ServiceStatus::Down => "major_outage",
    }
}

/// The state of a group of two: a group of which some are down has a partial outage.
fn worse(one: &'static str, other: &'static str) -> &'static str {
    const ORDER: [&str; 5] =
        ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"];
    let rank = |status: &str| ORDER.iter().position(|known| *known == status).unwrap_or(0);
    if one != other && rank(one).max(rank(other)) >= rank("partial_outage") {
        return "partial_outage";
    }
    if rank(one) >= rank(other) { one } else { other }
}

/// A time as Statuspage writes it: always with milliseconds.
fn time(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second, ms) = at.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_which_some_are_down_has_a_partial_outage() {
        assert_eq!(worse("operational", "major_outage"), "partial_outage");
        assert_eq!(worse("major_outage", "major_outage"), "major_outage");
        assert_eq!(worse("partial_outage", "operational"), "partial_outage");
        assert_eq!(worse("operational", "under_maintenance"), "under_maintenance");
    }
}

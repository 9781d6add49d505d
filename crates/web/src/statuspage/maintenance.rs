//! Planned work in Statuspage's shape. Work that is over leaves the state, so
//! `completed` does not occur.

use super::{Component, PAGE_ID, component, time};
use crate::lookup;
use control::State;
use model::service::{Impact, Maintenance};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Scheduled<'a> {
    id: &'a str,
    name: &'a str,
    status: &'static str,
    impact: &'static str,
    shortlink: String,
    started_at: Option<String>,
    created_at: String,
    updated_at: String,
    monitoring_at: Option<String>,
    resolved_at: Option<String>,
    page_id: &'static str,
    incident_updates: Vec<Update<'a>>,
    components: Vec<Component<'a>>,
    scheduled_for: String,
    scheduled_until: String,
}

#[derive(Serialize)]
struct Update<'a> {
    id: String,
    incident_id: &'a str,
    status: &'static str,
    body: &'a str,
    display_at: String,
    created_at: String,
    updated_at: String,
    affected_components: Vec<()>,
}

/// Work that is not over and touches a public service, by begin.
pub(super) fn all(state: &State, is_stale: bool, wanted: impl Fn(bool) -> bool) -> Vec<Scheduled<'_>> {
    let now = state.now();
    let mut works: Vec<&Maintenance> =
        state.maintenance().filter(|work| now < work.until && wanted(work.from <= now)).collect();
    works.sort_by_key(|work| work.from);
    works.into_iter().map(|work| scheduled(state, work, is_stale)).filter(|one| !one.components.is_empty()).collect()
}

fn scheduled<'a>(state: &'a State, work: &'a Maintenance, is_stale: bool) -> Scheduled<'a> {
    let is_active = work.from <= state.now();
    let status = if is_active { "in_progress" } else { "scheduled" };
    let root = state.configuration().page.url.as_deref().unwrap_or_default();
    let components = work.services.iter().filter_map(|id| lookup::service(state, id)).filter(|(one, _)| one.is_public);
    Scheduled {
        id: work.id.as_str(),
        name: &work.title,
        status,
        impact: impact(work.impact),
        shortlink: format!("{root}/#m-{}", work.id),
        started_at: is_active.then(|| time(work.from)),
        created_at: time(work.from),
        updated_at: time(work.from),
        monitoring_at: None,
        resolved_at: None,
        page_id: PAGE_ID,
        incident_updates: vec![Update {
            id: format!("{}-1", work.id),
            incident_id: work.id.as_str(),
            status,
            body: &work.title,
            display_at: time(work.from),
            created_at: time(work.from),
            updated_at: time(work.from),
            affected_components: Vec::new(),
        }],
        components: components.map(|(service, known)| component(service, known, 1, is_stale)).collect(),
        scheduled_for: time(work.from),
        scheduled_until: time(work.until),
    }
}

const fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::AtRisk => "none",
        Impact::Degraded => "minor",
        Impact::Outage => "major",
    }
}

//! Incidents in Statuspage's shape.

use super::{Component, INCIDENTS_MAX, PAGE_ID, component, time};
use crate::lookup;
use control::State;
use control::incident::{Incident as Known, Line};
use model::entry::Phase;
use model::verdict::ServiceStatus;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Incident<'a> {
    id: String,
    name: &'a str,
    status: &'static str,
    impact: &'static str,
    shortlink: String,
    started_at: String,
    created_at: String,
    updated_at: String,
    monitoring_at: Option<String>,
    resolved_at: Option<String>,
    page_id: &'static str,
    incident_updates: Vec<Update<'a>>,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
pub(super) struct Update<'a> {
    id: String,
    incident_id: String,
    status: &'static str,
    body: &'a str,
    display_at: String,
    created_at: String,
    updated_at: String,
    affected_components: Vec<Affected<'a>>,
}

#[derive(Serialize)]
struct Affected<'a> {
    code: String,
    name: &'a str,
    old_status: &'static str,
    new_status: &'static str,
}

pub(super) fn unresolved(state: &State, is_stale: bool) -> Vec<Incident<'_>> {
    public(state)
        .filter(|known| known.is_open())
        .take(INCIDENTS_MAX)
        .map(|known| incident(state, known, is_stale))
        .collect()
}

pub(super) fn newest(state: &State, is_stale: bool) -> Vec<Incident<'_>> {
    public(state).take(INCIDENTS_MAX).map(|known| incident(state, known, is_stale)).collect()
}

fn public(state: &State) -> impl Iterator<Item = &Known> {
    state.incidents().rev().filter(|known| known.is_public).map(AsRef::as_ref)
}

fn incident<'a>(state: &'a State, known: &'a Known, is_stale: bool) -> Incident<'a> {
    let id = known.id.to_string();
    let configuration = state.configuration();
    let root = configuration.page.url.as_deref().unwrap_or_default();
    let service = lookup::service(state, &known.service);
    let monitoring = known.timeline.iter().find(|line| line.is_public && line.phase == Phase::Monitoring);
    Incident {
        name: &known.title,
        status: known.phase.name(),
        impact: impact(known.worst),
        shortlink: format!("{root}/incidents/{id}"),
        started_at: time(known.started),
        created_at: time(known.opened),
        updated_at: time(known.timeline.last().map_or(known.opened, |line| line.at)),
        monitoring_at: monitoring.map(|line| time(line.at)),
        resolved_at: known.resolved.map(time),
        page_id: PAGE_ID,
        incident_updates: updates(known, &id),
        components: service.into_iter().map(|(service, state)| component(service, state, 1, is_stale)).collect(),
        id,
    }
}

/// Newest first, as Statuspage does.
fn updates<'a>(known: &'a Known, id: &str) -> Vec<Update<'a>> {
    let lines: Vec<&Line> = known.timeline.iter().filter(|line| line.is_public).collect();
    let affected = |at: usize| {
        let bad = if known.worst == ServiceStatus::Down { "major_outage" } else { "degraded_performance" };
        let old = if at == 0 { "operational" } else { bad };
        let new = if lines[at].phase == Phase::Resolved { "operational" } else { bad };
        vec![Affected { code: known.service.to_string(), name: &known.service_name, old_status: old, new_status: new }]
    };
    let update = |(at, line): (usize, &&'a Line)| Update {
        id: format!("{id}-{}", at + 1),
        incident_id: id.to_owned(),
        status: line.phase.name(),
        body: &line.text,
        display_at: time(line.at),
        created_at: time(line.at),
        updated_at: time(line.at),
        affected_components: affected(at),
    };
    lines.iter().enumerate().rev().map(update).collect()
}

const fn impact(worst: ServiceStatus) -> &'static str {
    match worst {
        ServiceStatus::Up | ServiceStatus::Unknown | ServiceStatus::Maintenance => "none",
        ServiceStatus::Degraded => "minor",
        ServiceStatus::Down => "major",
    }
}

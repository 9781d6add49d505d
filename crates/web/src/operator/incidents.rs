//! Incidents and planned work.

use super::text;
use crate::api;
use control::State;
use control::incident::Incident;
use model::service::Maintenance;

/// Incidents, newest first.
pub(crate) fn incidents(state: &State, only_open: bool, limit: usize) -> api::Incidents {
    let found = state.incidents().rev().filter(|one| !only_open || one.is_open()).take(limit);
    api::Incidents { incidents: found.map(|one| incident(one)).collect() }
}

/// One incident with its whole timeline.
pub(crate) fn incident(incident: &Incident) -> api::Incident {
    let timeline = incident.timeline.iter().map(|line| api::Line {
        at: text(line.at),
        phase: line.phase.name().to_owned(),
        text: line.text.clone(),
        is_public: line.is_public,
        author: line.author.clone(),
    });
    api::Incident {
        id: incident.id.0,
        service: incident.service.to_string(),
        service_name: incident.service_name.clone(),
        title: incident.title.clone(),
        started: text(incident.started),
        opened: text(incident.opened),
        resolved: incident.resolved.map(text),
        worst: incident.worst.name().to_owned(),
        phase: incident.phase.name().to_owned(),
        is_public: incident.is_public,
        acknowledged_by: incident.acknowledged.as_ref().map(|(who, _)| who.clone()),
        acknowledged_at: incident.acknowledged.as_ref().map(|(_, at)| text(*at)),
        timeline: timeline.collect(),
        revision: incident.revision,
    }
}

/// Planned work that is not over, by begin.
pub(super) fn maintenance(state: &State) -> Vec<api::Maintenance> {
    let now = state.now();
    let mut works: Vec<&Maintenance> = state.maintenance().filter(|work| now < work.until).collect();
    works.sort_by_key(|work| work.from);
    let works = works.into_iter().map(|work| api::Maintenance {
        id: work.id.to_string(),
        title: work.title.clone(),
        from: text(work.from),
        until: text(work.until),
        services: work.services.iter().map(ToString::to_string).collect(),
        impact: work.impact.name().to_owned(),
        is_active: work.from <= now,
    });
    works.collect()
}

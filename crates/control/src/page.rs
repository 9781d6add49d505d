//! What the public page shows: a projection of the state, without secrets and
//! without internals.
//!
//! Made anew when something changed, so it must stay cheap for a hundred
//! thousand services: a group with very many shows those that need attention
//! and counts the others.

use crate::incident::Incident;
use crate::ledger::Split;
use crate::standing::ServiceState;
use crate::state::State;
use model::id::ServiceId;
use model::limits::DAYS_KEPT;
use model::service::{Impact, Maintenance, Service};
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Services shown one by one in a group; more than a page of them is no overview.
const SHOWN_IN_GROUP_MAX: usize = 100;
/// Services shown one by one on the whole page.
const SHOWN_MAX: usize = 300;
/// How far back closed incidents stay on the front of the page.
const RECENT: Duration = Duration::from_secs(14 * 86_400);
/// Closed incidents shown on the front of the page.
const RECENT_MAX: usize = 20;
/// How far ahead planned work is announced on the front of the page.
const UPCOMING: Duration = Duration::from_secs(30 * 86_400);

/// The page at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageView {
    /// The stamp it is true for.
    pub now: Timestamp,
    /// The last entry it knows.
    pub applied: u64,
    /// Name of the page.
    pub name: String,
    /// One sentence below it.
    pub description: Option<String>,
    /// Public address, without a final slash.
    pub url: Option<String>,
    /// The worst state of all public services.
    pub overall: ServiceStatus,
    /// How many public services are in each state, in the order of [`ServiceStatus::ALL`].
    pub counts: [usize; 5],
    /// When anything was verified last.
    pub verified: Option<Timestamp>,
    /// Services under their headings, in the order of the configuration.
    pub groups: Vec<GroupView>,
    /// Public incidents that are not over, newest first.
    pub open: Vec<Arc<Incident>>,
    /// Public incidents that ended lately, newest first.
    pub recent: Vec<Arc<Incident>>,
    /// Planned work under way or announced, by begin.
    pub maintenance: Vec<MaintenanceView>,
}

/// One heading with its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// The heading; `None` for services without one.
    pub name: Option<String>,
    /// Its worst state.
    pub status: ServiceStatus,
    /// The services shown one by one.
    pub services: Vec<ServiceView>,
    /// How many more there are, all of them up.
    pub more_up: usize,
    /// How many more there are that are not up and still not shown.
    pub more_not_up: usize,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
    /// One sentence for customers.
    pub description: Option<String>,
    /// What it is.
    pub status: ServiceStatus,
    /// Since when.
    pub since: Timestamp,
    /// When the check of it that was verified longest ago was verified last.
    pub verified: Option<Timestamp>,
    /// Whether planned work reduces its redundancy now.
    pub is_at_risk: bool,
    /// The split of each of the last days, oldest first, today last.
    pub days: Vec<DayView>,
    /// The split of all those days together.
    pub total: Split,
}

/// One day of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayView {
    /// UTC day counted from 1970.
    pub day: i64,
    /// The split of its time; empty before the service was known.
    pub split: Split,
}

impl DayView {
    /// The state that the bar of the day shows: the worst that lasted, `None` for a day without a record.
    pub fn worst(&self) -> Option<ServiceStatus> {
        let split = &self.split;
        if split.total_ms() == 0 {
            None
        } else if split.down_ms > 0 {
            Some(ServiceStatus::Down)
        } else if split.degraded_ms > 0 {
            Some(ServiceStatus::Degraded)
        } else if split.maintenance_ms > 0 {
            Some(ServiceStatus::Maintenance)
        } else if split.up_ms >= split.unknown_ms {
            Some(ServiceStatus::Up)
        } else {
            Some(ServiceStatus::Unknown)
        }
    }
}

/// Planned work as the public sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceView {
    /// The work.
    pub work: Maintenance,
    /// The names of the public services it touches.
    pub services: Vec<String>,
    /// Whether it is under way.
    pub is_active: bool,
}

/// Makes the page.
pub fn view(state: &State) -> PageView {
    let now = state.now();
    let page = &state.configuration().page;
    let public = || state.services().filter(|(service, _)| service.is_public);
    let mut counts = [0; 5];
    for (_, known) in public() {
        counts[ServiceStatus::ALL.iter().position(|status| *status == known.status()).unwrap_or(0)] += 1;
    }
    let overall = public().map(|(_, known)| known.status()).max().unwrap_or_default();
    let (open, recent) = incidents(state);
    PageView {
        now,
        applied: state.applied_index(),
        name: page.name.clone(),
        description: page.description.clone(),
        url: page.url.clone(),
        overall,
        counts,
        verified: state.slots().filter_map(|slot| state.check(slot)?.looked).max(),
        groups: groups(state),
        open,
        recent,
        maintenance: maintenance(state),
    }
}

fn groups(state: &State) -> Vec<GroupView> {
    let mut order: Vec<Option<&str>> = Vec::new();
    let mut members: BTreeMap<Option<&str>, Vec<(&Service, &ServiceState)>> = BTreeMap::new();
    for (service, known) in state.services().filter(|(service, _)| service.is_public) {
        let name = service.group.as_deref();
        let of_group = members.entry(name).or_default();
        if of_group.is_empty() {
            order.push(name);
        }
        of_group.push((service, known));
    }
    let mut room = SHOWN_MAX;
    let mut groups = Vec::new();
    for name in order {
        let all = members.remove(&name).unwrap_or_default();
        let group = group(state, name, &all, room.min(SHOWN_IN_GROUP_MAX));
        room -= group.services.len();
        groups.push(group);
    }
    groups
}

fn group(state: &State, name: Option<&str>, all: &[(&Service, &ServiceState)], room: usize) -> GroupView {
    let is_up = |known: &ServiceState| known.status() == ServiceStatus::Up;
    let shown: Vec<_> = if all.len() <= room {
        all.iter().collect()
    } else {
        all.iter().filter(|(_, known)| !is_up(known)).take(room).collect()
    };
    let up = all.iter().filter(|(_, known)| is_up(known)).count();
    let up_shown = shown.iter().filter(|(_, known)| is_up(known)).count();
    GroupView {
        name: name.map(str::to_owned),
        status: all.iter().map(|(_, known)| known.status()).max().unwrap_or_default(),
        more_up: up - up_shown,
        more_not_up: (all.len() - up) - (shown.len() - up_shown),
        services: shown.into_iter().map(|(service, known)| service_view(state, service, known)).collect(),
    }
}

/// One service as the page shows it.
pub fn service_view(state: &State, service: &Service, known: &ServiceState) -> ServiceView {
    let now = state.now();
    let today = now.day();
    let at_risk = |work: &Maintenance| {
        work.impact == Impact::AtRisk && work.from <= now && now < work.until && work.services.contains(&service.id)
    };
    ServiceView {
        id: service.id.clone(),
        name: service.name.clone(),
        description: service.description.clone(),
        status: known.status(),
        since: known.ledger.since(),
        verified: state.slots_of(&service.id).iter().filter_map(|slot| state.check(*slot)?.looked).min(),
        is_at_risk: state.maintenance().any(at_risk),
        days: (today + 1 - DAYS_KEPT as i64..=today)
            .map(|day| DayView { day, split: known.ledger.day(day, now) })
            .collect(),
        total: known.ledger.last_days(DAYS_KEPT, now),
    }
}

fn incidents(state: &State) -> (Vec<Arc<Incident>>, Vec<Arc<Incident>>) {
    let public = || state.incidents().rev().filter(|incident| incident.is_public);
    let horizon = state.now().minus(RECENT);
    let is_recent = |incident: &&Arc<Incident>| incident.resolved.is_some_and(|over| over >= horizon);
    let open = public().filter(|incident| incident.is_open()).cloned().collect();
    (open, public().filter(is_recent).take(RECENT_MAX).cloned().collect())
}

fn maintenance(state: &State) -> Vec<MaintenanceView> {
    let now = state.now();
    let mut found: Vec<MaintenanceView> = state
        .maintenance()
        .filter(|work| now < work.until && work.from < now.plus(UPCOMING))
        .map(|work| MaintenanceView {
            work: work.clone(),
            services: work
                .services
                .iter()
                .filter_map(|id| state.configuration().service(id))
                .filter(|s| s.is_public)
                .map(|s| s.name.clone())
                .collect(),
            is_active: work.from <= now,
        })
        .filter(|view| !view.services.is_empty())
        .collect();
    found.sort_by_key(|view| view.work.from);
    found
}

//! What people do to what is watched: they add, change, move and remove what is
//! configured, plan work and end it early, acknowledge incidents, and tell the public.

use super::seconds;
use crate::clock;
use crate::random::Random;
use control::State;
use model::check::{Check, CheckKind, Family, HeartbeatCheck, HeartbeatSchedule, IcmpCheck, LatencyLimits};
use model::configuration::Configuration;
use model::entry::{Action, Phase};
use model::id::{CheckId, IncidentId, LocationId, MaintenanceId, ReceiverId, ServiceId};
use model::receiver::{Means, Receiver};
use model::service::{Impact, Maintenance, Need, NeedClass, Service};
use std::time::Duration;

/// The first configuration of a run.
pub(crate) fn configuration(random: &mut Random, locations: Vec<LocationId>) -> Configuration {
    let receivers = vec![receiver("boss"), receiver("ops")];
    let mut configuration = Configuration { receivers, locations, ..Default::default() };
    for number in 0..random.between(2, 6) {
        let service = service(random, number, &configuration);
        configuration.services.push(service);
    }
    configuration
}

/// Changes one thing; `number` was never used before.
pub(super) fn change(random: &mut Random, configuration: &mut Configuration, number: u64) {
    let number = 1_000 + number;
    let at = random.between(0, configuration.services.len() as u64) as usize;
    match random.between(0, 8) {
        0 => {
            let service = service(random, number, configuration);
            configuration.services.push(service);
        }
        1 if configuration.services.len() > 1 => {
            let gone = configuration.services.remove(at).id;
            for service in &mut configuration.services {
                service.needs.retain(|need| need.service != gone);
            }
        }
        2 => {
            let check = check(random, &format!("check-{number}"), &configuration.locations);
            configuration.services[at].checks.push(check);
        }
        3 => drop(configuration.services[at].checks.pop()),
        4 => {
            if let Some(known) = configuration.services[at].checks.first_mut() {
                let id = known.id.clone();
                *known = check(random, id.as_str(), &configuration.locations);
            }
        }
        5 => {
            if let Some(moved) = configuration.services[at].checks.pop() {
                let to = random.between(0, configuration.services.len() as u64) as usize;
                configuration.services[to].checks.push(moved);
            }
        }
        6 => change_receivers(random, configuration),
        _ => {
            let service = &mut configuration.services[at];
            service.receivers = if service.receivers.is_some() { None } else { Some(vec![receiver("ops").id]) };
        }
    }
}

fn change_receivers(random: &mut Random, configuration: &mut Configuration) {
    let id = ["boss", "extra"][random.between(0, 2) as usize];
    if configuration.receivers.iter().any(|known| known.id.as_str() == id) {
        configuration.receivers.retain(|known| known.id.as_str() != id);
        for service in &mut configuration.services {
            service.receivers = None;
        }
    } else {
        configuration.receivers.push(receiver(id));
    }
}

/// Something that somebody asks for who looks at the page; `number` was never used before.
pub(super) fn act(random: &mut Random, state: &State, now_ms: u64, number: usize) -> Option<Action> {
    let open: Vec<IncidentId> = state.incidents().filter(|known| known.is_open()).map(|known| known.id).collect();
    match random.between(0, 6) {
        0 => plan_work(random, state, now_ms, number),
        1 => {
            let work: Vec<MaintenanceId> = state.maintenance().map(|work| work.id.clone()).collect();
            Some(Action::EndMaintenance { maintenance: random.pick(&work)?.clone() })
        }
        2 => Some(Action::Acknowledge { incident: *random.pick(&open)?, note: Some(format!("note {number}")) }),
        3 | 4 => {
            let (incident, text) = (*random.pick(&open)?, format!("word {number}"));
            Some(Action::UpdateIncident { incident, phase: Phase::Identified, text })
        }
        _ => Some(Action::TestReceivers),
    }
}

fn plan_work(random: &mut Random, state: &State, now_ms: u64, number: usize) -> Option<Action> {
    let services: Vec<ServiceId> = state.services().map(|(service, _)| service.id.clone()).collect();
    let service = random.pick(&services)?.clone();
    let impact = [Impact::AtRisk, Impact::Degraded, Impact::Outage][random.between(0, 3) as usize];
    // Clocks differ by seconds; work that is over already would be refused.
    let from = clock::ideal(now_ms).plus(seconds(random, 0, 200));
    let until = from.plus(seconds(random, 120, 600));
    let id = MaintenanceId::new(&format!("work-{number}")).expect("a legal id");
    let work = Maintenance { id, title: "made-up work".to_owned(), from, until, services: vec![service], impact };
    Some(Action::ScheduleMaintenance(work))
}

fn receiver(id: &str) -> Receiver {
    Receiver {
        id: ReceiverId::new(id).expect("a legal id"),
        means: Means::Exec { command: vec!["true".to_owned()] },
        wants_degraded: id == "ops",
        wants_resolved: true,
    }
}

/// A service; it may need services before it, so needs are never circular.
fn service(random: &mut Random, number: u64, configuration: &Configuration) -> Service {
    let mut needs = Vec::new();
    if random.happens(500)
        && let Some(needed) = random.pick(&configuration.services)
    {
        let service = needed.id.clone();
        let class = if random.happens(700) { NeedClass::Hard } else { NeedClass::Soft };
        needs.push(Need { service, class });
    }
    let count = random.between(1, 3);
    let checks = (0..count).map(|n| check(random, &format!("check-{number}-{n}"), &configuration.locations)).collect();
    Service {
        id: ServiceId::new(&format!("service-{number}")).expect("a legal id"),
        name: format!("Service {number}"),
        description: None,
        group: None,
        needs,
        checks,
        receivers: None,
        is_public: true,
        announces: true,
    }
}

fn check(random: &mut Random, id: &str, locations: &[LocationId]) -> Check {
    let kind = if random.happens(150) {
        CheckKind::Heartbeat(Box::new(HeartbeatCheck {
            token: "0123456789abcdef".to_owned(),
            expected: HeartbeatSchedule::Period(seconds(random, 30, 120)),
            grace: seconds(random, 5, 30),
        }))
    } else {
        CheckKind::Icmp(IcmpCheck { host: format!("192.0.2.{}", random.between(1, 255)), count: 1 })
    };
    let mut from: Vec<LocationId> = locations.iter().filter(|_| random.happens(750)).cloned().collect();
    if from.is_empty() {
        from.extend(random.pick(locations).cloned());
    }
    if matches!(kind, CheckKind::Heartbeat(_)) {
        // As a configuration's reader does: it comes by itself, wherever it is sent.
        from = locations[..1].to_vec();
    }
    Check {
        id: CheckId::new(id).expect("a legal id"),
        kind,
        every: seconds(random, 10, 60),
        timeout: Duration::from_secs(5),
        retry: Duration::from_secs(5),
        down_after: random.between(1, 4) as u8,
        up_after: random.between(1, 4) as u8,
        from,
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

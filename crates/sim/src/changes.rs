//! What people do in mid-run: they add, change, move and remove what is
//! configured, and end planned work early.

use crate::random::Random;
use model::check::{Check, CheckKind, Family, HeartbeatCheck, HeartbeatSchedule, IcmpCheck, LatencyLimits};
use model::configuration::{Configuration, LOCATION_DEFAULT};
use model::id::{CheckId, LocationId, ReceiverId, ServiceId};
use model::receiver::{Means, Receiver};
use model::service::{Need, NeedClass, Service};
use std::time::Duration;

/// The first configuration of a run.
pub(crate) fn configuration(random: &mut Random) -> Configuration {
    let mut configuration = Configuration { receivers: vec![receiver("boss"), receiver("ops")], ..Default::default() };
    for number in 0..random.between(2, 9) {
        let service = service(random, number, &configuration.services);
        configuration.services.push(service);
    }
    configuration
}

/// Changes one thing; `number` was never used before.
pub(crate) fn change(random: &mut Random, configuration: &mut Configuration, number: u64) {
    let at = random.between(0, configuration.services.len() as u64) as usize;
    match random.between(0, 8) {
        0 => {
            let service = service(random, number, &configuration.services);
            configuration.services.push(service);
        }
        1 if configuration.services.len() > 1 => {
            let gone = configuration.services.remove(at).id;
            for service in &mut configuration.services {
                service.needs.retain(|need| need.service != gone);
            }
        }
        2 => {
            let check = check(random, &format!("check-{number}"));
            configuration.services[at].checks.push(check);
        }
        3 => drop(configuration.services[at].checks.pop()),
        4 => {
            if let Some(known) = configuration.services[at].checks.first_mut() {
                let id = known.id.clone();
                *known = check(random, id.as_str());
            }
        }
        5 => {
            if let Some(moved) = configuration.services[at].checks.pop() {
                let to = random.between(0, configuration.services.len() as u64) as usize;
                configuration.services[to].checks.push(moved);
            }
        }
        6 => {
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
        _ => {
            let service = &mut configuration.services[at];
            service.receivers = if service.receivers.is_some() { None } else { Some(vec![receiver("ops").id]) };
        }
    }
}

pub(crate) fn local() -> LocationId {
    LocationId::new(LOCATION_DEFAULT).expect("a legal constant")
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
fn service(random: &mut Random, number: u64, before: &[Service]) -> Service {
    let mut needs = Vec::new();
    if !before.is_empty() && random.happens(500) {
        let class = if random.happens(700) { NeedClass::Hard } else { NeedClass::Soft };
        let at = random.between(0, before.len() as u64) as usize;
        needs.push(Need { service: before[at].id.clone(), class });
    }
    let checks = (0..random.between(1, 3)).map(|n| check(random, &format!("check-{number}-{n}"))).collect();
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

fn check(random: &mut Random, id: &str) -> Check {
    let kind = if random.happens(200) {
        CheckKind::Heartbeat(Box::new(HeartbeatCheck {
            token: "0123456789abcdef".to_owned(),
            expected: HeartbeatSchedule::Period(Duration::from_secs(random.between(60, 600))),
            grace: Duration::from_secs(random.between(1, 60)),
        }))
    } else {
        CheckKind::Icmp(IcmpCheck { host: format!("192.0.2.{}", random.between(1, 255)), count: 1 })
    };
    Check {
        id: CheckId::new(id).expect("a legal id"),
        kind,
        every: Duration::from_secs(random.between(10, 120)),
        timeout: Duration::from_secs(5),
        retry: Duration::from_secs(5),
        down_after: random.between(1, 4) as u8,
        up_after: random.between(1, 4) as u8,
        from: vec![local()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

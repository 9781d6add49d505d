//! Reads the parts of a scenario's line.

use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::id::{CheckId, LocationId, MaintenanceId, ServiceId};
use model::service::{Impact, Maintenance};
use model::time::Timestamp;
use std::time::Duration;

/// Midnight of the scenarios: 2026-01-01.
pub(super) const MIDNIGHT: i64 = 1_767_225_600_000;

pub(super) fn check(id: &str, from: &[LocationId]) -> Check {
    Check {
        id: CheckId::new(id).expect("the service's id is one"),
        kind: CheckKind::Icmp(IcmpCheck { host: "192.0.2.1".to_owned(), count: 1 }),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: from.to_vec(),
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

pub(super) fn check_id(text: &str) -> Result<CheckId, String> {
    CheckId::new(text).map_err(|e| e.to_string())
}

pub(super) fn maintenance(
    id: &str,
    service: &str,
    from: Timestamp,
    until: Timestamp,
    impact: &str,
) -> Result<Maintenance, String> {
    let impact = [Impact::AtRisk, Impact::Degraded, Impact::Outage].into_iter().find(|known| known.name() == impact);
    Ok(Maintenance {
        id: MaintenanceId::new(id).map_err(|e| e.to_string())?,
        title: id.to_owned(),
        from,
        until,
        services: vec![ServiceId::new(service).map_err(|e| e.to_string())?],
        impact: impact.ok_or("at-risk, degraded or outage")?,
    })
}

pub(super) fn location(name: &str) -> LocationId {
    LocationId::new(name).expect("locations of scenarios are legal ids")
}

/// Reads `hh:mm` or `hh:mm:ss` of the scenario's day.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let parts: Vec<i64> = text
        .split(':')
        .map(|part| part.parse().map_err(|_| format!("not a time: {text}")))
        .collect::<Result<_, _>>()?;
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, 0),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(format!("not a time: {text}")),
    };
    Ok(Timestamp::from_ms(MIDNIGHT + ((hour * 60 + minute) * 60 + second) * 1000))
}

pub(super) fn clock(at: Timestamp) -> String {
    let (_, _, _, hour, minute, second, _) = at.civil();
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// Splits a line at blanks, keeping what stands between quotes together.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            found.push(part.to_owned());
        } else {
            found.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    found
}

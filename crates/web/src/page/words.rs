//! The page's words: states, times, durations and shares, as people read them.

use control::page::PageView;
use model::entry::Phase;
use model::service::Impact;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use std::time::Duration;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A state beside a name.
pub(super) const fn status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Up => "Up",
        ServiceStatus::Unknown => "Not verified",
        ServiceStatus::Maintenance => "Planned work",
        ServiceStatus::Degraded => "Degraded",
        ServiceStatus::Down => "Down",
    }
}

/// The one word that names a state in classes and symbol ids.
pub(super) const fn class(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Up => "up",
        ServiceStatus::Unknown => "un",
        ServiceStatus::Maintenance => "ma",
        ServiceStatus::Degraded => "de",
        ServiceStatus::Down => "dn",
    }
}

/// The state of everything, as the page's first sentence.
pub(super) fn overall(view: &PageView) -> String {
    let total: usize = view.counts.iter().sum();
    let count = count(view, view.overall);
    match view.overall {
        ServiceStatus::Up if total == 1 => "Our service is up".to_owned(),
        ServiceStatus::Up => "All services are up".to_owned(),
        ServiceStatus::Down | ServiceStatus::Degraded => {
            let word = if view.overall == ServiceStatus::Down { "down" } else { "degraded" };
            match (count, total) {
                (1, 1) => format!("Our service is {word}"),
                (count, total) if count == total => format!("All services are {word}"),
                (1, total) => format!("1 of {total} services is {word}"),
                (count, total) => format!("{count} of {total} services are {word}"),
            }
        }
        ServiceStatus::Maintenance => "Planned work is under way".to_owned(),
        ServiceStatus::Unknown if count == total => "Not verified".to_owned(),
        ServiceStatus::Unknown if count == 1 => format!("1 of {total} services is not verified"),
        ServiceStatus::Unknown => format!("{count} of {total} services are not verified"),
    }
}

/// How many are in each state ("9 up · 1 down"), worst first; empty when all are in one.
pub(super) fn tally(view: &PageView) -> String {
    let mut parts = Vec::new();
    for state in ServiceStatus::ALL.into_iter().rev() {
        let count = count(view, state);
        if count > 0 {
            parts.push(format!("{count} {}", status(state).to_lowercase()));
        }
    }
    if parts.len() < 2 { String::new() } else { parts.join(" · ") }
}

pub(super) fn count(view: &PageView, status: ServiceStatus) -> usize {
    ServiceStatus::ALL.iter().zip(view.counts).find(|(state, _)| **state == status).map_or(0, |(_, count)| count)
}

/// A phase for people.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Investigating => "Investigating",
        Phase::Identified => "Identified",
        Phase::Monitoring => "Monitoring",
        Phase::Resolved => "Resolved",
    }
}

/// What planned work may bring.
pub(super) const fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::AtRisk => "Reduced redundancy; nothing should be noticed",
        Impact::Degraded => "May be slow",
        Impact::Outage => "May be unavailable",
    }
}

/// "20 Nov 2026, 21:59:15 UTC".
pub(super) fn moment(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second, _) = at.civil();
    format!("{day} {} {year}, {hour:02}:{minute:02}:{second:02} UTC", month_name(month))
}

/// "20 Nov, 21:59 UTC": where the year is clear and seconds are noise.
pub(super) fn minute(at: Timestamp) -> String {
    let (_, month, day, hour, minute, _, _) = at.civil();
    format!("{day} {}, {hour:02}:{minute:02} UTC", month_name(month))
}

/// "21:59 UTC": where the day is clear.
pub(super) fn time_of_day(at: Timestamp) -> String {
    let (_, _, _, hour, minute, _, _) = at.civil();
    format!("{hour:02}:{minute:02} UTC")
}

/// "21:59:15 UTC" for today, with the date otherwise.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (_, _, _, hour, minute, second, _) = at.civil();
    if at.day() == now.day() { format!("{hour:02}:{minute:02}:{second:02} UTC") } else { self::minute(at) }
}

/// "21:59–22:10 UTC", with the dates where they differ.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let (_, _, _, hour, minute, _, _) = to.civil();
    let start = self::minute(from);
    let start = start.trim_end_matches(" UTC");
    if from.day() == to.day() {
        format!("{start}–{hour:02}:{minute:02} UTC")
    } else {
        format!("{start} – {}", self::minute(to))
    }
}

/// "Friday, 20 Nov 2026" of a day counted from 1970.
pub(super) fn day_long(day: i64) -> String {
    let (year, month, of_month) = model::time::civil_from_days(day);
    // 1970-01-01 was a Thursday.
    let weekday = WEEKDAYS[day.rem_euclid(7) as usize];
    format!("{weekday}, {of_month} {} {year}", month_name(month))
}

/// "20 Nov".
pub(super) fn day_short(day: i64) -> String {
    let (_, month, of_month) = model::time::civil_from_days(day);
    format!("{of_month} {}", month_name(month))
}

/// A duration in its two largest units, never below a minute's unit unless shorter than one.
pub(super) fn lasted(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let rounded = if seconds >= 60 { seconds / 60 * 60 } else { seconds.max(1) };
    model::time::humane_duration(Duration::from_secs(rounded))
}

/// A share in per cent, rounded down so that no outage is rounded away.
pub(super) fn percent(ppm: u32) -> String {
    if ppm >= 1_000_000 {
        return "100 %".to_owned();
    }
    let text = format!("{}.{:03}", ppm / 10_000, ppm % 10_000 / 10);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn month_name(month: u32) -> &'static str {
    MONTHS.get(month as usize - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_outage_is_rounded_away() {
        for (ppm, text) in [
            (1_000_000, "100 %"),
            (999_999, "99.999 %"),
            (999_990, "99.999 %"),
            (995_000, "99.5 %"),
            (990_000, "99 %"),
            (0, "0 %"),
            (56, "0.005 %"),
        ] {
            assert_eq!(percent(ppm), text);
        }
    }

    #[test]
    fn times_read_as_people_write_them() {
        let at = |text| Timestamp::parse_rfc3339(text).expect("a time");
        let evening = at("2026-11-20T21:59:15Z");
        assert_eq!(moment(evening), "20 Nov 2026, 21:59:15 UTC");
        assert_eq!(clock(evening, evening), "21:59:15 UTC");
        assert_eq!(time_of_day(evening), "21:59 UTC");
        assert_eq!(span(evening, at("2026-11-20T22:10:00Z")), "20 Nov, 21:59–22:10 UTC");
        assert_eq!(span(evening, at("2026-11-21T01:10:00Z")), "20 Nov, 21:59 – 21 Nov, 01:10 UTC");
        assert_eq!(day_long(evening.day()), "Friday, 20 Nov 2026");
        assert_eq!(lasted(Duration::from_secs(3_725)), "1 h 2 min");
    }
}

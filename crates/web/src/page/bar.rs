//! The bar of the last 90 days, one stroke a day.
//!
//! State is told by shape as well as by colour: a day with an outage reaches
//! higher than the others, a degraded one is cut, planned work is lower, and
//! what was not verified is a stub. Days that were wholly in one state share a
//! dashed line, so a good quarter costs a hundred bytes; every other day has a
//! mark of its own with the split of its time as tooltip.

use crate::page::words;
use control::ledger::Split;
use control::page::{DayView, ServiceView};
use model::verdict::ServiceStatus;
use std::fmt::Write as _;
use std::time::Duration;

/// Width of a day with the gap after it, in units of the drawing; a stroke is one narrower.
const STEP: usize = 4;

/// States whose whole days share a line: class and height of its middle. The
/// shape of degraded days has two parts, which one line cannot have.
const LINES: [(ServiceStatus, &str, &str); 4] = [
    (ServiceStatus::Up, "u", "24"),
    (ServiceStatus::Down, "u dn", "20"),
    (ServiceStatus::Maintenance, "u ma", "30"),
    (ServiceStatus::Unknown, "u un", "36"),
];

/// The drawing, to be put inside an `svg` of 359 by 40 units. Safe as it is: it holds no text of users.
pub(super) fn draw(days: &[DayView]) -> String {
    let mut out = String::with_capacity(512);
    run(&mut out, days, "n", "24", "No record", |day| day.worst().is_none());
    for (status, class, height) in LINES {
        let title = format!("{} all day", words::status(status));
        run(&mut out, days, class, height, &title, |day| whole(day) == Some(status));
    }
    for (position, day) in days.iter().enumerate() {
        if whole(day).is_some_and(|status| LINES.iter().any(|(shared, ..)| *shared == status)) {
            continue;
        }
        if let Some(worst) = day.worst() {
            mark(&mut out, position * STEP, worst, day);
        }
    }
    out
}

/// The same in a sentence, for those who do not see it.
pub(super) fn describe(service: &ServiceView) -> String {
    let of = |wanted| service.days.iter().filter(|day| day.worst() == Some(wanted)).count();
    let mut parts = vec![match of(ServiceStatus::Up) {
        1 => "1 day up".to_owned(),
        days => format!("{days} days up"),
    }];
    for (status, what) in [
        (ServiceStatus::Down, "with an outage"),
        (ServiceStatus::Degraded, "degraded"),
        (ServiceStatus::Maintenance, "with planned work"),
        (ServiceStatus::Unknown, "not verified"),
    ] {
        let count = of(status);
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let last = service.days.iter().rev().find(|day| day.worst() == Some(ServiceStatus::Down));
    let last = last.map(|day| format!(". Last outage on {}", words::day_short(day.day))).unwrap_or_default();
    format!("Last {} days: {}{last}", service.days.len(), parts.join(", "))
}

/// The one state of a day that had only one.
fn whole(day: &DayView) -> Option<ServiceStatus> {
    let total = day.split.total_ms();
    ServiceStatus::ALL.into_iter().find(|status| total > 0 && day.split.of(*status) == total)
}

/// Draws all runs of days that have something in common as one dashed line.
fn run(out: &mut String, days: &[DayView], class: &str, height: &str, title: &str, belongs: impl Fn(&DayView) -> bool) {
    let mut path = String::new();
    let mut at = 0;
    while at < days.len() {
        if !belongs(&days[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < days.len() && belongs(&days[at]) {
            at += 1;
        }
        write!(path, "M{} {height}H{}", start * STEP, at * STEP - 1).expect("a string takes all");
    }
    if !path.is_empty() {
        write!(out, r#"<path class="{class}" d="{path}"><title>{title}</title></path>"#).expect("a string takes all");
    }
}

fn mark(out: &mut String, x: usize, worst: ServiceStatus, day: &DayView) {
    let shape = match worst {
        ServiceStatus::Up => "9v31h3V9z",
        ServiceStatus::Down => "0v40h3V0z",
        // Cut in two.
        ServiceStatus::Degraded => "9v12h3V9zm0 17v14h3v-14z",
        ServiceStatus::Maintenance => "20v20h3V20z",
        ServiceStatus::Unknown => "32v8h3v-8z",
    };
    let class = words::class(worst);
    let title = format!("{}: {}", words::day_short(day.day), split(&day.split));
    write!(out, r#"<path class="{class}" d="M{x} {shape}"><title>{title}</title></path>"#).expect("a string takes all");
}

/// The parts of a time, longest word last: "down 42 min, up 23 h 18 min".
pub(super) fn split(split: &Split) -> String {
    let parts: Vec<String> = ServiceStatus::ALL
        .into_iter()
        .rev()
        .filter(|status| split.of(*status) > 0)
        .map(|status| {
            let time = words::lasted(Duration::from_millis(split.of(status)));
            format!("{} {time}", words::status(status).to_lowercase())
        })
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64, split: Split) -> DayView {
        DayView { day, split }
    }

    #[test]
    fn good_days_share_one_line_and_bad_ones_speak_for_themselves() {
        let good = Split { up_ms: 86_400_000, ..Split::default() };
        let bad = Split { up_ms: 86_400_000 - 2_520_000, down_ms: 2_520_000, ..Split::default() };
        let days = [day(0, Split::default()), day(1, good), day(2, good), day(3, bad), day(4, good)];
        assert_eq!(
            draw(&days),
            r#"<path class="n" d="M0 24H3"><title>No record</title></path><path class="u" d="M4 24H11M16 24H19"><title>Up all day</title></path><path class="dn" d="M12 0v40h3V0z"><title>4 Jan: down 42 min, up 23 h 18 min</title></path>"#
        );
    }
}

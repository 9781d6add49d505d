//! The split of a service's time into the five states.
//!
//! Kept by transition, not by counting rounds, so that it is equal on all
//! nodes and on page, API and report. A day that was wholly up costs nothing.
//! **The parts of a period always sum to the period.**

use model::limits::DAYS_KEPT;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY_MS: u32 = 86_400_000;

/// Time in each state, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// It worked.
    pub up_ms: u64,
    /// It worked, but not well.
    pub degraded_ms: u64,
    /// It did not work.
    pub down_ms: u64,
    /// Planned work, as announced.
    pub maintenance_ms: u64,
    /// Not verified.
    pub unknown_ms: u64,
}

impl Split {
    /// The whole time.
    pub const fn total_ms(&self) -> u64 {
        self.up_ms + self.degraded_ms + self.down_ms + self.maintenance_ms + self.unknown_ms
    }

    /// The available share of the time that was verified and not planned work,
    /// in parts per million: (up + degraded) / (up + degraded + down). `None`
    /// when there was no such time.
    pub const fn availability_ppm(&self) -> Option<u32> {
        let judged = self.up_ms + self.degraded_ms + self.down_ms;
        if judged == 0 {
            return None;
        }
        Some(((self.up_ms + self.degraded_ms) as u128 * 1_000_000 / judged as u128) as u32)
    }

    /// The part of one state.
    pub const fn of(&self, status: ServiceStatus) -> u64 {
        match status {
            ServiceStatus::Up => self.up_ms,
            ServiceStatus::Degraded => self.degraded_ms,
            ServiceStatus::Down => self.down_ms,
            ServiceStatus::Maintenance => self.maintenance_ms,
            ServiceStatus::Unknown => self.unknown_ms,
        }
    }

    fn part_mut(&mut self, status: ServiceStatus) -> &mut u64 {
        match status {
            ServiceStatus::Up => &mut self.up_ms,
            ServiceStatus::Degraded => &mut self.degraded_ms,
            ServiceStatus::Down => &mut self.down_ms,
            ServiceStatus::Maintenance => &mut self.maintenance_ms,
            ServiceStatus::Unknown => &mut self.unknown_ms,
        }
    }

    fn add(&mut self, other: &Self) {
        for status in ServiceStatus::ALL {
            *self.part_mut(status) += other.of(status);
        }
    }
}

/// One day that was not wholly up; five parts in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    day: i32,
    parts_ms: [u32; 5],
}

/// A service's time by day, and the state it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    first: Timestamp,
    status: ServiceStatus,
    since: Timestamp,
    days: Vec<Day>,
}

impl Ledger {
    /// A ledger that begins now.
    pub fn new(status: ServiceStatus, now: Timestamp) -> Self {
        Self { first: now, status, since: now, days: Vec::new() }
    }

    /// The state since [`Ledger::since`].
    pub const fn status(&self) -> ServiceStatus {
        self.status
    }

    /// When the current state began.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// When the ledger begins.
    pub const fn first(&self) -> Timestamp {
        self.first
    }

    /// Changes the state from `at` on. An instant before the last change
    /// counts as that change: what was settled is not rewritten.
    pub fn turn(&mut self, status: ServiceStatus, at: Timestamp) {
        let at = at.max(self.since);
        let (from, before) = (self.since, self.status);
        self.record(before, from, at);
        self.status = status;
        self.since = at;
    }

    fn record(&mut self, status: ServiceStatus, from: Timestamp, to: Timestamp) {
        let oldest = to.day() - DAYS_KEPT as i64;
        self.days.retain(|day| i64::from(day.day) > oldest);
        let from = from.max(Timestamp::of_day(oldest + 1));
        for (day, ms) in days_between(from, to) {
            let at = self.days.partition_point(|known| known.day < day);
            if self.days.get(at).is_none_or(|known| known.day != day) {
                if status == ServiceStatus::Up && ms == DAY_MS {
                    continue;
                }
                self.days.insert(at, Day { day, parts_ms: [0; 5] });
            }
            let known = &mut self.days[at];
            known.parts_ms[part(status)] += ms;
            if known.parts_ms[part(ServiceStatus::Up)] == DAY_MS {
                self.days.remove(at);
            }
        }
    }

    /// The split of one UTC day (counted from 1970) up to `now`; empty for a
    /// day before the ledger begins or after `now`.
    pub fn day(&self, day: i64, now: Timestamp) -> Split {
        let start = Timestamp::of_day(day).max(self.first);
        let end = Timestamp::of_day(day + 1).min(now);
        let mut split = Split::default();
        if start >= end {
            return split;
        }
        // What is not recorded was wholly up: of the settled time first.
        let settled_end = end.min(self.since);
        if let Ok(at) = self.days.binary_search_by_key(&day, |known| i64::from(known.day)) {
            for status in ServiceStatus::ALL {
                *split.part_mut(status) += u64::from(self.days[at].parts_ms[part(status)]);
            }
        } else if settled_end > start {
            split.up_ms += ms_between(start, settled_end);
        }
        let open_start = start.max(self.since);
        if end > open_start {
            *split.part_mut(self.status) += ms_between(open_start, end);
        }
        split
    }

    /// The split of the last `days` UTC days, today included.
    pub fn last_days(&self, days: usize, now: Timestamp) -> Split {
        let mut sum = Split::default();
        let today = now.day();
        for day in today + 1 - days.min(DAYS_KEPT) as i64..=today {
            sum.add(&self.day(day, now));
        }
        sum
    }
}

const fn part(status: ServiceStatus) -> usize {
    match status {
        ServiceStatus::Up => 0,
        ServiceStatus::Degraded => 1,
        ServiceStatus::Down => 2,
        ServiceStatus::Maintenance => 3,
        ServiceStatus::Unknown => 4,
    }
}

fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

/// The days that a span touches, with the milliseconds of each.
fn days_between(from: Timestamp, to: Timestamp) -> impl Iterator<Item = (i32, u32)> {
    (from.day()..=to.day()).filter_map(move |day| {
        let start = Timestamp::of_day(day).max(from);
        let end = Timestamp::of_day(day + 1).min(to);
        let ms = end.since(start);
        (ms > Duration::ZERO && end > start).then_some((day as i32, ms.as_millis() as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_795_000_000_000 + ms)
    }

    fn any_status() -> impl Strategy<Value = ServiceStatus> {
        (0usize..5).prop_map(|n| ServiceStatus::ALL[n])
    }

    proptest! {
        #[test]
        fn the_parts_of_a_period_sum_to_the_period(turns in prop::collection::vec((any_status(), 0i64..40_000_000), 0..60), rest in 0i64..200_000_000) {
            let mut ledger = Ledger::new(ServiceStatus::Unknown, at(0));
            let mut by_hand = [0u64; 5];
            let (mut now, mut status) = (0i64, ServiceStatus::Unknown);
            for (next, wait) in turns {
                by_hand[part(status)] += wait as u64;
                now += wait;
                ledger.turn(next, at(now));
                status = next;
            }
            by_hand[part(status)] += rest as u64;
            now += rest;
            let split = ledger.last_days(DAYS_KEPT, at(now));
            prop_assert_eq!(split.total_ms(), now as u64);
            for state in ServiceStatus::ALL {
                prop_assert_eq!(split.of(state), by_hand[part(state)], "{:?}", state);
            }
        }

        #[test]
        fn a_turn_into_the_past_rewrites_nothing(back in 0i64..10_000_000) {
            let mut ledger = Ledger::new(ServiceStatus::Up, at(0));
            ledger.turn(ServiceStatus::Down, at(5_000_000));
            ledger.turn(ServiceStatus::Up, at(5_000_000 - back));
            prop_assert_eq!(ledger.last_days(90, at(6_000_000)), Split { up_ms: 6_000_000, ..Split::default() });
        }
    }

    #[test]
    fn a_day_wholly_up_takes_no_room() {
        let mut ledger = Ledger::new(ServiceStatus::Up, at(0));
        ledger.turn(ServiceStatus::Down, at(40 * 86_400_000));
        ledger.turn(ServiceStatus::Up, at(40 * 86_400_000 + 60_000));
        assert_eq!(ledger.days.len(), 2, "the first day, which began late, and the one with the outage");
        assert_eq!(ledger.last_days(90, at(41 * 86_400_000)).down_ms, 60_000);
    }
}

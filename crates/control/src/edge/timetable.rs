//! When the backups that a node makes by itself are due, and which of them are
//! too many.
//!
//! Moments are counted from a time of day, not from the start of the process,
//! so that a restart neither repeats a backup nor moves the next. **Whether one
//! is due is seen from the backups that are there**, not from what somebody
//! remembers: if they are gone, one is due.

use model::time::Timestamp;
use std::time::Duration;

/// How often, from when, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    /// Time from one to the next; not zero.
    pub every: Duration,
    /// Time since midnight from which it is counted.
    pub at: Duration,
    /// How many are kept.
    pub keep: usize,
}

impl Timetable {
    /// The last moment at which one was due, not later than now.
    pub fn last(&self, now: Timestamp) -> Timestamp {
        let every = self.every_ms();
        let offset = i64::try_from(self.at.as_millis()).unwrap_or(0);
        Timestamp::from_ms((now.as_ms() - offset).div_euclid(every) * every + offset)
    }

    /// The next moment at which one is due, later than now.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        self.last(now).plus(self.every)
    }

    /// Whether one is due, given when the newest was made. The first is due at once.
    pub fn is_due(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        newest.is_none_or(|newest| newest < self.last(now))
    }

    /// Those that are too many, of a list with the oldest first.
    pub fn surplus<'a, T>(&self, oldest_first: &'a [T]) -> &'a [T] {
        &oldest_first[..oldest_first.len().saturating_sub(self.keep.max(1))]
    }

    fn every_ms(&self) -> i64 {
        i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    #[test]
    fn moments_are_counted_from_the_time_of_day() {
        let half_past_two = Duration::from_secs(9_000);
        for (every, now, last) in [
            (24 * HOUR, "2026-11-20T02:29:59Z", "2026-11-19T02:30:00Z"),
            (24 * HOUR, "2026-11-20T02:30:00Z", "2026-11-20T02:30:00Z"),
            (24 * HOUR, "2026-11-20T23:59:59Z", "2026-11-20T02:30:00Z"),
            (6 * HOUR, "2026-11-20T01:00:00Z", "2026-11-19T20:30:00Z"),
            (6 * HOUR, "2026-11-20T08:30:00Z", "2026-11-20T08:30:00Z"),
            (HOUR / 60, "2026-11-20T08:31:59Z", "2026-11-20T08:31:00Z"),
        ] {
            let table = Timetable { every, at: half_past_two, keep: 14 };
            assert_eq!(table.last(at(now)), at(last), "every {every:?}, now {now}");
            assert_eq!(table.next(at(now)), at(last).plus(every));
        }
    }

    #[test]
    fn one_is_due_when_none_was_made_since_the_last_moment() {
        let table = Timetable { every: 24 * HOUR, at: Duration::ZERO, keep: 14 };
        let now = at("2026-11-20T10:00:00Z");
        assert!(table.is_due(None, now), "the first is due at once");
        assert!(table.is_due(Some(at("2026-11-19T23:59:59Z")), now));
        assert!(!table.is_due(Some(at("2026-11-20T00:00:00Z")), now));
        assert!(!table.is_due(Some(at("2026-11-20T00:00:00Z")), at("2026-11-20T23:59:59Z")));
        assert!(table.is_due(Some(at("2026-11-20T00:00:00Z")), at("2026-11-21T00:00:00Z")));
    }

    #[test]
    fn the_oldest_are_too_many_and_never_all_of_them() {
        let table = |keep| Timetable { every: HOUR, at: Duration::ZERO, keep };
        assert_eq!(table(2).surplus(&[1, 2, 3, 4]), [1, 2]);
        assert_eq!(table(4).surplus(&[1, 2, 3, 4]), [0; 0]);
        assert_eq!(table(9).surplus(&[1, 2]), [0; 0]);
        assert_eq!(table(0).surplus(&[1, 2]), [1], "the one that was just made stays");
    }
}

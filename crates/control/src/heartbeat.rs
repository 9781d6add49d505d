//! When a heartbeat is late.

use model::check::{HeartbeatCheck, HeartbeatSchedule};
use model::cron::Cron;
use model::time::Timestamp;

/// Days searched for the next time of a cron expression: 29 February comes at
/// the latest after eight years (1896 to 1904, 2096 to 2104).
const DAYS_SEARCHED: i64 = 8 * 366 + 1;

/// The moment from which a heartbeat that last came at `last` is late.
pub fn deadline(heartbeat: &HeartbeatCheck, last: Timestamp) -> Timestamp {
    let expected = match &heartbeat.expected {
        HeartbeatSchedule::Period(period) => last.plus(*period),
        HeartbeatSchedule::Cron { cron, time_zone } => {
            // A zone that the bundled data does not know was refused with the configuration.
            next(cron, time_zone, last).unwrap_or(Timestamp::from_ms(i64::MAX))
        }
    };
    expected.plus(heartbeat.grace)
}

/// The first time of a cron expression after an instant, in a time zone. A
/// time that a change to summer time skips moves to the hour after, one that
/// the change back repeats counts once, as cron(8) does. `None` for an unknown zone.
pub fn next(cron: &Cron, time_zone: &str, after: Timestamp) -> Option<Timestamp> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(time_zone).ok()?;
    let start = zone.to_datetime(jiff::Timestamp::from_millisecond(after.as_ms()).ok()?);
    let mut date = start.date();
    for _ in 0..DAYS_SEARCHED {
        let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        if cron.matches_date(u32::from(date.month().unsigned_abs()), u32::from(date.day().unsigned_abs()), weekday) {
            for minute_of_day in 0..24 * 60 {
                let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
                if !cron.matches_time(hour, minute) {
                    continue;
                }
                let local = date.at(hour as i8, minute as i8, 0, 0);
                let moment = zone.to_ambiguous_timestamp(local).compatible().ok()?;
                let found = Timestamp::from_ms(moment.as_millisecond());
                if found > after {
                    return Some(found);
                }
            }
        }
        date = date.tomorrow().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_time_is_local_time() {
        let cron = Cron::parse("30 2 * * *").expect("a legal expression");
        let of =
            |text| next(&cron, "Europe/Berlin", Timestamp::parse_rfc3339(text).expect("a time")).map(|t| t.to_string());
        assert_eq!(of("2026-01-10T00:00:00Z").as_deref(), Some("2026-01-10T01:30:00Z"));
        assert_eq!(of("2026-07-10T01:00:00Z").as_deref(), Some("2026-07-11T00:30:00Z"));
        // 02:30 does not exist on the day of the change to summer time.
        assert_eq!(of("2026-03-29T00:00:00Z").as_deref(), Some("2026-03-29T01:30:00Z"));
        assert_eq!(next(&cron, "Nowhere/Atlantis", Timestamp::EPOCH), None);
    }
}

//! Points in time and durations as text.
//!
//! A [`Timestamp`] is wall-clock time in UTC, in milliseconds; nothing here can
//! ask what time it is. Durations are [`std::time::Duration`] with the text form
//! that people write in configuration files (`30s`, `1h30m`).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

const MS_PER_DAY: i64 = 86_400_000;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant of 1970, used where "never" needs a value.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since 1970.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved forward, saturating at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back, saturating at the start of time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The number of the UTC day this instant falls on, counted from 1970-01-01.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(MS_PER_DAY)
    }

    /// The first instant of a UTC day.
    pub const fn of_day(day: i64) -> Self {
        Self(day * MS_PER_DAY)
    }

    /// Calendar fields in UTC: year, month, day, hour, minute, second, millisecond.
    pub fn civil(self) -> (i64, u32, u32, u32, u32, u32, u32) {
        let (year, month, day) = civil_from_days(self.day());
        let in_day = self.0.rem_euclid(MS_PER_DAY) as u32;
        let second = in_day / 1000;
        (year, month, day, second / 3600, second / 60 % 60, second % 60, in_day % 1000)
    }

    /// The instant for people, to the minute: `2026-11-20 21:23 UTC`.
    pub fn minute(self) -> String {
        let (year, month, day, hour, minute, _, _) = self.civil();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }

    /// Reads `2026-11-20T21:23:00Z`, with optional fraction, or with an offset
    /// such as `+01:00`. `None` if the text is anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !text.is_ascii()
            || bytes.len() < 20
            || bytes[4] != b'-'
            || bytes[7] != b'-'
            || bytes[13] != b':'
            || bytes[16] != b':'
        {
            return None;
        }
        if !matches!(bytes[10], b'T' | b't' | b' ') {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<i64> {
            let part = &text[from..to];
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month)
            || day < 1
            || day > i64::from(days_in_month(year, month as u32))
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let mut rest = &text[19..];
        let mut ms = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits: String = fraction.chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                return None;
            }
            ms = format!("{digits:0<3}")[..3].parse::<i64>().ok()?;
            rest = &fraction[digits.len()..];
        }
        let offset_minutes = match rest {
            "Z" | "z" => 0,
            _ if rest.len() == 6 && rest.as_bytes()[3] == b':' => {
                let base = text.len() - 6;
                let minutes = number(base + 1, base + 3)? * 60 + number(base + 4, base + 6)?;
                match rest.as_bytes()[0] {
                    b'+' => minutes,
                    b'-' => -minutes,
                    _ => return None,
                }
            }
            _ => return None,
        };
        let seconds = ((days_from_civil(year, month as u32, day as u32) * 24 + hour) * 60 + minute - offset_minutes)
            * 60
            + second;
        Some(Self(seconds * 1000 + ms))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond only where it is not a whole second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second, ms) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ms != 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Year, month and day of a day number; after Howard Hinnant's
/// "chrono-compatible low-level date algorithms", public domain.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a date, from the same source as [`civil_from_days`].
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The number of days of a month in the Gregorian calendar.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number with a unit, such as 500ms, 30s, 5m, 1h30m or 14d; found {found:?}")]
pub struct DurationError {
    /// What was written.
    pub found: String,
}

/// Reads `500ms`, `30s`, `5m`, `1h30m`, `14d`, `2w`. A bare number is refused
/// because its unit would be a guess.
///
/// # Errors
/// [`DurationError`] if the text is anything else or longer than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError { found: text.to_owned() };
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_ms: u64 = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(wrong()),
        };
        total_ms = number.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(wrong)?;
        rest = &rest[digits + letters..];
    }
    if total_ms > 100 * 366 * 86_400_000 {
        return Err(wrong());
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a duration the way [`parse_duration`] reads it, exactly to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= unit_ms {
            out.push_str(&format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    out
}

/// Writes a duration for people: its two largest units, rounded down
/// ("4 min 10 s", "3 h", "12 ms").
pub fn humane_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
    let Some(first) = units.iter().position(|(size, _)| ms >= *size) else {
        return "0 s".to_owned();
    };
    let (size, name) = units[first];
    let mut out = format!("{} {name}", ms / size);
    if let Some((next, next_name)) = units.get(first + 1) {
        let second = ms % size / next;
        // Milliseconds beside seconds are noise beside anything over ten seconds.
        if second > 0 && (*next >= 1000 || ms < 10_000) {
            out.push_str(&format!(" {second} {next_name}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_timestamp_reads_as_rfc_3339() {
        let t = Timestamp::from_ms(1_795_209_780_000);
        assert_eq!(t.to_string(), "2026-11-20T21:23:00Z");
        assert_eq!(t.minute(), "2026-11-20 21:23 UTC");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-20T22:23:00+01:00"), Some(t));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-20T21:23:00.250Z").map(Timestamp::as_ms), Some(1_795_209_780_250));
        for wrong in [
            "",
            "2026-11-20",
            "2026-02-30T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T21:23:00",
            "2026-11-20T21:23:00.Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "30", "s", "1.5s", "-1s", "1y", "99999999999999999999s", "1 h", "30ſ"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_for_people_shows_two_units() {
        let of = |ms| humane_duration(Duration::from_millis(ms));
        assert_eq!((of(0), of(12), of(1_250)), ("0 s".into(), "12 ms".into(), "1 s 250 ms".into()));
        assert_eq!((of(250_000), of(3_600_000), of(90_061_000)), ("4 min 10 s".into(), "1 h".into(), "1 d 1 h".into()));
    }

    proptest! {
        #[test]
        fn every_duration_survives_its_text(ms in 0u64..3_000_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn every_timestamp_survives_its_text(ms in -60_000_000_000_000i64..250_000_000_000_000) {
            let t = Timestamp::from_ms(ms);
            prop_assert_eq!(Timestamp::parse_rfc3339(&t.to_string()), Some(t));
        }

        #[test]
        fn no_text_breaks_the_parsers(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
            let _ = Timestamp::parse_rfc3339(&text);
        }
    }
}

//! The wall clock, and the times that Mainstay writes.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Milliseconds since 1970 of a time such as `2026-11-20T21:23:00.250Z`.
///
/// # Panics
/// It is no such time.
pub fn read_ms(text: &str) -> u64 {
    read(text).unwrap_or_else(|| panic!("not a time: {text:?}"))
}

fn read(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    let days = days_before_year(*year) - days_before_year(1970) + days_before_month(*year, *month)? + day - 1;
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Days from the year 1 to a year, by the Gregorian rules.
fn days_before_year(year: u64) -> u64 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400
}

fn days_before_month(year: u64, month: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    Some(before.get(usize::try_from(month).ok()?.checked_sub(1)?)? + u64::from(is_leap && month > 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn times_are_read_as_by_the_systems_own_program() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.5Z",
            "2026-11-20T21:23:00.250Z",
            "2026-03-01T00:00:00.001Z",
            "2100-03-01T12:00:00.123456Z",
        ] {
            let said = Command::new("date").args(["--date", text, "+%s%3N"]).output().expect("date is everywhere");
            let expected = String::from_utf8_lossy(&said.stdout).trim().trim_start_matches('0').parse().unwrap_or(0);
            assert_eq!(read_ms(text), expected, "{text}");
        }
        assert_eq!((read("2026-13-01T00:00:00Z"), read("yesterday")), (None, None));
    }
}

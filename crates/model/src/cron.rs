//! Cron expressions: the five classic fields, as crontab(5) reads them.
//!
//! Kept as bit sets, so that a moment is tested without parsing. What a
//! moment's local fields are is the caller's business; this file knows no time
//! zones. **At least one minute of a leap year matches every value.**

use serde::{Deserialize, Serialize};

/// A parsed expression. Day of month and day of week are alternatives when both
/// are restricted, as crontab(5) says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u32,
    days: u32,
    months: u16,
    weekdays: u8,
    days_any: bool,
    weekdays_any: bool,
}

/// Why a text is not a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("a cron expression has 5 fields (minute hour day-of-month month day-of-week), this one has {0}")]
    Fields(usize),
    /// A field that cannot be read or is out of range.
    #[error("cannot read {found:?} as {field}; allowed are {low}-{high}, lists, ranges and steps such as */5")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What was written.
        found: String,
        /// Smallest allowed number.
        low: u32,
        /// Largest allowed number.
        high: u32,
    },
    /// A day that no chosen month has.
    #[error("no month of this expression has such a day")]
    Never,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Cron {
    /// Parses `minute hour day-of-month month day-of-week`, or one of `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`.
    ///
    /// # Errors
    /// [`CronError`] names the field and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let expanded = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields(fields.len()));
        };
        let weekday_bits = field("day of week", weekday, 0, 7, &WEEKDAYS, 0)?;
        let cron = Self {
            text: text.trim().to_owned(),
            minutes: field("minute", minute, 0, 59, &[], 0)?,
            hours: field("hour", hour, 0, 23, &[], 0)? as u32,
            days: field("day of month", day, 1, 31, &[], 0)? as u32,
            months: field("month", month, 1, 12, &MONTHS, 1)? as u16,
            // 7 is Sunday as well.
            weekdays: ((weekday_bits | (weekday_bits >> 7)) & 0x7f) as u8,
            days_any: day.starts_with('*'),
            weekdays_any: weekday.starts_with('*'),
        };
        if cron.weekdays_any && !cron.has_a_day() {
            return Err(CronError::Never);
        }
        Ok(cron)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression matches a minute of a day.
    pub const fn matches_time(&self, hour: u32, minute: u32) -> bool {
        self.hours & (1 << hour) != 0 && self.minutes & (1 << minute) != 0
    }

    /// Whether the expression matches a date; `weekday` counts from Sunday = 0.
    pub const fn matches_date(&self, month: u32, day: u32, weekday: u32) -> bool {
        let by_day = self.days & (1 << day) != 0;
        let by_weekday = self.weekdays & (1 << weekday) != 0;
        let day_matches = match (self.days_any, self.weekdays_any) {
            (false, false) => by_day || by_weekday,
            (true | false, true) | (true, false) => by_day && by_weekday,
        };
        self.months & (1 << month) != 0 && day_matches
    }

    fn has_a_day(&self) -> bool {
        // 2024 is a leap year, so 29 February counts.
        (1..=12).any(|month| {
            let last = crate::time::days_in_month(2024, month);
            self.months & (1 << month) != 0 && (1..=last).any(|day| self.days & (1 << day) != 0)
        })
    }
}

fn field(
    name: &'static str,
    text: &str,
    low: u32,
    high: u32,
    words: &[&str],
    first_word: u32,
) -> Result<u64, CronError> {
    let wrong = || CronError::Field { field: name, found: text.to_owned(), low, high };
    let value = |part: &str| -> Option<u32> {
        let lower = part.to_ascii_lowercase();
        if let Some(at) = words.iter().position(|word| *word == lower) {
            return Some(first_word + at as u32);
        }
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten().filter(|v| (low..=high).contains(v))
    };
    let mut bits = 0u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let digits = !step.is_empty() && step.len() <= 2 && step.bytes().all(|b| b.is_ascii_digit());
                let step = digits.then(|| step.parse::<u32>().ok()).flatten().filter(|s| *s > 0).ok_or_else(wrong)?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let (from, to) = if range == "*" {
            (low, high)
        } else if let Some((from, to)) = range.split_once('-') {
            (value(from).ok_or_else(wrong)?, value(to).ok_or_else(wrong)?)
        } else {
            let from = value(range).ok_or_else(wrong)?;
            (from, if step.is_some() { high } else { from })
        };
        if from > to {
            return Err(wrong());
        }
        for at in (from..=to).step_by(step.unwrap_or(1) as usize) {
            bits |= 1 << at;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_read_as_crontab_reads_them() {
        let cron = Cron::parse("*/15 2-4,22 * jan-mar mon").expect("a legal expression");
        assert!(cron.matches_time(22, 45) && cron.matches_time(3, 0));
        assert!(!cron.matches_time(22, 46) && !cron.matches_time(5, 0));
        assert!(cron.matches_date(2, 9, 1) && !cron.matches_date(2, 9, 2) && !cron.matches_date(4, 9, 1));
    }

    #[test]
    fn day_of_month_and_day_of_week_are_alternatives() {
        let cron = Cron::parse("0 0 13 * fri").expect("a legal expression");
        assert!(cron.matches_date(1, 13, 2) && cron.matches_date(1, 2, 5) && !cron.matches_date(1, 2, 4));
    }

    #[test]
    fn sunday_is_0_and_7() {
        assert!(Cron::parse("0 0 * * 7").expect("a legal expression").matches_date(1, 1, 0));
    }

    #[test]
    fn a_wrong_field_is_named() {
        assert_eq!(Cron::parse("* * *"), Err(CronError::Fields(3)));
        assert_eq!(Cron::parse("0 0 30 2 *"), Err(CronError::Never));
        for wrong in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            ", * * * *",
        ] {
            assert!(matches!(Cron::parse(wrong), Err(CronError::Field { .. })), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9a-z*/,@ -]{0,30}") {
            let _ = Cron::parse(&text);
        }
    }
}

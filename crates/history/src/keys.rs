//! Where things lie: windows, days, and the keys under which results are found.
//!
//! A keyspace holds one span of time, so that expiry is dropping it whole:
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `head.<window>.<generation>` | series, offset, result | nothing |
//! | `raw.<day>` | series, window of the day | a chunk |
//! | `evidence.<day>` | series, hour, class, offset | a detail |
//! | `five.<month>` | day of the month, series | a day of 5-minute roll-ups |
//! | `days.<year>` | series, day | one roll-up |
//!
//! A series is one check seen from one location. **Its key begins with the low
//! byte of the check's slot**: that is the virtual shard, one of 256, so that a
//! shard can later move elsewhere as one range of keys.

use model::id::CheckSlot;
use model::time::{Timestamp, civil_from_days, days_from_civil};
use std::ops::Range;

/// Length of a window. Two hours give 120 results at one minute: enough for
/// columns to pay, and little enough to read for a single point.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;
/// Windows of a day; windows never cross midnight UTC.
pub(crate) const WINDOWS_PER_DAY: i64 = 12;
/// Virtual shards: values of the first byte of a series' key.
pub(crate) const SHARDS: usize = 256;
/// Length of a day.
pub(crate) const DAY_MS: i64 = WINDOW_MS * WINDOWS_PER_DAY;
/// Length of the hour by which evidence is limited.
const HOUR_MS: i64 = 3_600_000;

/// A number counting windows from 1970.
pub(crate) fn window_of(at: Timestamp) -> i64 {
    at.as_ms().div_euclid(WINDOW_MS)
}

/// The first instant of a window.
pub(crate) fn window_start(window: i64) -> Timestamp {
    Timestamp::from_ms(window * WINDOW_MS)
}

/// The day a window lies in.
pub(crate) fn day_of_window(window: i64) -> i64 {
    window.div_euclid(WINDOWS_PER_DAY)
}

/// The number of a day's month, counted from year 0.
pub(crate) fn month_of(day: i64) -> i64 {
    let (year, month, _) = civil_from_days(day);
    year * 12 + i64::from(month) - 1
}

/// The days of a month, by its number counted from year 0.
pub(crate) fn days_of_month(month: i64) -> Range<i64> {
    let first = |month: i64| days_from_civil(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1);
    first(month)..first(month + 1)
}

/// The year of a day.
pub(crate) fn year_of(day: i64) -> i64 {
    civil_from_days(day).0
}

fn day_of_month(day: i64) -> u8 {
    civil_from_days(day).2 as u8
}

/// A check seen from a location, in the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey([u8; 6]);

impl SeriesKey {
    pub(crate) fn new(slot: CheckSlot, location: u16) -> Self {
        let mut bytes = [0; 6];
        bytes[..4].copy_from_slice(&slot_prefix(slot));
        bytes[4..].copy_from_slice(&location.to_be_bytes());
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 6] {
        &self.0
    }

    pub(crate) fn slot(&self) -> CheckSlot {
        let [a, b, c, d, ..] = self.0;
        CheckSlot(u32::from_be_bytes([a, b, c, d]).rotate_left(8))
    }

    pub(crate) fn location(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    pub(crate) fn shard(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn first_of(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied().map(Self)
    }

    /// The least and the greatest key of a shard.
    pub(crate) fn ends_of_shard(shard: u8) -> (Self, Self) {
        let with = |rest: u8| Self([shard, rest, rest, rest, rest, rest]);
        (with(0), with(u8::MAX))
    }
}

/// The virtual shard of a check.
pub(crate) fn shard_of(slot: CheckSlot) -> u8 {
    slot_prefix(slot)[0]
}

/// What the keys of all series of a check begin with.
pub(crate) fn slot_prefix(slot: CheckSlot) -> [u8; 4] {
    slot.0.rotate_right(8).to_be_bytes()
}

/// A result's key in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) series: SeriesKey,
    pub(crate) offset_ms: u32,
}

impl RowKey {
    pub(crate) fn bytes(&self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[..6].copy_from_slice(&self.series.0);
        // Offsets stay below 7,200,000, which fits 23 bits.
        bytes[6..].copy_from_slice(&self.offset_ms.to_be_bytes()[1..]);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c] = *bytes.get(6..)?.as_array()?;
        Some(Self { series: SeriesKey::first_of(bytes)?, offset_ms: u32::from_be_bytes([0, a, b, c]) })
    }
}

/// The key of a series' chunk in its day.
pub(crate) fn chunk_key(series: SeriesKey, window: i64) -> [u8; 7] {
    let mut bytes = [0; 7];
    bytes[..6].copy_from_slice(&series.0);
    bytes[6] = window.rem_euclid(WINDOWS_PER_DAY) as u8;
    bytes
}

/// The series and window of a chunk's key.
pub(crate) fn read_chunk_key(day: i64, bytes: &[u8]) -> Option<(SeriesKey, i64)> {
    let [in_day] = *bytes.get(6..)?.as_array()?;
    Some((SeriesKey::first_of(bytes)?, day * WINDOWS_PER_DAY + i64::from(in_day)))
}

/// The key of a series' 5-minute roll-ups of a day.
pub(crate) fn five_key(day: i64, series: SeriesKey) -> [u8; 7] {
    let mut bytes = [0; 7];
    bytes[0] = day_of_month(day);
    bytes[1..].copy_from_slice(&series.0);
    bytes
}

/// What the keys of a check's 5-minute roll-ups of a day begin with.
pub(crate) fn five_prefix(day: i64, slot: CheckSlot) -> [u8; 5] {
    let mut bytes = [0; 5];
    bytes[0] = day_of_month(day);
    bytes[1..].copy_from_slice(&slot_prefix(slot));
    bytes
}

/// What the keys of all 5-minute roll-ups of a day begin with.
pub(crate) fn five_day_prefix(day: i64) -> [u8; 1] {
    [day_of_month(day)]
}

/// What the keys of a shard's 5-minute roll-ups of a day begin with.
pub(crate) fn five_shard_prefix(day: i64, shard: u8) -> [u8; 2] {
    [day_of_month(day), shard]
}

/// The key of a series' roll-up of a day.
pub(crate) fn day_key(day: i64, series: SeriesKey) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..6].copy_from_slice(&series.0);
    bytes[6..].copy_from_slice(&(day as u32).to_be_bytes());
    bytes
}

/// The series and day of a daily roll-up's key.
pub(crate) fn read_day_key(bytes: &[u8]) -> Option<(SeriesKey, i64)> {
    let day = *bytes.get(6..)?.as_array()?;
    Some((SeriesKey::first_of(bytes)?, i64::from(u32::from_be_bytes(day))))
}

/// Whether a round passed; the two are limited apart, so that a sampled share
/// of good rounds never displaces a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EvidenceClass {
    Passed,
    Trouble,
}

/// The key of a detail in its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EvidenceKey {
    pub(crate) series: SeriesKey,
    pub(crate) hour: u8,
    pub(crate) class: EvidenceClass,
    pub(crate) offset_ms: u32,
}

impl EvidenceKey {
    /// Bytes that all keys of one series, hour and class share.
    pub(crate) const GROUP_BYTES: usize = 8;

    pub(crate) fn new(series: SeriesKey, scheduled: Timestamp, class: EvidenceClass) -> Self {
        let in_day = scheduled.as_ms().rem_euclid(DAY_MS);
        Self { series, hour: (in_day / HOUR_MS) as u8, class, offset_ms: (in_day % HOUR_MS) as u32 }
    }

    pub(crate) fn bytes(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&self.series.0);
        bytes[6] = self.hour;
        bytes[7] = match self.class {
            EvidenceClass::Passed => 0,
            EvidenceClass::Trouble => 1,
        };
        bytes[8..].copy_from_slice(&self.offset_ms.to_be_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [hour, class, a, b, c, d] = *bytes.get(6..)?.as_array()?;
        let class = if class == 0 { EvidenceClass::Passed } else { EvidenceClass::Trouble };
        let offset_ms = u32::from_be_bytes([a, b, c, d]);
        Some(Self { series: SeriesKey::first_of(bytes)?, hour, class, offset_ms })
    }

    /// The least key with the same series, hour and class.
    pub(crate) fn first_of_group(&self) -> Self {
        Self { offset_ms: 0, ..*self }
    }

    /// The greatest key with the same series, hour and class.
    pub(crate) fn last_of_group(&self) -> Self {
        Self { offset_ms: u32::MAX, ..*self }
    }

    pub(crate) fn scheduled(&self, day: i64) -> Timestamp {
        Timestamp::from_ms(day * DAY_MS + i64::from(self.hour) * HOUR_MS + i64::from(self.offset_ms))
    }
}

/// Where a sealed value belongs: a window or day, and a series. Part of its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: i64,
    pub(crate) series: SeriesKey,
}

impl Place {
    pub(crate) fn bytes(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        bytes[..8].copy_from_slice(&self.at.to_be_bytes());
        bytes[8..].copy_from_slice(&self.series.0);
        bytes
    }
}

/// A head keyspace. A window has a second generation when results arrive while
/// its first is being sealed; a later generation's value wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HeadId {
    pub(crate) window: i64,
    pub(crate) generation: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_survives_its_bytes(slot in any::<u32>(), location in any::<u16>(), ms in 0i64..4_000_000_000_000) {
            let series = SeriesKey::new(CheckSlot(slot), location);
            let at = Timestamp::from_ms(ms);
            prop_assert_eq!((series.slot(), series.location()), (CheckSlot(slot), location));
            prop_assert_eq!(series.bytes()[0], slot as u8);

            let row = RowKey { series, offset_ms: (ms % WINDOW_MS) as u32 };
            prop_assert_eq!(RowKey::read(&row.bytes()), Some(row));
            let window = window_of(at);
            prop_assert_eq!(read_chunk_key(at.day(), &chunk_key(series, window)), Some((series, window)));
            prop_assert_eq!(read_day_key(&day_key(at.day(), series)), Some((series, at.day())));
            for class in [EvidenceClass::Passed, EvidenceClass::Trouble] {
                let key = EvidenceKey::new(series, at, class);
                prop_assert_eq!(EvidenceKey::read(&key.bytes()), Some(key));
                prop_assert_eq!(key.scheduled(at.day()), at);
            }
        }
    }
}

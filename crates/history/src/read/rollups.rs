//! Roll-ups of a check: stored ones, and those that must be computed still.

use super::Damage;
use super::gather::Reader;
use crate::codec::chunk::{self, Point};
use crate::codec::rollup::{self, Resolution, Totals};
use crate::keys::{self, Place, SeriesKey, WINDOW_MS, WINDOWS_PER_DAY};
use crate::tables::TableId;
use model::id::CheckSlot;
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A start, a location's number, and what the results of that span came to.
pub(super) type Found = Vec<(Timestamp, u16, Totals)>;

/// A day's points of a check, with offsets from its start, by location's number.
type PointsByLocation = BTreeMap<u16, Vec<Point>>;

impl Reader<'_> {
    /// The points of a check in a day by location, with offsets from its start,
    /// and the locations with damage.
    pub(crate) fn day_points(&self, slot: CheckSlot, day: i64) -> (PointsByLocation, BTreeSet<(i64, Option<u16>)>) {
        let mut points = PointsByLocation::new();
        let mut damaged = BTreeSet::new();
        let chunks = self.chunks(slot, day);
        for in_day in 0..WINDOWS_PER_DAY {
            let window = day * WINDOWS_PER_DAY + in_day;
            let found = self.window(slot, window, &chunks);
            for ((offset_ms, location), row) in &found.by_time {
                points.entry(*location).or_default().push(Point {
                    offset_ms: offset_ms + (in_day * WINDOW_MS) as u32,
                    outcome: row.outcome,
                    latency_us: row.latency_us,
                });
            }
            damaged.extend(found.damaged.into_iter().map(|location| (window, location)));
        }
        (points, damaged)
    }

    /// Whether a shard's day must be answered from its results, because it has
    /// no roll-ups yet or because later results wait to be rolled up. A day of
    /// which no results are kept can only be answered from roll-ups, whoever made them.
    pub(crate) fn is_fresh(&self, day: i64, shard: u8) -> bool {
        let has_head = || self.tables.heads().any(|head| keys::day_of_window(head.window) == day);
        let windows = day * WINDOWS_PER_DAY..(day + 1) * WINDOWS_PER_DAY;
        let in_memory = || self.shared.buffers().any(|buffer| buffer.rows.range(windows.clone()).next().is_some());
        let is_unrolled = || self.tables.get(TableId::Raw(day)).is_some() && !self.shared.state.is_rolled(day, shard);
        is_unrolled() || has_head() || in_memory()
    }

    /// Days of which single results are kept, ascending.
    fn raw_days(&self, from: i64, to: i64) -> BTreeSet<i64> {
        let windows = self.windows(Timestamp::of_day(from), Timestamp::of_day(to + 1));
        windows.into_iter().map(keys::day_of_window).collect()
    }

    fn computed(&self, slot: CheckSlot, day: i64, resolution: Resolution, found: &mut Found, damage: &mut Vec<Damage>) {
        let (points, damaged) = self.day_points(slot, day);
        for (location, points) in points {
            let is_partial = damaged.iter().any(|(_, whose)| whose.is_none_or(|number| number == location));
            match resolution {
                Resolution::FiveMinutes => {
                    let spans = rollup::spans_of_day(&points, is_partial);
                    let spans =
                        spans.into_iter().map(|(span, totals)| (rollup::span_start(day, span), location, totals));
                    found.extend(spans);
                }
                Resolution::Day => {
                    found.push((Timestamp::of_day(day), location, Totals { is_partial, ..Totals::of(&points) }));
                }
            }
        }
        damage.extend(damaged.into_iter().map(|(window, location)| Damage {
            location: location.and_then(|number| self.shared.locations.name(number).cloned()),
            from: keys::window_start(window),
            to: keys::window_start(window + 1),
        }));
    }

    pub(super) fn spans(&self, slot: CheckSlot, from: Timestamp, to: Timestamp, damage: &mut Vec<Damage>) -> Found {
        let mut found = Found::new();
        let mut days = self.raw_days(from.day(), to.day());
        for id in self.tables.ids() {
            let TableId::Five(month) = id else { continue };
            days.extend(keys::days_of_month(month));
        }
        for &day in days.range(from.day()..=to.day()) {
            if self.is_fresh(day, keys::shard_of(slot)) {
                self.computed(slot, day, Resolution::FiveMinutes, &mut found, damage);
            } else {
                self.stored_spans(slot, day, &mut found, damage);
            }
        }
        found
    }

    fn stored_spans(&self, slot: CheckSlot, day: i64, found: &mut Found, damage: &mut Vec<Damage>) {
        let Some(five) = self.tables.get(TableId::Five(keys::month_of(day))) else { return };
        let whole_day = |location| Damage { location, from: Timestamp::of_day(day), to: Timestamp::of_day(day + 1) };
        for guard in five.prefix(keys::five_prefix(day, slot)) {
            let Ok((key, value)) = guard.into_inner() else {
                damage.push(whole_day(None));
                return;
            };
            let Some(series) = key.get(1..).and_then(SeriesKey::first_of) else { continue };
            match rollup::decode_spans(&value, &Place { at: day, series }) {
                Ok(spans) => found.extend(
                    spans.into_iter().map(|(span, totals)| (rollup::span_start(day, span), series.location(), totals)),
                ),
                Err(chunk::Damaged) => {
                    damage.push(whole_day(self.shared.locations.name(series.location()).cloned()));
                }
            }
        }
    }

    pub(super) fn days(&self, slot: CheckSlot, from: Timestamp, to: Timestamp, damage: &mut Vec<Damage>) -> Found {
        let mut found = Found::new();
        for id in self.tables.ids() {
            let TableId::Days(year) = id else { continue };
            if year >= keys::year_of(from.day().max(0)) && year <= keys::year_of(to.day().min(i64::from(u32::MAX))) {
                self.stored_days(slot, id, (from, to), &mut found, damage);
            }
        }
        let fresh: Vec<i64> = self
            .raw_days(from.day(), to.day())
            .into_iter()
            .filter(|day| self.is_fresh(*day, keys::shard_of(slot)))
            .collect();
        found.retain(|(start, _, _)| !fresh.contains(&start.day()));
        for day in fresh {
            self.computed(slot, day, Resolution::Day, &mut found, damage);
        }
        found
    }

    fn stored_days(
        &self,
        slot: CheckSlot,
        id: TableId,
        (from, to): (Timestamp, Timestamp),
        found: &mut Found,
        damage: &mut Vec<Damage>,
    ) {
        let Some(days) = self.tables.get(id) else { return };
        for guard in days.prefix(keys::slot_prefix(slot)) {
            let Ok((key, value)) = guard.into_inner() else {
                damage.push(Damage { location: None, from, to });
                return;
            };
            let Some((series, day)) = keys::read_day_key(&key) else { continue };
            if day < from.day() || day > to.day() {
                continue;
            }
            match rollup::decode_totals(&value, &Place { at: day, series }) {
                Ok(totals) => found.push((Timestamp::of_day(day), series.location(), totals)),
                Err(chunk::Damaged) => damage.push(Damage {
                    location: self.shared.locations.name(series.location()).cloned(),
                    from: Timestamp::of_day(day),
                    to: Timestamp::of_day(day + 1),
                }),
            }
        }
    }
}

//! Answering questions: single results, the latest one, roll-ups, evidence.
//!
//! A check's results are gathered from every place they may be in, window by
//! window; where two places have the same result they agree, or the later one
//! is right. Damage is part of an answer: what can be read is given, and the
//! spans that could not be read are named. **A number is never made up from
//! bytes whose checksum is wrong.**

use crate::buffer::{DETAIL_VERSION, Row};
use crate::codec::chunk::{self, Point, outcome_from};
use crate::codec::column;
use crate::codec::rollup::{self, Resolution, Rollup, Totals};
use crate::error::ReadError;
use crate::keys::{self, EvidenceKey, Place, RowKey, SeriesKey, WINDOW_MS, WINDOWS_PER_DAY};
use crate::store::{SCHEDULED_MS_MAX, Shared, Store};
use crate::tables::{TableId, Tables};
use model::id::{CheckSlot, LocationId};
use model::observation::{Detail, Outcome};
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// An answer: what was found, and what could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Spans inside the asked one whose results are damaged, if any.
    pub damaged: Vec<Damage>,
    /// Whether there is more than the limit allowed.
    pub is_cut: bool,
}

/// A span of which results could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Whose results; `None` if that cannot be told and it may be every location's.
    pub location: Option<LocationId>,
    /// Start of the span.
    pub from: Timestamp,
    /// End of the span, not part of it.
    pub to: Timestamp,
}

/// One stored result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When the round was due.
    pub scheduled: Timestamp,
    /// Where it was made.
    pub location: LocationId,
    /// How it ended.
    pub outcome: Outcome,
    /// Time of the round in microseconds, as precisely as the store keeps it.
    pub latency_us: u32,
}

/// What is kept about a round beside its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// When the round was due.
    pub scheduled: Timestamp,
    /// Where it was made.
    pub location: LocationId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where the time went, and what can be shown for it.
    pub detail: Detail,
}

impl Store {
    /// The results of a check scheduled from `from` until before `to`, of all
    /// locations, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn range(
        &self,
        slot: CheckSlot,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Read<Sample>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let mut chunks = DayChunks::none();
        for window in reader.windows(from, to) {
            chunks = chunks.of(&reader, slot, window);
            let found = reader.window(slot, window, &chunks);
            answer.damaged.extend(found.damage(&reader, window));
            for ((scheduled, location), row) in found.rows(window) {
                if scheduled < from || scheduled >= to {
                    continue;
                }
                if answer.items.len() >= limit {
                    answer.is_cut = true;
                    return Ok(answer);
                }
                answer.items.extend(reader.sample(scheduled, location, row));
            }
        }
        Ok(answer)
    }

    /// The latest result of a check from any location, if there is one. Damage
    /// met on the way back to it is named.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn latest(&self, slot: CheckSlot) -> Result<Read<Sample>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let mut chunks = DayChunks::none();
        for window in reader.windows(Timestamp::EPOCH, Timestamp::from_ms(i64::MAX)).into_iter().rev() {
            chunks = chunks.of(&reader, slot, window);
            let found = reader.window(slot, window, &chunks);
            answer.damaged.extend(found.damage(&reader, window));
            if let Some(((scheduled, location), row)) = found.rows(window).last() {
                answer.items.extend(reader.sample(scheduled, location, row));
                break;
            }
        }
        Ok(answer)
    }

    /// The roll-ups of a check for the spans that begin from `from` until before
    /// `to`, ascending by time, one for each location that has results then. See
    /// [`merged`](crate::merged) for one line of all locations. Spans that are
    /// not rolled up yet are computed from the results.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn rollups(
        &self,
        slot: CheckSlot,
        resolution: Resolution,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Read<Rollup>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let (from, to) = (from.max(Timestamp::EPOCH), to.min(Timestamp::from_ms(SCHEDULED_MS_MAX)));
        if from >= to {
            return Ok(answer);
        }
        let mut found = match resolution {
            Resolution::FiveMinutes => reader.spans(slot, from, to, &mut answer.damaged),
            Resolution::Day => reader.days(slot, from, to, &mut answer.damaged),
        };
        found.retain(|(start, _, _)| *start >= from && *start < to);
        found.sort_by_key(|(start, location, _)| (*start, *location));
        answer.items.extend(found.into_iter().map(|(start, location, totals)| Rollup {
            location: reader.shared.locations.name(location).cloned(),
            from: start,
            to: Timestamp::from_ms(start.as_ms() + resolution.length_ms()),
            totals,
        }));
        Ok(answer)
    }

    /// What is kept about the rounds of a check scheduled from `from` until
    /// before `to`, newest first, at most `limit`. Of each hour, check and
    /// location the first [`EVIDENCE_TROUBLE_PER_HOUR`] rounds that did not
    /// pass are there, and [`EVIDENCE_PASSED_PER_HOUR`] of those that did.
    ///
    /// [`EVIDENCE_TROUBLE_PER_HOUR`]: crate::limits::EVIDENCE_TROUBLE_PER_HOUR
    /// [`EVIDENCE_PASSED_PER_HOUR`]: crate::limits::EVIDENCE_PASSED_PER_HOUR
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn details(
        &self,
        slot: CheckSlot,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Read<Evidence>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        for day in reader.evidence_days(from, to).into_iter().rev() {
            let mut of_day: Vec<_> = reader.details_of_day(slot, day, &mut answer.damaged);
            of_day.retain(|evidence| evidence.scheduled >= from && evidence.scheduled < to);
            of_day.sort_by(|a, b| (b.scheduled, &b.location).cmp(&(a.scheduled, &a.location)));
            for evidence in of_day {
                if answer.items.len() >= limit {
                    answer.is_cut = true;
                    return Ok(answer);
                }
                answer.items.push(evidence);
            }
        }
        Ok(answer)
    }
}

/// Reading under the lock on what is shared.
pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    tables: &'a Tables,
}

/// The chunks of a check in one day, by window.
struct DayChunks {
    day: Option<i64>,
    by_window: BTreeMap<i64, Vec<(SeriesKey, Vec<u8>)>>,
    is_unreadable: bool,
}

impl DayChunks {
    fn none() -> Self {
        Self { day: None, by_window: BTreeMap::new(), is_unreadable: false }
    }

    /// The chunks of the day a window lies in, read once for all its windows.
    fn of(self, reader: &Reader<'_>, slot: CheckSlot, window: i64) -> Self {
        let day = keys::day_of_window(window);
        if self.day == Some(day) { self } else { reader.chunks(slot, day) }
    }
}

/// Everything known of a check in a window.
pub(crate) struct Window {
    /// By offset and location.
    by_time: BTreeMap<(u32, u16), Row>,
    /// Locations with damage; `None` for damage that may be anyone's.
    damaged: BTreeSet<Option<u16>>,
}

impl Window {
    fn rows(&self, window: i64) -> impl DoubleEndedIterator<Item = ((Timestamp, u16), &Row)> {
        let start = keys::window_start(window).as_ms();
        self.by_time
            .iter()
            .map(move |((offset, location), row)| ((Timestamp::from_ms(start + i64::from(*offset)), *location), row))
    }

    fn damage(&self, reader: &Reader<'_>, window: i64) -> Vec<Damage> {
        let (from, to) = (keys::window_start(window), keys::window_start(window + 1));
        let name = |location: &Option<u16>| location.and_then(|number| reader.shared.locations.name(number).cloned());
        self.damaged.iter().map(|location| Damage { location: name(location), from, to }).collect()
    }
}

/// A start, a location's number, and what the results of that span came to.
type Found = Vec<(Timestamp, u16, Totals)>;

impl<'a> Reader<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Result<Self, ReadError> {
        Ok(Self { shared, tables: shared.tables.as_ref().ok_or(ReadError::Closed)? })
    }

    /// The windows with results that touch a span, ascending.
    fn windows(&self, from: Timestamp, to: Timestamp) -> Vec<i64> {
        let mut windows = BTreeSet::new();
        for id in self.tables.ids() {
            match id {
                TableId::Head(head) => {
                    windows.insert(head.window);
                }
                TableId::Raw(day) => windows.extend(day * WINDOWS_PER_DAY..(day + 1) * WINDOWS_PER_DAY),
                TableId::Evidence(_) | TableId::Five(_) | TableId::Days(_) => {}
            }
        }
        windows.extend(self.shared.buffers().flat_map(|buffer| buffer.rows.keys().copied()));
        if from >= to {
            return Vec::new();
        }
        let last = keys::window_of(Timestamp::from_ms(to.as_ms() - 1));
        windows.range(keys::window_of(from)..=last).copied().collect()
    }

    fn chunks(&self, slot: CheckSlot, day: i64) -> DayChunks {
        let mut found = DayChunks { day: Some(day), ..DayChunks::none() };
        let Some(raw) = self.tables.get(TableId::Raw(day)) else { return found };
        for guard in raw.prefix(keys::slot_prefix(slot)) {
            let Ok((key, value)) = guard.into_inner() else {
                found.is_unreadable = true;
                break;
            };
            let Some((series, window)) = keys::read_chunk_key(day, &key) else { continue };
            found.by_window.entry(window).or_default().push((series, value.to_vec()));
        }
        found
    }

    /// Gathers a window: chunks, then heads, then what is still in memory.
    fn window(&self, slot: CheckSlot, window: i64, chunks: &DayChunks) -> Window {
        let mut found = Window { by_time: BTreeMap::new(), damaged: BTreeSet::new() };
        if chunks.is_unreadable {
            found.damaged.insert(None);
        }
        for (series, bytes) in chunks.by_window.get(&window).into_iter().flatten() {
            match chunk::decode(bytes, &Place { at: window, series: *series }) {
                Ok(chunk) => {
                    let row = |point: &Point| Row { outcome: point.outcome, latency_us: point.latency_us };
                    let rows = chunk.points.iter().map(|point| ((point.offset_ms, series.location()), row(point)));
                    found.by_time.extend(rows);
                    if chunk.is_incomplete {
                        found.damaged.insert(Some(series.location()));
                    }
                }
                Err(chunk::Damaged) => {
                    found.damaged.insert(Some(series.location()));
                }
            }
        }
        for head in self.tables.heads().filter(|head| head.window == window) {
            self.add_head(&mut found, slot, TableId::Head(head));
        }
        for rows in self.shared.buffers().filter_map(|buffer| buffer.rows.get(&window)) {
            let first = RowKey { series: SeriesKey::new(slot, 0), offset_ms: 0 };
            let last = RowKey { series: SeriesKey::new(slot, u16::MAX), offset_ms: u32::MAX };
            let rows = rows.range(first..=last);
            found.by_time.extend(rows.map(|(key, row)| ((key.offset_ms, key.series.location()), *row)));
        }
        found
    }

    fn add_head(&self, found: &mut Window, slot: CheckSlot, id: TableId) {
        let Some(head) = self.tables.get(id) else { return };
        for guard in head.prefix(keys::slot_prefix(slot)) {
            let row = guard.into_inner().ok().and_then(|(key, value)| Some((RowKey::read(&key)?, read_row(&value)?)));
            let Some((key, row)) = row else {
                found.damaged.insert(None);
                return;
            };
            found.by_time.insert((key.offset_ms, key.series.location()), row);
        }
    }

    fn sample(&self, scheduled: Timestamp, location: u16, row: &Row) -> Option<Sample> {
        let location = self.shared.locations.name(location)?.clone();
        Some(Sample { scheduled, location, outcome: row.outcome, latency_us: row.latency_us })
    }

    /// The points of a check in a day by location, with offsets from its start,
    /// and the locations with damage.
    pub(crate) fn day_points(
        &self,
        slot: CheckSlot,
        day: i64,
    ) -> (BTreeMap<u16, Vec<Point>>, BTreeSet<(i64, Option<u16>)>) {
        let mut points: BTreeMap<u16, Vec<Point>> = BTreeMap::new();
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

    /// Whether a day must be answered from its results, because it has no
    /// roll-ups yet or because later results wait to be rolled up.
    fn is_fresh(&self, day: i64) -> bool {
        let has_head = || self.tables.heads().any(|head| keys::day_of_window(head.window) == day);
        let windows = day * WINDOWS_PER_DAY..(day + 1) * WINDOWS_PER_DAY;
        let in_memory = || self.shared.buffers().any(|buffer| buffer.rows.range(windows.clone()).next().is_some());
        !self.shared.state.is_rolled(day) || has_head() || in_memory()
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

    fn spans(&self, slot: CheckSlot, from: Timestamp, to: Timestamp, damage: &mut Vec<Damage>) -> Found {
        let mut found = Found::new();
        let mut days = self.raw_days(from.day(), to.day());
        for id in self.tables.ids() {
            let TableId::Five(month) = id else { continue };
            let first = model::time::days_from_civil(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1);
            // No month is longer, and days of the next one are simply not found.
            days.extend((first..first + 31).filter(|day| keys::month_of(*day) == month));
        }
        for &day in days.range(from.day()..=to.day()) {
            if self.is_fresh(day) {
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

    fn days(&self, slot: CheckSlot, from: Timestamp, to: Timestamp, damage: &mut Vec<Damage>) -> Found {
        let mut found = Found::new();
        for id in self.tables.ids() {
            let TableId::Days(year) = id else { continue };
            if year >= keys::year_of(from.day().max(0)) && year <= keys::year_of(to.day().min(i64::from(u32::MAX))) {
                self.stored_days(slot, id, (from, to), &mut found, damage);
            }
        }
        let fresh: Vec<i64> =
            self.raw_days(from.day(), to.day()).into_iter().filter(|day| self.is_fresh(*day)).collect();
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

    fn evidence_days(&self, from: Timestamp, to: Timestamp) -> Vec<i64> {
        let in_tables = self.tables.ids().filter_map(|id| match id {
            TableId::Evidence(day) => Some(day),
            TableId::Head(_) | TableId::Raw(_) | TableId::Five(_) | TableId::Days(_) => None,
        });
        let in_memory = self.shared.buffers().flat_map(|buffer| buffer.evidence.keys().copied());
        let days: BTreeSet<i64> = in_tables.chain(in_memory).collect();
        days.into_iter().filter(|day| (from.day()..=to.day()).contains(day)).collect()
    }

    fn details_of_day(&self, slot: CheckSlot, day: i64, damage: &mut Vec<Damage>) -> Vec<Evidence> {
        let mut by_key: BTreeMap<EvidenceKey, Vec<u8>> = BTreeMap::new();
        if let Some(keyspace) = self.tables.get(TableId::Evidence(day)) {
            for guard in keyspace.prefix(keys::slot_prefix(slot)) {
                let Ok((key, value)) = guard.into_inner() else {
                    damage.push(Damage {
                        location: None,
                        from: Timestamp::of_day(day),
                        to: Timestamp::of_day(day + 1),
                    });
                    break;
                };
                by_key.extend(EvidenceKey::read(&key).map(|key| (key, value.to_vec())));
            }
        }
        for details in self.shared.buffers().filter_map(|buffer| buffer.evidence.get(&day)) {
            let of_slot = details.iter().filter(|(key, _)| key.series.slot() == slot);
            by_key.extend(of_slot.map(|(key, bytes)| (*key, bytes.clone())));
        }
        let mut found = Vec::new();
        for (key, bytes) in by_key {
            let location = self.shared.locations.name(key.series.location()).cloned();
            let scheduled = key.scheduled(day);
            match (read_detail(&bytes, &key), location) {
                (Some((outcome, detail)), Some(location)) => {
                    found.push(Evidence { scheduled, location, outcome, detail });
                }
                (_, location) => {
                    let to = Timestamp::from_ms(scheduled.as_ms() + 1);
                    damage.push(Damage { location, from: scheduled, to });
                }
            }
        }
        found
    }
}

/// Reads the value of a head's row.
pub(crate) fn read_row(value: &[u8]) -> Option<Row> {
    let (&outcome, latency) = value.split_first()?;
    let latency_us = u32::from_le_bytes(*latency.as_array()?);
    Some(Row { outcome: outcome_from(u64::from(outcome))?, latency_us })
}

fn read_detail(bytes: &[u8], key: &EvidenceKey) -> Option<(Outcome, Detail)> {
    let body = column::unseal(bytes, &key.bytes())?;
    let [DETAIL_VERSION, outcome, rest @ ..] = body else { return None };
    Some((outcome_from(u64::from(*outcome))?, postcard::from_bytes(rest).ok()?))
}

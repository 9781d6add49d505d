//! Gathering what is known of a check in a window, from chunks, heads and memory.

use super::{Damage, Sample};
use crate::codec::chunk;
use crate::codec::row::{self, Row};
use crate::error::ReadError;
use crate::keys::{self, Place, RowKey, SeriesKey, WINDOWS_PER_DAY};
use crate::store::Shared;
use crate::tables::{TableId, Tables};
use fjall::Keyspace;
use model::id::{CheckSlot, LocationId};
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Reading under the lock on what is shared.
pub(crate) struct Reader<'a> {
    pub(super) shared: &'a Shared,
    pub(super) tables: &'a Tables,
}

/// The chunks of a check in one day, by window.
pub(super) struct DayChunks {
    day: Option<i64>,
    by_window: BTreeMap<i64, Vec<(SeriesKey, Vec<u8>)>>,
    is_unreadable: bool,
}

impl DayChunks {
    pub(super) fn none() -> Self {
        Self { day: None, by_window: BTreeMap::new(), is_unreadable: false }
    }

    /// The chunks of the day a window lies in, read once for all its windows.
    pub(super) fn of(self, reader: &Reader<'_>, slot: CheckSlot, window: i64) -> Self {
        let day = keys::day_of_window(window);
        if self.day == Some(day) { self } else { reader.chunks(slot, day) }
    }
}

/// Everything known of a check in a window.
pub(crate) struct Window {
    /// By offset and location.
    pub(super) by_time: BTreeMap<(u32, u16), Row>,
    /// Locations with damage; `None` for damage that may be anyone's.
    pub(super) damaged: BTreeSet<Option<u16>>,
}

impl Window {
    fn add(&mut self, offset_ms: u32, location: u16, row: Row) {
        self.by_time.entry((offset_ms, location)).and_modify(|there| *there = there.or(row)).or_insert(row);
    }

    pub(super) fn damage(&self, reader: &Reader<'_>, window: i64) -> Vec<Damage> {
        let (from, to) = (keys::window_start(window), keys::window_start(window + 1));
        let name = |location: &Option<u16>| location.and_then(|number| reader.shared.locations.name(number).cloned());
        self.damaged.iter().map(|location| Damage { location: name(location), from, to }).collect()
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Result<Self, ReadError> {
        Ok(Self { shared, tables: shared.tables.as_ref().ok_or(ReadError::Closed)? })
    }

    pub(crate) fn table(&self, id: TableId) -> Option<&Keyspace> {
        self.tables.get(id)
    }

    pub(crate) fn table_ids(&self) -> impl Iterator<Item = TableId> {
        self.tables.ids()
    }

    /// The name of a location.
    pub(crate) fn location(&self, number: u16) -> Option<&LocationId> {
        self.shared.locations.name(number)
    }

    /// The windows with results that touch a span, ascending.
    pub(crate) fn windows(&self, from: Timestamp, to: Timestamp) -> Vec<i64> {
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

    pub(super) fn chunks(&self, slot: CheckSlot, day: i64) -> DayChunks {
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
    pub(super) fn window(&self, slot: CheckSlot, window: i64, chunks: &DayChunks) -> Window {
        let mut found = Window { by_time: BTreeMap::new(), damaged: BTreeSet::new() };
        if chunks.is_unreadable {
            found.damaged.insert(None);
        }
        for (series, bytes) in chunks.by_window.get(&window).into_iter().flatten() {
            match chunk::decode(bytes, &Place { at: window, series: *series }) {
                Ok(chunk) => {
                    for point in &chunk.points {
                        found.add(point.offset_ms, series.location(), point.row());
                    }
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
            for (key, row) in rows.range(first..=last) {
                found.add(key.offset_ms, key.series.location(), *row);
            }
        }
        found
    }

    pub(super) fn add_head(&self, found: &mut Window, slot: CheckSlot, id: TableId) {
        let Some(head) = self.tables.get(id) else { return };
        for guard in head.prefix(keys::slot_prefix(slot)) {
            let Some((key, row)) = guard.key().ok().and_then(|key| row::read_head_key(&key)) else {
                found.damaged.insert(None);
                return;
            };
            found.add(key.offset_ms, key.series.location(), row);
        }
    }

    /// The results of a window by time and then by location's name, because the
    /// numbers of locations differ between nodes.
    pub(super) fn samples(&self, window: i64, found: &Window) -> Vec<Sample> {
        let start = keys::window_start(window).as_ms();
        let sample = |(&(offset_ms, location), row): (&(u32, u16), &Row)| {
            let location = self.shared.locations.name(location)?.clone();
            let scheduled = Timestamp::from_ms(start + i64::from(offset_ms));
            Some(Sample { scheduled, location, outcome: row.outcome, latency_us: row.latency_us })
        };
        let mut samples: Vec<Sample> = found.by_time.iter().filter_map(sample).collect();
        samples.sort_by(|a, b| (a.scheduled, &a.location).cmp(&(b.scheduled, &b.location)));
        samples
    }
}

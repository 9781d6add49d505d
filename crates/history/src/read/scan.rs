//! Everything known of one shard in a window, or of one series in it.
//!
//! What a check's reader gathers by check, this gathers by shard, for whoever
//! compares, copies or completes history. Chunks stay as they are stored where
//! nothing has to be added to them.

use super::gather::Reader;
use crate::codec::chunk::{self, Chunk, Damaged, Point};
use crate::codec::row::{Row, read_head_key, united};
use crate::keys::{self, Place, RowKey, SeriesKey, day_of_window};
use crate::tables::TableId;
use std::collections::BTreeMap;

/// What is known of one series in a window.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The stored chunk, as it is.
    pub(crate) chunk: Option<Vec<u8>>,
    /// Results that are in heads and in memory, ascending by time.
    pub(crate) rows: Vec<Point>,
    /// Whether the chunk cannot even be fetched.
    pub(crate) is_unreadable: bool,
}

impl Known {
    /// The stored chunk as values; an empty one if there is none.
    pub(crate) fn stored(&self, place: &Place) -> Result<Chunk, Damaged> {
        if self.is_unreadable {
            return Err(Damaged);
        }
        self.chunk.as_deref().map_or_else(|| Ok(Chunk::default()), |bytes| chunk::decode(bytes, place))
    }

    /// Everything, wherever it lies.
    pub(crate) fn all(&self, place: &Place) -> Result<Chunk, Damaged> {
        let stored = self.stored(place)?;
        if self.rows.is_empty() {
            return Ok(stored);
        }
        Ok(Chunk { points: united(&stored.points, &self.rows), ..stored })
    }
}

/// What is known of a shard in a window.
#[derive(Debug, Default)]
pub(crate) struct ShardWindow {
    /// By series.
    pub(crate) series: BTreeMap<SeriesKey, Known>,
    /// Whether something may be missing because it could not be read.
    pub(crate) is_damaged: bool,
}

impl Reader<'_> {
    /// Whether a window's results are all in chunks.
    pub(crate) fn is_settled(&self, window: i64) -> bool {
        self.tables.heads().all(|head| head.window != window)
            && self.shared.buffers().all(|buffer| !buffer.rows.contains_key(&window))
    }

    /// Gathers a shard of a window.
    pub(crate) fn shard_window(&self, window: i64, shard: u8) -> ShardWindow {
        let mut found = ShardWindow::default();
        self.add_chunks(&mut found, window, shard);
        let rows = self.rows(window, &[shard], SeriesKey::ends_of_shard(shard));
        found.is_damaged |= !rows.is_whole;
        for (series, points) in rows.by_series {
            found.series.entry(series).or_default().rows = points;
        }
        found
    }

    /// Gathers one series of a window.
    pub(crate) fn series_window(&self, window: i64, series: SeriesKey) -> Known {
        let mut known = Known::default();
        let raw = self.tables.get(TableId::Raw(day_of_window(window)));
        match raw.map(|raw| raw.get(keys::chunk_key(series, window))) {
            Some(Ok(chunk)) => known.chunk = chunk.map(|bytes| bytes.to_vec()),
            Some(Err(_)) => known.is_unreadable = true,
            None => {}
        }
        let mut rows = self.rows(window, series.bytes(), (series, series));
        known.rows = rows.by_series.remove(&series).unwrap_or_default();
        known
    }

    fn add_chunks(&self, found: &mut ShardWindow, window: i64, shard: u8) {
        let day = day_of_window(window);
        let Some(raw) = self.tables.get(TableId::Raw(day)) else { return };
        for guard in raw.prefix([shard]) {
            let Ok((key, value)) = guard.into_inner() else {
                found.is_damaged = true;
                return;
            };
            match keys::read_chunk_key(day, &key) {
                Some((series, of)) if of == window => {
                    found.series.entry(series).or_default().chunk = Some(value.to_vec());
                }
                Some(_) => {}
                None => found.is_damaged = true,
            }
        }
    }

    /// The rows of heads and memory whose keys begin with a prefix, which those between two series do.
    fn rows(&self, window: i64, prefix: &[u8], (first, last): (SeriesKey, SeriesKey)) -> Rows {
        let mut found = Rows { by_series: BTreeMap::new(), is_whole: true };
        for head in self.tables.heads().filter(|head| head.window == window) {
            let Some(head) = self.tables.get(TableId::Head(head)) else { continue };
            for guard in head.prefix(prefix) {
                let Some((key, row)) = guard.key().ok().and_then(|key| read_head_key(&key)) else {
                    found.is_whole = false;
                    break;
                };
                found.push(&key, row);
            }
        }
        let first = RowKey { series: first, offset_ms: 0 };
        let last = RowKey { series: last, offset_ms: u32::MAX };
        for rows in self.shared.buffers().filter_map(|buffer| buffer.rows.get(&window)) {
            rows.range(first..=last).for_each(|(key, row)| found.push(key, *row));
        }
        // Of one source they ascend; of several they do not, and a round may be there twice.
        found.by_series.values_mut().for_each(|points| *points = united(points, &[]));
        found
    }
}

/// Rows by series, and whether all of them could be read.
struct Rows {
    by_series: BTreeMap<SeriesKey, Vec<Point>>,
    is_whole: bool,
}

impl Rows {
    fn push(&mut self, key: &RowKey, row: Row) {
        self.by_series.entry(key.series).or_default().push(Point::new(key.offset_ms, row));
    }
}

//! Giving a peer what it asks for.
//!
//! Chunks and roll-ups go as they are stored, once their checksum is verified;
//! only what is not in chunks yet is encoded for it. A shard is read under the
//! lock, and no lock is held from one shard to the next. **Of each shard the
//! details come before the results**: who stops half-way still lacks results,
//! which a digest tells, and asks again; missing details no digest would tell.

use super::unit::{Body, UnitWriter};
use super::{Kind, Unit};
use crate::codec::chunk::{self, Chunk};
use crate::codec::column;
use crate::error::ReadError;
use crate::keys::{self, EvidenceKey, Place, SeriesKey, day_of_window, window_of, window_start};
use crate::limits::{RECORD_RESULTS_MAX, UNIT_BYTES_MAX, UNIT_BYTES_MIN, UNIT_RESULTS_MAX};
use crate::read::{Known, Reader};
use crate::store::Store;
use crate::tables::TableId;
use serde::{Deserialize, Serialize};
use std::ops::Bound;

/// Where an export goes on. It is only understood by the store that gave it;
/// to any other it names a place just as well, but maybe not the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    shard: u8,
    /// Whether the shard's details were sent, or there are none.
    is_past_details: bool,
    /// Results begin at this series and offset, everything else behind this key.
    key: Vec<u8>,
}

impl Cursor {
    fn begin(shard: u8) -> Self {
        Self { shard, is_past_details: false, key: Vec::new() }
    }
}

/// A part of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// For [`import`](Store::import), also if it holds nothing.
    pub bytes: Vec<u8>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such unit.
    #[error("no history has such a span or such shards")]
    NoSuchUnit,
    /// The store cannot be read at all.
    #[error("could not read history")]
    Read(#[from] ReadError),
}

/// Whether a unit took everything, and if not, where it stopped.
type Filled = Option<Cursor>;

impl Store {
    /// The next part of a unit, of about `bytes_max` bytes, between
    /// [`UNIT_BYTES_MIN`] and [`UNIT_BYTES_MAX`]; only a single record that is
    /// larger, of a check made many times a second, exceeds that. Begins at
    /// `cursor`, or at the unit's start.
    ///
    /// Roll-ups of days that are still made from results are left out. What is
    /// damaged here is left out too, and the unit says so.
    ///
    /// # Errors
    /// [`ExportError`]; nothing has changed, ask again or somebody else.
    pub fn export(&self, unit: &Unit, bytes_max: usize, cursor: Option<&Cursor>) -> Result<Exported, ExportError> {
        if !unit.is_sane() {
            return Err(ExportError::NoSuchUnit);
        }
        let bytes_max = bytes_max.clamp(UNIT_BYTES_MIN, UNIT_BYTES_MAX);
        let (from, upto) = (unit.span.from(), unit.span.upto());
        let (watermark, is_whole) = {
            let shared = self.shared();
            (shared.buffer.watermark, !shared.state.gaps.iter().any(|gap| gap.concerns(from, upto)))
        };
        let mut writer = UnitWriter::new(*unit, watermark, is_whole, bytes_max);
        let mut at = cursor.cloned().unwrap_or_else(|| Cursor::begin(unit.first_shard));
        let mut results_left = UNIT_RESULTS_MAX / 2;
        loop {
            if at.shard < unit.first_shard || at.shard > unit.last_shard {
                return Ok(Exported { bytes: writer.finish(), next: None });
            }
            if let Some(next) = self.export_shard(&mut writer, unit, &at, &mut results_left)? {
                return Ok(Exported { bytes: writer.finish(), next: Some(next) });
            }
            match at.shard.checked_add(1) {
                Some(shard) => at = Cursor::begin(shard),
                None => return Ok(Exported { bytes: writer.finish(), next: None }),
            }
        }
    }

    fn export_shard(
        &self,
        writer: &mut UnitWriter,
        unit: &Unit,
        at: &Cursor,
        results_left: &mut usize,
    ) -> Result<Filled, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let number = unit.span.number();
        Ok(match unit.span.kind() {
            Kind::Results if at.is_past_details => self.export_results(&reader, writer, number, at, results_left),
            Kind::Results => {
                let results = Cursor { is_past_details: true, ..Cursor::begin(at.shard) };
                export_details(&reader, writer, number, at)
                    .or_else(|| self.export_results(&reader, writer, number, &results, results_left))
            }
            Kind::FiveMinutes => export_spans(&reader, writer, number, at),
            Kind::Days => export_days(&reader, writer, number, at),
        })
    }

    fn export_results(
        &self,
        reader: &Reader<'_>,
        writer: &mut UnitWriter,
        window: i64,
        at: &Cursor,
        results_left: &mut usize,
    ) -> Filled {
        let found = reader.shard_window(window, at.shard);
        writer.is_whole &= !found.is_damaged;
        let first = SeriesKey::first_of(&at.key).unwrap_or_else(|| SeriesKey::ends_of_shard(at.shard).0);
        for (&series, known) in found.series.range(first..) {
            let Some(name) = reader.location(series.location()) else { continue };
            let place = Place { at: window, series };
            let from_ms = at.offset_in(series);
            for (offset_ms, count, body) in self.records_of(known, &place, from_ms, &mut writer.is_whole) {
                if *results_left == 0 || !writer.push(series, name, Body::Results(&body)) {
                    let key = [series.bytes().as_slice(), &offset_ms.to_be_bytes()].concat();
                    return Some(at.behind(&key));
                }
                *results_left = results_left.saturating_sub(count);
            }
        }
        None
    }

    /// The bodies a series is sent in, each with the offset it begins at and how many results it holds.
    fn records_of(
        &self,
        known: &Known,
        place: &Place,
        from_ms: u32,
        is_whole: &mut bool,
    ) -> Vec<(u32, usize, Vec<u8>)> {
        if let Some(chunk) = known.chunk.as_deref().filter(|_| known.rows.is_empty() && from_ms == 0) {
            let Some(body) = column::unseal(chunk, &place.bytes()) else {
                *is_whole = false;
                return Vec::new();
            };
            if let Some(count) = chunk::count_of(body).filter(|&count| count <= RECORD_RESULTS_MAX) {
                return vec![(0, count, body.to_vec())];
            }
        }
        let all = known.all(place).unwrap_or_else(|chunk::Damaged| {
            *is_whole = false;
            Chunk { points: known.rows.clone(), is_incomplete: true }
        });
        let rest = &all.points[all.points.partition_point(|point| point.offset_ms < from_ms)..];
        let record = |points: &[chunk::Point]| {
            let piece = Chunk { points: points.to_vec(), is_incomplete: all.is_incomplete };
            (points[0].offset_ms, points.len(), chunk::encode_body(&piece, self.options.precision))
        };
        rest.chunks(RECORD_RESULTS_MAX).map(record).collect()
    }
}

impl Cursor {
    /// The offset at which the results of a series begin.
    fn offset_in(&self, series: SeriesKey) -> u32 {
        match self.key.split_first_chunk::<6>() {
            Some((key, offset)) if key == series.bytes() => {
                offset.first_chunk().map_or(0, |offset| u32::from_be_bytes(*offset))
            }
            Some(_) | None => 0,
        }
    }

    /// The place behind a key.
    fn behind(&self, key: &[u8]) -> Self {
        Self { key: key.to_vec(), ..*self }
    }
}

fn export_details(reader: &Reader<'_>, writer: &mut UnitWriter, window: i64, at: &Cursor) -> Filled {
    let day = day_of_window(window);
    let from = EvidenceKey::read(&at.key);
    let details = reader.details_of_shard(day, at.shard, &mut writer.is_whole);
    let mut last = from;
    for (key, sealed) in details.range((from.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)) {
        let scheduled = key.scheduled(day);
        let series = key.series;
        if window_of(scheduled) != window {
            continue;
        }
        let (Some(name), Some(body)) = (reader.location(series.location()), column::unseal(sealed, &key.bytes()))
        else {
            continue;
        };
        let offset_ms = (scheduled.as_ms() - window_start(window).as_ms()) as u32;
        if !writer.push(series, name, Body::Detail { offset_ms, body }) {
            let key = last.map_or_else(Vec::new, |key| key.bytes().to_vec());
            return Some(at.behind(&key));
        }
        last = Some(*key);
    }
    None
}

fn export_spans(reader: &Reader<'_>, writer: &mut UnitWriter, day: i64, at: &Cursor) -> Filled {
    let five = reader.table(TableId::Five(keys::month_of(day)))?;
    if reader.is_fresh(day, at.shard) {
        return None;
    }
    let mut last = at.key.clone();
    for guard in five.prefix(keys::five_shard_prefix(day, at.shard)) {
        let Ok((key, value)) = guard.into_inner() else {
            writer.is_whole = false;
            break;
        };
        let Some(series) = key.get(1..).and_then(SeriesKey::first_of).filter(|_| *key > *at.key) else { continue };
        let body = column::unseal(&value, &Place { at: day, series }.bytes());
        let (Some(name), Some(body)) = (reader.location(series.location()), body) else {
            writer.is_whole = false;
            continue;
        };
        if !writer.push(series, name, Body::Spans(body)) {
            return Some(at.behind(&last));
        }
        last = key.to_vec();
    }
    None
}

fn export_days(reader: &Reader<'_>, writer: &mut UnitWriter, month: i64, at: &Cursor) -> Filled {
    let days = keys::days_of_month(month);
    let table = reader.table(TableId::Days(keys::year_of(days.start)))?;
    let pending: Vec<i64> = days.clone().filter(|day| reader.is_fresh(*day, at.shard)).collect();
    let mut last = at.key.clone();
    for guard in table.prefix([at.shard]) {
        let Ok((key, value)) = guard.into_inner() else {
            writer.is_whole = false;
            break;
        };
        let Some((series, day)) = keys::read_day_key(&key).filter(|_| *key > *at.key) else { continue };
        if !days.contains(&day) || pending.contains(&day) {
            continue;
        }
        let body = column::unseal(&value, &Place { at: day, series }.bytes());
        let (Some(name), Some(body)) = (reader.location(series.location()), body) else {
            writer.is_whole = false;
            continue;
        };
        if !writer.push(series, name, Body::Totals { day, body }) {
            return Some(at.behind(&last));
        }
        last = key.to_vec();
    }
    None
}

//! The stored form of a unit: a header and records, with a checksum over all.
//!
//! | part | form |
//! |---|---|
//! | `MSHU`, version | 4 bytes, 1 byte |
//! | kind, first and last shard, flags | 1 byte each |
//! | number of the span, watermark | numbers |
//! | locations | their number; for each its length and its name |
//! | records until the end | tag, check, location, what the tag says, length, body |
//! | checksum | 8 bytes, XXH3 of everything before |
//!
//! Numbers are in groups of seven bits. A body is a chunk, a detail or a
//! roll-up as it is stored, without the checksum that binds it to its place in
//! one store. **A reader believes nothing**: each number is held against a
//! bound before anything is made from it.

use super::import::ImportError;
use super::{Kind, Span, Unit};
use crate::codec::column::{put_number, take_number};
use crate::keys::{SeriesKey, WINDOW_MS, days_of_month, shard_of};
use crate::limits::{UNIT_BYTES_READ_MAX, UNIT_LOCATIONS_MAX};
use model::id::{CheckSlot, LocationId};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"MSHU";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
const FLAG_WHOLE: u8 = 1;
/// Bytes of a record beside its body, at most.
const RECORD_HEAD_BYTES: usize = 24;
/// Bytes of everything but records and names, at most.
const FRAME_BYTES: usize = 64;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// Results of a window: a chunk.
    Results(&'a [u8]),
    /// A detail of the round that was due so long after the window's start.
    Detail { offset_ms: u32, body: &'a [u8] },
    /// A day of 5-minute roll-ups.
    Spans(&'a [u8]),
    /// The roll-up of a day.
    Totals { day: i64, body: &'a [u8] },
}

/// A record of a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) slot: CheckSlot,
    /// Its place in the unit's list of locations.
    pub(super) location: usize,
    pub(super) body: Body<'a>,
}

/// A unit that is being put together.
pub(super) struct UnitWriter {
    unit: Unit,
    watermark: u64,
    /// Whether nothing of the spans is known to be missing.
    pub(super) is_whole: bool,
    names: Vec<u8>,
    /// By their number in this store.
    locations: BTreeMap<u16, u64>,
    records: Vec<u8>,
    bytes_max: usize,
}

impl UnitWriter {
    pub(super) fn new(unit: Unit, watermark: u64, is_whole: bool, bytes_max: usize) -> Self {
        let (names, records, locations) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { unit, watermark, is_whole, names, locations, records, bytes_max }
    }

    /// Adds a record, unless the unit is full; the first one always fits.
    pub(super) fn push(&mut self, series: SeriesKey, name: &LocationId, body: Body<'_>) -> bool {
        let (tag, extra, bytes) = match body {
            Body::Results(bytes) => (1, None, bytes),
            Body::Detail { offset_ms, body } => (2, Some(u64::from(offset_ms)), body),
            Body::Spans(bytes) => (3, None, bytes),
            Body::Totals { day, body } => (4, Some((day - days_of_month(self.unit.span.number()).start) as u64), body),
        };
        let is_new = !self.locations.contains_key(&series.location());
        let name_bytes = if is_new { name.as_str().len() + 2 } else { 0 };
        let bytes_after =
            FRAME_BYTES + self.names.len() + name_bytes + self.records.len() + RECORD_HEAD_BYTES + bytes.len();
        let is_full = bytes_after > self.bytes_max || (is_new && self.locations.len() >= UNIT_LOCATIONS_MAX);
        if is_full && !self.records.is_empty() {
            return false;
        }
        let next = self.locations.len() as u64;
        let location = *self.locations.entry(series.location()).or_insert(next);
        if is_new {
            put_number(&mut self.names, name.as_str().len() as u64);
            self.names.extend(name.as_str().as_bytes());
        }
        self.records.push(tag);
        put_number(&mut self.records, u64::from(series.slot().0));
        put_number(&mut self.records, location);
        extra.into_iter().for_each(|number| put_number(&mut self.records, number));
        put_number(&mut self.records, bytes.len() as u64);
        self.records.extend(bytes);
        true
    }

    /// The stored form.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let flags = if self.is_whole { FLAG_WHOLE } else { 0 };
        bytes.extend([VERSION, kind_number(self.unit.span.kind()), self.unit.first_shard, self.unit.last_shard, flags]);
        put_number(&mut bytes, self.unit.span.number() as u64);
        put_number(&mut bytes, self.watermark);
        put_number(&mut bytes, self.locations.len() as u64);
        bytes.extend(self.names);
        bytes.extend(self.records);
        let checksum = xxh3_64(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }
}

/// A unit whose checksum and header were verified.
#[derive(Debug)]
pub(super) struct UnitReader<'a> {
    pub(super) unit: Unit,
    pub(super) watermark: u64,
    pub(super) is_whole: bool,
    pub(super) locations: Vec<LocationId>,
    records: &'a [u8],
}

/// Verifies a unit's frame.
pub(super) fn read(bytes: &[u8]) -> Result<UnitReader<'_>, ImportError> {
    if bytes.len() > UNIT_BYTES_READ_MAX {
        return Err(ImportError::TooLarge { bytes: bytes.len() });
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(ImportError::Foreign)?;
    let (&version, _) = rest.split_first().ok_or(ImportError::Foreign)?;
    if version != VERSION {
        return Err(ImportError::Version { found: version });
    }
    let (covered, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ImportError::Damaged)?;
    if xxh3_64(covered) != u64::from_le_bytes(*checksum) {
        return Err(ImportError::Damaged);
    }
    let rest = covered.get(MAGIC.len() + 1..).ok_or(ImportError::Damaged)?;
    read_header(rest).ok_or(ImportError::Malformed)
}

fn read_header(bytes: &[u8]) -> Option<UnitReader<'_>> {
    let ([kind, first_shard, last_shard, flags], mut rest) = bytes.split_first_chunk()?;
    let rest = &mut rest;
    let span = Span::new(kind_of(*kind)?, i64::try_from(take_number(rest)?).ok()?);
    let unit = Unit { span, first_shard: *first_shard, last_shard: *last_shard };
    let watermark = take_number(rest)?;
    let count = usize::try_from(take_number(rest)?).ok().filter(|&count| count <= UNIT_LOCATIONS_MAX)?;
    let mut locations = Vec::with_capacity(count);
    for _ in 0..count {
        let name = take_bytes(rest)?;
        locations.push(LocationId::new(std::str::from_utf8(name).ok()?).ok()?);
    }
    let is_sane = unit.is_sane() && flags & !FLAG_WHOLE == 0;
    let is_whole = flags & FLAG_WHOLE != 0;
    is_sane.then_some(UnitReader { unit, watermark, is_whole, locations, records: rest })
}

impl<'a> UnitReader<'a> {
    /// The records, up to and with the first that is malformed.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'a>, ImportError>> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = self.take_record(&mut rest);
            if record.is_none() {
                rest = &[];
            }
            Some(record.ok_or(ImportError::Malformed))
        })
    }

    fn take_record(&self, rest: &mut &'a [u8]) -> Option<Record<'a>> {
        let (&tag, after) = rest.split_first()?;
        *rest = after;
        let slot = CheckSlot(u32::try_from(take_number(rest)?).ok()?);
        let location = usize::try_from(take_number(rest)?).ok().filter(|&index| index < self.locations.len())?;
        if !(self.unit.first_shard..=self.unit.last_shard).contains(&shard_of(slot)) {
            return None;
        }
        let body = match (tag, self.unit.span.kind()) {
            (1, Kind::Results) => Body::Results(take_bytes(rest)?),
            (2, Kind::Results) => {
                let offset_ms = u32::try_from(take_number(rest)?).ok().filter(|&ms| i64::from(ms) < WINDOW_MS)?;
                Body::Detail { offset_ms, body: take_bytes(rest)? }
            }
            (3, Kind::FiveMinutes) => Body::Spans(take_bytes(rest)?),
            (4, Kind::Days) => {
                let days = days_of_month(self.unit.span.number());
                let offset = i64::try_from(take_number(rest)?).ok()?;
                let day = days.start.checked_add(offset).filter(|day| days.contains(day))?;
                Body::Totals { day, body: take_bytes(rest)? }
            }
            _ => return None,
        };
        Some(Record { slot, location, body })
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// The stored numbers of kinds; never changed.
fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Results => 0,
        Kind::FiveMinutes => 1,
        Kind::Days => 2,
    }
}

fn kind_of(number: u8) -> Option<Kind> {
    [Kind::Results, Kind::FiveMinutes, Kind::Days].get(usize::from(number)).copied()
}

//! Taking in what a peer gave.
//!
//! Nothing of a unit is used before all of it was verified. Then, under the
//! writer's lock, its results are united with the chunks that are here, so that
//! importing again changes nothing. What is stored is, in this order: that
//! the window has chunks and that its day's roll-ups have to be made anew; then
//! the details; then the chunks, as one table, which is there as a whole or not
//! at all. **A crash between any two steps costs at most work that was not
//! needed**: whatever comes before the chunks is asked for again with them.

use super::unit::{self, Body, Record, UnitReader};
use super::{Kind, Unit};
use crate::Precision;
use crate::codec::chunk::{self, Chunk};
use crate::codec::row::united;
use crate::codec::{column, rollup};
use crate::error::WriteError;
use crate::evidence::{self, Details};
use crate::keys::{self, EvidenceKey, Place, SeriesKey, day_of_window, month_of, window_start};
use crate::limits::{RECORD_RESULTS_MAX, UNIT_BYTES_READ_MAX, UNIT_DETAIL_BYTES_MAX, UNIT_RESULTS_MAX};
use crate::read::Reader;
use crate::shards::Shards;
use crate::store::{Store, Writer};
use crate::tables::{TableId, wait_until_merged};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a unit brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// What it was a part of.
    pub unit: Unit,
    /// How far the peer's log was applied when it made the unit. Only a peer
    /// that was beyond a gap can close it.
    pub watermark: u64,
    /// Results, or roll-ups, that were not here.
    pub items_new: u64,
    /// Those that were here already.
    pub items_known: u64,
    /// Whether the span is older than what is kept here, so that nothing was taken.
    pub is_expired: bool,
}

/// Why a unit was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No unit is that large.
    #[error("{bytes} bytes are too many for a unit of history, which has at most {UNIT_BYTES_READ_MAX}")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Something else.
    #[error("this is no unit of history")]
    Foreign,
    /// Written by a newer version of the program.
    #[error("the unit of history has version {found}, which this program does not read")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Not what was written.
    #[error("the unit of history is damaged")]
    Damaged,
    /// Its checksum is right and its content is not.
    #[error("the unit of history breaks the rules of its form")]
    Malformed,
    /// More locations than keys have numbers for.
    #[error("history knows {} locations and has no number left for another", crate::limits::LOCATIONS_MAX)]
    TooManyLocations,
    /// Writing failed; the unit is there in part, in whole or not at all.
    #[error("could not store the unit of history")]
    Write(#[from] WriteError),
}

/// What is to be written.
#[derive(Default)]
struct Prepared {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    details: Details,
    items_new: u64,
    items_known: u64,
}

impl Store {
    /// Unites a unit with what is here. What it brought is on disk when this
    /// returns. Importing the same again changes nothing, so after an error or a
    /// crash that is the way to go on.
    ///
    /// # Errors
    /// [`ImportError`]; unless it is about writing, nothing has changed, and the
    /// same bytes will never be taken.
    pub fn import(&self, bytes: &[u8]) -> Result<Imported, ImportError> {
        let unit = unit::read(bytes)?;
        let locations = verify(&unit)?;
        // A batch of the log must not wait behind an import that waits for merging.
        if let Some(table) = self.shared().tables.as_ref().and_then(|tables| tables.get(table_of(&unit)).cloned()) {
            wait_until_merged(&table)?;
        }
        let mut writer = self.writer();
        let imported = self.import_verified(&mut writer, &unit, &locations);
        if matches!(imported, Err(ImportError::Write(_))) {
            writer.upkeep.abandon_job();
            writer.is_suspect = true;
        }
        imported
    }

    fn import_verified(
        &self,
        writer: &mut Writer,
        unit: &UnitReader<'_>,
        locations: &BTreeSet<usize>,
    ) -> Result<Imported, ImportError> {
        let mut imported = Imported {
            unit: unit.unit,
            watermark: unit.watermark,
            items_new: 0,
            items_known: 0,
            is_expired: self.has_expired(writer, &unit.unit),
        };
        if !imported.is_expired {
            self.prepare_write(writer)?;
            let numbers = self.numbers(unit, locations)?;
            (imported.items_new, imported.items_known) = match unit.unit.span.kind() {
                Kind::Results => self.import_results(writer, unit, &numbers)?,
                Kind::FiveMinutes | Kind::Days => self.import_rollups(unit, &numbers)?,
            };
        }
        Ok(imported)
    }

    /// Whether a span is older than what is kept. Before maintenance has told
    /// the time nothing is; what was taken is dropped again then.
    fn has_expired(&self, writer: &Writer, unit: &Unit) -> bool {
        let Some(now) = writer.upkeep.now() else { return false };
        let Some(kept) = self.shared().kept(&self.options, now) else { return false };
        match unit.span.kind() {
            Kind::Results => day_of_window(unit.span.number()) < kept.raw_from,
            Kind::FiveMinutes => month_of(unit.span.number()) < kept.five_from,
            Kind::Days => false,
        }
    }

    /// The numbers here of a unit's locations, as far as they are used. New ones
    /// are on disk when this returns, before anything that needs them.
    fn numbers(&self, unit: &UnitReader<'_>, used: &BTreeSet<usize>) -> Result<BTreeMap<usize, u16>, ImportError> {
        let mut numbers = BTreeMap::new();
        for &index in used {
            let number = self.shared_mut().locations.number(&unit.locations[index]);
            numbers.insert(index, number.ok_or(ImportError::TooManyLocations)?);
        }
        self.store_locations()?;
        Ok(numbers)
    }

    fn import_results(
        &self,
        writer: &mut Writer,
        unit: &UnitReader<'_>,
        numbers: &BTreeMap<usize, u16>,
    ) -> Result<(u64, u64), ImportError> {
        let window = unit.unit.span.number();
        self.settle_job(writer, window)?;
        let mut prepared = Prepared::default();
        {
            let shared = self.shared();
            let reader = Reader::new(&shared).expect("a write was prepared");
            for record in unit.records() {
                let record = record?;
                let series = SeriesKey::new(record.slot, numbers[&record.location]);
                let place = Place { at: window, series };
                match record.body {
                    Body::Results(body) => self.unite(&reader, unit, &place, body, &mut prepared)?,
                    Body::Detail { offset_ms, body } => add_detail(&mut prepared.details, &place, offset_ms, body),
                    Body::Spans(_) | Body::Totals { .. } => return Err(ImportError::Malformed),
                }
            }
        }
        let shards: Shards = prepared.pairs.keys().map(|key| key[0]).collect();
        self.mark_imported(writer, window, shards)?;
        let day = day_of_window(window);
        if !prepared.details.is_empty() {
            self.write_evidence(day, &prepared.details)?;
        }
        self.write_pairs(TableId::Raw(day), prepared.pairs)?;
        Ok((prepared.items_new, prepared.items_known))
    }

    /// Unites a record's results with the chunk that is here.
    fn unite(
        &self,
        reader: &Reader<'_>,
        unit: &UnitReader<'_>,
        place: &Place,
        body: &[u8],
        prepared: &mut Prepared,
    ) -> Result<(), ImportError> {
        let mut new = chunk::decode_body(body, RECORD_RESULTS_MAX).map_err(|chunk::Damaged| ImportError::Malformed)?;
        let is_coarser = self.options.precision == Precision::OnePercent && chunk::is_exact(body);
        for point in &mut new.points {
            point.latency_us = self.options.precision.rounded_us(point.latency_us);
        }
        let key = keys::chunk_key(place.series, place.at).to_vec();
        let known = reader.series_window(place.at, place.series);
        let stored = match prepared.pairs.get(&key) {
            Some(pending) => Some(chunk::decode(pending, place)),
            None => (known.chunk.is_some() || known.is_unreadable).then(|| known.stored(place)),
        };
        let (here, is_incomplete) = incompleteness(stored, &new, unit.is_whole);
        let before = united(&here.points, &known.rows);
        let after = united(&before, &new.points);
        let added = after.len() - before.len();
        prepared.items_new += added as u64;
        prepared.items_known += (new.points.len() - added) as u64;
        if after == before && is_incomplete == here.is_incomplete {
            return Ok(());
        }
        let bytes = if here.points.is_empty() && !is_coarser && is_incomplete == new.is_incomplete {
            column::seal(body.to_vec(), &place.bytes())
        } else {
            let points = united(&here.points, &new.points);
            chunk::encode(&Chunk { points, is_incomplete }, self.options.precision, place)
        };
        prepared.pairs.insert(key, bytes);
        Ok(())
    }

    /// Stores what must be known before the chunks of a window are.
    fn mark_imported(&self, writer: &mut Writer, window: i64, shards: Shards) -> Result<(), WriteError> {
        if shards.is_empty() {
            return Ok(());
        }
        let day = day_of_window(window);
        writer.upkeep.note_import(day);
        let is_rolling = writer.upkeep.rolling_day() == Some(day);
        let is_marked = {
            let state = &self.shared().state;
            let needs_rolling = is_rolling || state.was_rolled(day);
            let stale = state.stale.get(&day).copied().unwrap_or_default();
            state.sealed.contains(&window) && (!needs_rolling || shards.without(&stale).is_empty())
        };
        if is_marked {
            return Ok(());
        }
        self.change_state(|state| {
            // From here on sealing looks for the chunks and adds to them.
            state.sealed.insert(window);
            if is_rolling || state.was_rolled(day) {
                let stale = state.stale.entry(day).or_default();
                *stale = stale.with(&shards);
            }
        })
    }
}

/// The chunk that is here, and whether the one that is to be stored has to say
/// that it is not whole. Damage is healed by a peer that has everything.
fn incompleteness(stored: Option<Result<Chunk, chunk::Damaged>>, new: &Chunk, is_peer_whole: bool) -> (Chunk, bool) {
    let lacks = new.is_incomplete || !is_peer_whole;
    match stored {
        None => (Chunk::default(), new.is_incomplete),
        Some(Ok(here)) => {
            let is_incomplete = here.is_incomplete && lacks;
            (here, is_incomplete)
        }
        // What is here counts for nothing, and differs from anything that is written.
        Some(Err(chunk::Damaged)) => (Chunk { points: Vec::new(), is_incomplete: !lacks }, lacks),
    }
}

fn add_detail(details: &mut Details, place: &Place, offset_ms: u32, body: &[u8]) {
    let scheduled = window_start(place.at).plus(Duration::from_millis(u64::from(offset_ms)));
    let Some((outcome, _)) = evidence::decode(body) else { return };
    let key = EvidenceKey::new(place.series, scheduled, evidence::class_of(outcome));
    if evidence::is_wanted(details, &key) {
        evidence::keep(details, key, column::seal(body.to_vec(), &key.bytes()));
    }
}

/// Reads every record once and holds it against its bounds; returns which
/// locations are used.
fn verify(unit: &UnitReader<'_>) -> Result<BTreeSet<usize>, ImportError> {
    let mut used = BTreeSet::new();
    let mut results = 0;
    for record in unit.records() {
        let Record { location, body, .. } = record?;
        used.insert(location);
        let is_sound = match body {
            Body::Results(body) => {
                // Counted before anything is unpacked.
                results += chunk::count_of(body).unwrap_or(usize::MAX).min(UNIT_RESULTS_MAX + 1);
                results <= UNIT_RESULTS_MAX && chunk::decode_body(body, RECORD_RESULTS_MAX).is_ok()
            }
            Body::Detail { body, .. } => body.len() <= UNIT_DETAIL_BYTES_MAX && evidence::decode(body).is_some(),
            Body::Spans(body) => rollup::decode_spans_body(body).is_some(),
            Body::Totals { body, .. } => rollup::decode_totals_body(body).is_some(),
        };
        if !is_sound {
            return Err(ImportError::Malformed);
        }
    }
    Ok(used)
}

/// The table a unit goes to.
fn table_of(unit: &UnitReader<'_>) -> TableId {
    let number = unit.unit.span.number();
    match unit.unit.span.kind() {
        Kind::Results => TableId::Raw(day_of_window(number)),
        Kind::FiveMinutes => TableId::Five(month_of(number)),
        Kind::Days => TableId::Days(keys::year_of(unit.unit.span.from().day())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::chunk::Point;
    use crate::exchange::Span;
    use crate::exchange::unit::UnitWriter;
    use model::id::{CheckSlot, LocationId};
    use model::observation::Outcome;

    /// A unit of as many records as wanted, each of as many results as a record may hold, all alike.
    fn unit_of(records: u32) -> Vec<u8> {
        let unit = Unit::whole(Span::new(Kind::Results, 249_324));
        let point = |offset_ms| Point { offset_ms, outcome: Outcome::Pass, latency_us: 7 };
        let points = (0..RECORD_RESULTS_MAX as u32).map(point).collect();
        let body = chunk::encode_body(&Chunk { points, is_incomplete: false }, Precision::Exact);
        assert!(body.len() < 100, "they compress well: {}", body.len());
        let mut writer = UnitWriter::new(unit, 1, true, UNIT_BYTES_READ_MAX);
        let name = LocationId::new("paris").expect("a legal name");
        for slot in 0..records {
            assert!(writer.push(SeriesKey::new(CheckSlot(slot), 0), &name, Body::Results(&body)));
        }
        writer.finish()
    }

    #[test]
    fn results_are_counted_before_they_are_unpacked() {
        let records_max = (UNIT_RESULTS_MAX / RECORD_RESULTS_MAX) as u32;
        for (records, is_taken) in [(records_max, true), (records_max + 1, false), (10_000, false)] {
            let bytes = unit_of(records);
            let verified = verify(&unit::read(&bytes).expect("a sound frame"));
            assert_eq!(verified.is_ok(), is_taken, "{records}");
        }
    }
}

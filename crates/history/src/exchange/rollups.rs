//! Taking in roll-ups of days whose results nobody keeps any more.
//!
//! Of two roll-ups of the same span the one that counts more rounds is kept,
//! so that stores which exchange theirs end equal. Where results are kept, they
//! are made from those whenever results come.

use super::import::ImportError;
use super::unit::{Body, UnitReader};
use crate::codec::column;
use crate::codec::rollup::{self, Totals};
use crate::keys::{self, Place, SeriesKey};
use crate::store::Store;
use crate::tables::TableId;
use std::collections::BTreeMap;

impl Store {
    /// Unites a unit's roll-ups with those that are here; returns how many were new and known.
    pub(super) fn import_rollups(
        &self,
        unit: &UnitReader<'_>,
        numbers: &BTreeMap<usize, u16>,
    ) -> Result<(u64, u64), ImportError> {
        let mut tables: BTreeMap<TableId, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        let (mut new, mut known) = (0, 0);
        for record in unit.records() {
            let record = record?;
            let series = SeriesKey::new(record.slot, numbers[&record.location]);
            let (day, table, key) = match record.body {
                Body::Spans(_) => {
                    let day = unit.unit.span.number();
                    (day, TableId::Five(keys::month_of(day)), keys::five_key(day, series).to_vec())
                }
                Body::Totals { day, .. } => {
                    (day, TableId::Days(keys::year_of(day)), keys::day_key(day, series).to_vec())
                }
                Body::Results(_) | Body::Detail { .. } => return Err(ImportError::Malformed),
            };
            let pairs = tables.entry(table).or_default();
            let here = pairs.get(&key).cloned().or_else(|| self.stored(table, &key));
            let place = Place { at: day, series };
            match united(here.as_deref(), &record.body, &place).ok_or(ImportError::Malformed)? {
                Some(bytes) => {
                    pairs.insert(key, bytes);
                    new += 1;
                }
                None => known += 1,
            }
        }
        for (table, pairs) in tables {
            self.write_pairs(table, pairs)?;
        }
        Ok((new, known))
    }
}

/// What is to be stored of both, or `Some(None)` if that is here; `None` if the
/// new one is malformed. What is damaged here is replaced.
fn united(here: Option<&[u8]>, new: &Body<'_>, place: &Place) -> Option<Option<Vec<u8>>> {
    match new {
        Body::Spans(body) => {
            let new = rollup::decode_spans_body(body)?;
            let Some(here) = here.and_then(|bytes| rollup::decode_spans(bytes, place).ok()) else {
                return Some(Some(column::seal(body.to_vec(), &place.bytes())));
            };
            let all = rollup::united_spans(&here, &new, Totals::or);
            Some((all != here).then(|| rollup::encode_spans(&all, place)))
        }
        Body::Totals { body, .. } => {
            let new = rollup::decode_totals_body(body)?;
            let Some(here) = here.and_then(|bytes| rollup::decode_totals(bytes, place).ok()) else {
                return Some(Some(column::seal(body.to_vec(), &place.bytes())));
            };
            let all = here.or(new);
            Some((all != here).then(|| rollup::encode_totals(&all, place)))
        }
        Body::Results(_) | Body::Detail { .. } => None,
    }
}

//! Making the roll-ups of a day, from its chunks.

use super::{Call, Pending, Progress, Step};
use crate::codec::chunk::{self, Point};
use crate::codec::rollup::{self, Totals};
use crate::error::WriteError;
use crate::keys::{self, HeadId, Place, RowKey, SeriesKey, WINDOW_MS, WINDOWS_PER_DAY, day_of_window};
use crate::read::Reader;
use crate::store::{Store, Writer};
use crate::tables::TableId;
use fjall::Keyspace;
use std::ops::Bound;

/// A day of one series.
struct SeriesDay {
    series: SeriesKey,
    points: Vec<Point>,
    is_partial: bool,
    last_key: Vec<u8>,
}

impl Store {
    /// Rolls up the next series of a day.
    pub(super) fn roll(&self, call: &mut Call, day: i64, progress: &mut Progress) -> Result<Step, WriteError> {
        let Some(raw) = self.existing_table(TableId::Raw(day)) else { return Ok(Step::Done(None)) };
        while call.left > 0 {
            let series_day = match next_series(&raw, day, progress.cursor.as_deref()) {
                Ok(Some(series_day)) => series_day,
                Ok(None) => return self.finish_roll(call, day, progress),
                // Past the shard in which the damage lies; its checks are answered from their results.
                Err(Unreadable) => {
                    progress.has_damage = true;
                    match progress
                        .cursor
                        .as_deref()
                        .and_then(<[u8]>::first)
                        .map_or(Some(1), |shard| shard.checked_add(1))
                    {
                        Some(shard) => progress.cursor = Some(vec![shard]),
                        None => return self.finish_roll(call, day, progress),
                    }
                    continue;
                }
            };
            call.spend(series_day.points.len());
            call.report.rollups += 1;
            push_rollups(&mut progress.pending, day, &series_day);
            progress.cursor = Some(series_day.last_key);
            if progress.pending.is_full() {
                self.write_pending(&mut progress.pending)?;
            }
        }
        Ok(Step::Paused)
    }

    fn finish_roll(&self, call: &mut Call, day: i64, progress: &mut Progress) -> Result<Step, WriteError> {
        self.write_pending(&mut progress.pending)?;
        if progress.has_damage {
            tracing::error!(day, "a day of history is damaged and could not be rolled up whole");
            call.report.unreadable += 1;
        }
        self.change_state(|state| {
            state.rolled_through = Some(day);
            if progress.has_damage {
                state.unrolled.insert(day);
            }
        })?;
        Ok(Step::Done(None))
    }

    /// Makes the roll-ups of the next series of a late head anew.
    pub(super) fn mend(
        &self,
        writer: &mut Writer,
        call: &mut Call,
        head: HeadId,
        progress: &mut Progress,
    ) -> Result<Step, WriteError> {
        let day = day_of_window(head.window);
        let Some(rows) = self.existing_table(TableId::Head(head)) else { return Ok(Step::Done(None)) };
        while call.left > 0 {
            // The cursor is the last series; the next one begins after its last possible key.
            let from = match &progress.cursor {
                Some(series) => Bound::Excluded([series.as_slice(), &[u8::MAX; 3]].concat()),
                None => Bound::Unbounded,
            };
            let Some(guard) = rows.range::<Vec<u8>, _>((from, Bound::Unbounded)).next() else {
                self.write_pending(&mut progress.pending)?;
                self.drop_table(TableId::Head(head))?;
                return Ok(Step::Done(None));
            };
            let Some(row) = guard.key().ok().and_then(|key| RowKey::read(&key)) else {
                writer.upkeep.unreadable.insert(head);
                call.report.unreadable += 1;
                self.write_pending(&mut progress.pending)?;
                return Ok(Step::Done(None));
            };
            let series_day = self.series_day(row.series, day);
            call.spend(series_day.points.len());
            call.report.rollups += 1;
            push_rollups(&mut progress.pending, day, &series_day);
            progress.cursor = Some(series_day.last_key);
            if progress.pending.is_full() {
                self.write_pending(&mut progress.pending)?;
            }
        }
        Ok(Step::Paused)
    }

    fn series_day(&self, series: SeriesKey, day: i64) -> SeriesDay {
        let shared = self.shared();
        let reader = Reader::new(&shared).expect("a write was prepared");
        let (mut points, damaged) = reader.day_points(series.slot(), day);
        let is_partial = damaged.iter().any(|(_, whose)| whose.is_none_or(|number| number == series.location()));
        let points = points.remove(&series.location()).unwrap_or_default();
        SeriesDay { series, points, is_partial, last_key: series.bytes().to_vec() }
    }
}

fn push_rollups(pending: &mut Pending, day: i64, of: &SeriesDay) {
    let place = Place { at: day, series: of.series };
    let spans = rollup::spans_of_day(&of.points, of.is_partial);
    let bytes = rollup::encode_spans(&spans, of.is_partial, &place);
    pending.push(TableId::Five(keys::month_of(day)), &keys::five_key(day, of.series), bytes);
    let totals = Totals { is_partial: of.is_partial, ..Totals::of(&of.points) };
    let bytes = rollup::encode_totals(&totals, &place);
    pending.push(TableId::Days(keys::year_of(day)), &keys::day_key(day, of.series), bytes);
}

/// A day's chunks could not be read further.
struct Unreadable;

/// The chunks of the first series after a key, as points of the day.
fn next_series(raw: &Keyspace, day: i64, after: Option<&[u8]>) -> Result<Option<SeriesDay>, Unreadable> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut found: Option<SeriesDay> = None;
    for guard in raw.range::<&[u8], _>((from, Bound::Unbounded)) {
        let (key, value) = guard.into_inner().map_err(|_| Unreadable)?;
        let (series, window) = keys::read_chunk_key(day, &key).ok_or(Unreadable)?;
        let of = found.get_or_insert_with(|| SeriesDay {
            series,
            points: Vec::new(),
            is_partial: false,
            last_key: Vec::new(),
        });
        if of.series != series {
            break;
        }
        of.last_key = key.to_vec();
        match chunk::decode(&value, &Place { at: window, series }) {
            Ok(chunk) => {
                of.is_partial |= chunk.is_incomplete;
                let start = (window.rem_euclid(WINDOWS_PER_DAY) * WINDOW_MS) as u32;
                of.points
                    .extend(chunk.points.iter().map(|point| Point { offset_ms: start + point.offset_ms, ..*point }));
            }
            Err(chunk::Damaged) => of.is_partial = true,
        }
    }
    Ok(found)
}

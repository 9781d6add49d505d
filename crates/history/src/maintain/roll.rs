//! Making the roll-ups of a day, from its chunks.

use super::{Call, Pending, Progress, Step};
use crate::codec::chunk::{self, Point};
use crate::codec::rollup::{self, Totals};
use crate::error::WriteError;
use crate::keys::{self, Place, SeriesKey, WINDOW_MS, WINDOWS_PER_DAY};
use crate::shards::Shards;
use crate::store::Store;
use crate::tables::TableId;
use fjall::Keyspace;
use std::ops::Bound;

/// A day that is rolled up.
#[derive(Debug, Clone, Copy)]
pub(super) struct RollDay {
    pub(super) day: i64,
    pub(super) shards: Shards,
    /// Whether it was rolled up before, and results have come from a peer since.
    pub(super) is_again: bool,
}

/// A day of one series.
pub(super) struct SeriesDay {
    pub(super) series: SeriesKey,
    pub(super) points: Vec<Point>,
    pub(super) is_partial: bool,
    pub(super) last_key: Vec<u8>,
}

impl Store {
    /// Rolls up the next series of a day.
    pub(super) fn roll(&self, call: &mut Call, job: &RollDay, progress: &mut Progress) -> Result<Step, WriteError> {
        let Some(raw) = self.existing_table(TableId::Raw(job.day)) else {
            return self.finish_roll(call, job, progress);
        };
        while call.left > 0 {
            let series_day = match next_series(&raw, job, progress.cursor.as_deref()) {
                Ok(Some(series_day)) => series_day,
                Ok(None) => return self.finish_roll(call, job, progress),
                // Past the shard in which the damage lies; its checks are answered from their results.
                Err(Unreadable) => {
                    progress.has_damage = true;
                    let shard = progress.cursor.as_deref().and_then(<[u8]>::first);
                    match shard.map_or(Some(1), |shard| shard.checked_add(1)) {
                        Some(shard) => progress.cursor = Some(vec![shard]),
                        None => return self.finish_roll(call, job, progress),
                    }
                    continue;
                }
            };
            call.spend(series_day.points.len());
            call.report.rollups += 1;
            self.push_rollups(&mut progress.pending, job.day, &series_day);
            progress.cursor = Some(series_day.last_key);
            if progress.pending.is_full() {
                self.write_pending(&mut progress.pending)?;
            }
        }
        Ok(Step::Paused)
    }

    fn finish_roll(&self, call: &mut Call, job: &RollDay, progress: &mut Progress) -> Result<Step, WriteError> {
        let day = job.day;
        self.write_pending(&mut progress.pending)?;
        if progress.has_damage {
            tracing::error!(day, "a day of history is damaged and could not be rolled up whole");
            call.report.unreadable += 1;
        }
        self.change_state(|state| {
            if job.is_again {
                let stale = state.stale.remove(&day).unwrap_or_default().without(&job.shards);
                if !stale.is_empty() {
                    state.stale.insert(day, stale);
                }
            } else {
                state.rolled_through = Some(day);
            }
            if progress.has_damage {
                state.unrolled.insert(day);
            }
        })?;
        Ok(Step::Done(None))
    }

    /// Adds the roll-ups of a series' day to what is to be written.
    ///
    /// Stored ones that count more rounds stay: they were made, here or by a
    /// peer, when results were there that are not any more. They exist only
    /// where a day comes again or a peer was faster, but asking is cheap.
    pub(super) fn push_rollups(&self, pending: &mut Pending, day: i64, of: &SeriesDay) {
        let place = Place { at: day, series: of.series };
        let mut spans = rollup::spans_of_day(&of.points, of.is_partial);
        let mut totals = Totals { is_partial: of.is_partial, ..Totals::of(&of.points) };
        let (five, days) = (TableId::Five(keys::month_of(day)), TableId::Days(keys::year_of(day)));
        let (five_key, day_key) = (keys::five_key(day, of.series), keys::day_key(day, of.series));
        if let Some(stored) = self.stored(five, &five_key).and_then(|bytes| rollup::decode_spans(&bytes, &place).ok()) {
            spans = rollup::united_spans(&spans, &stored, Totals::or_fuller);
        }
        if let Some(stored) = self.stored(days, &day_key).and_then(|bytes| rollup::decode_totals(&bytes, &place).ok()) {
            totals = totals.or_fuller(stored);
        }
        pending.push(five, &five_key, rollup::encode_spans(&spans, &place));
        pending.push(days, &day_key, rollup::encode_totals(&totals, &place));
    }

    /// A stored value; damage counts as nothing, it is replaced.
    pub(crate) fn stored(&self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        Some(self.existing_table(table)?.get(key).ok()??.to_vec())
    }
}

/// A day's chunks could not be read further.
struct Unreadable;

/// The chunks of the next series of a job after a key, as points of the day.
fn next_series(raw: &Keyspace, job: &RollDay, after: Option<&[u8]>) -> Result<Option<SeriesDay>, Unreadable> {
    let mut from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_vec()));
    loop {
        let Some(guard) = raw.range::<Vec<u8>, _>((from.clone(), Bound::Unbounded)).next() else { return Ok(None) };
        let key = guard.key().map_err(|_| Unreadable)?;
        let shard = *key.first().ok_or(Unreadable)?;
        match job.shards.next_from(shard) {
            Some(wanted) if wanted == shard => return read_series(raw, job.day, from),
            Some(wanted) => from = Bound::Included(vec![wanted]),
            None => return Ok(None),
        }
    }
}

fn read_series(raw: &Keyspace, day: i64, from: Bound<Vec<u8>>) -> Result<Option<SeriesDay>, Unreadable> {
    let mut found: Option<SeriesDay> = None;
    for guard in raw.range::<Vec<u8>, _>((from, Bound::Unbounded)) {
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

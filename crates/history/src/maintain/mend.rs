//! Making roll-ups anew for the series of a head, because its results came
//! after their day was rolled up.

use super::roll::SeriesDay;
use super::{Call, Progress, Step};
use crate::codec::row::read_head_key;
use crate::error::WriteError;
use crate::keys::{HeadId, SeriesKey, day_of_window};
use crate::read::Reader;
use crate::store::{Store, Writer};
use crate::tables::TableId;
use std::ops::Bound;

impl Store {
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
            let Some((key, _)) = guard.key().ok().and_then(|key| read_head_key(&key)) else {
                writer.upkeep.unreadable.insert(head);
                call.report.unreadable += 1;
                self.write_pending(&mut progress.pending)?;
                return Ok(Step::Done(None));
            };
            let series_day = self.series_day(key.series, day);
            call.spend(series_day.points.len());
            call.report.rollups += 1;
            self.push_rollups(&mut progress.pending, day, &series_day);
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

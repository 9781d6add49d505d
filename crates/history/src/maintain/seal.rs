//! Turning a window's rows into one chunk for each check and location.

use super::{Call, Job, Progress, Step};
use crate::codec::chunk::{self, Chunk, Point};
use crate::codec::row::{self, united};
use crate::error::WriteError;
use crate::keys::{self, HeadId, Place, RowKey, SeriesKey, day_of_window};
use crate::store::{Store, Writer};
use crate::tables::TableId;
use fjall::Keyspace;
use std::ops::Bound;

/// The rows of one series, read from a head.
struct Group {
    series: SeriesKey,
    points: Vec<Point>,
}

impl Group {
    /// A key between those of this series and those of the next.
    fn end(&self) -> Vec<u8> {
        [self.series.bytes().as_slice(), &[u8::MAX; 3]].concat()
    }

    /// Adds the next row; of those of one round the last is the one that is kept.
    fn push(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if last.offset_ms == point.offset_ms => *last = point,
            Some(_) | None => self.points.push(point),
        }
    }
}

impl Store {
    /// Seals the next series of a head.
    pub(super) fn seal(
        &self,
        writer: &mut Writer,
        call: &mut Call,
        head: HeadId,
        progress: &mut Progress,
    ) -> Result<Step, WriteError> {
        let day = day_of_window(head.window);
        let raw = self.table(TableId::Raw(day))?;
        let was_sealed = self.shared().state.sealed.contains(&head.window);
        let Some(rows) = self.existing_table(TableId::Head(head)) else { return Ok(Step::Done(None)) };
        let mut groups = Groups::after(&rows, progress.cursor.as_deref());
        while call.left > 0 {
            let group = match groups.next() {
                Ok(Some(group)) => group,
                Ok(None) => return self.finish_seal(head, progress),
                Err(Unreadable) => {
                    tracing::error!(window = head.window, "a head of history is damaged and stays unsealed");
                    writer.upkeep.unreadable.insert(head);
                    call.report.unreadable += 1;
                    self.write_pending(&mut progress.pending)?;
                    return Ok(Step::Done(None));
                }
            };
            call.spend(group.points.len());
            call.report.chunks += 1;
            let place = Place { at: head.window, series: group.series };
            let key = keys::chunk_key(group.series, head.window);
            progress.cursor = Some(group.end());
            let chunk = if was_sealed { with_earlier(&raw, &key, &place, group.points) } else { whole(group.points) };
            let bytes = chunk::encode(&chunk, self.options.precision, &place);
            progress.pending.push(TableId::Raw(day), &key, bytes);
            if progress.pending.is_full() {
                self.write_pending(&mut progress.pending)?;
            }
        }
        Ok(Step::Paused)
    }

    fn finish_seal(&self, head: HeadId, progress: &mut Progress) -> Result<Step, WriteError> {
        self.write_pending(&mut progress.pending)?;
        self.change_state(|state| {
            state.sealed.insert(head.window);
        })?;
        if self.shared().state.has_rollups(day_of_window(head.window)) {
            return Ok(Step::Done(Some(Job::Mend(head, Progress::default()))));
        }
        self.drop_table(TableId::Head(head))?;
        Ok(Step::Done(None))
    }
}

fn whole(points: Vec<Point>) -> Chunk {
    Chunk { points, is_incomplete: false }
}

/// A chunk with late results added. If the earlier chunk cannot be read, the
/// new one says that it is not whole.
fn with_earlier(raw: &Keyspace, key: &[u8], place: &Place, late: Vec<Point>) -> Chunk {
    let earlier = match raw.get(key) {
        Ok(None) => return whole(late),
        Ok(Some(bytes)) => chunk::decode(&bytes, place),
        Err(_) => Err(chunk::Damaged),
    };
    let Ok(earlier) = earlier else { return Chunk { points: late, is_incomplete: true } };
    Chunk { points: united(&earlier.points, &late), is_incomplete: earlier.is_incomplete }
}

/// A head could not be read further.
struct Unreadable;

/// The rows of a head, series by series.
struct Groups {
    rows: fjall::Iter,
    /// The first row of the next series.
    next: Option<(RowKey, Point)>,
    is_started: bool,
}

impl Groups {
    fn after(head: &Keyspace, cursor: Option<&[u8]>) -> Self {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        Self { rows: head.range::<&[u8], _>((from, Bound::Unbounded)), next: None, is_started: false }
    }

    fn row(&mut self) -> Result<Option<(RowKey, Point)>, Unreadable> {
        let Some(guard) = self.rows.next() else { return Ok(None) };
        let key = guard.key().map_err(|_| Unreadable)?;
        let (key, row) = row::read_head_key(&key).ok_or(Unreadable)?;
        Ok(Some((key, Point::new(key.offset_ms, row))))
    }

    fn next(&mut self) -> Result<Option<Group>, Unreadable> {
        if !self.is_started {
            self.next = self.row()?;
            self.is_started = true;
        }
        let Some((first, point)) = self.next.take() else { return Ok(None) };
        let mut group = Group { series: first.series, points: vec![point] };
        while let Some((key, point)) = self.row()? {
            if key.series != group.series {
                self.next = Some((key, point));
                break;
            }
            group.push(point);
        }
        Ok(Some(group))
    }
}

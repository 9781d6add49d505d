//! Answering questions: single results, the latest one, roll-ups, evidence.
//!
//! A check's results are gathered from every place they may be in, window by
//! window; where two places have the same result they agree, or the later one
//! is right. Damage is part of an answer: what can be read is given, and the
//! spans that could not be read are named. **A number is never made up from
//! bytes whose checksum is wrong.**

mod evidence;
mod gather;
mod rollups;
mod scan;

use crate::codec::rollup::{Resolution, Rollup};
use crate::error::ReadError;
use crate::store::{SCHEDULED_MS_MAX, Store};
use gather::DayChunks;
use model::id::{CheckSlot, LocationId};
use model::observation::{Detail, Outcome};
use model::time::Timestamp;

pub(crate) use gather::Reader;
pub(crate) use scan::Known;

/// An answer: what was found, and what could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Spans inside the asked one whose results are damaged, if any.
    pub damaged: Vec<Damage>,
    /// Whether there is more than the limit allowed.
    pub is_cut: bool,
}

/// A span of which results could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Whose results; `None` if that cannot be told and it may be every location's.
    pub location: Option<LocationId>,
    /// Start of the span.
    pub from: Timestamp,
    /// End of the span, not part of it.
    pub to: Timestamp,
}

/// One stored result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When the round was due.
    pub scheduled: Timestamp,
    /// Where it was made.
    pub location: LocationId,
    /// How it ended.
    pub outcome: Outcome,
    /// Time of the round in microseconds, as precisely as the store keeps it.
    pub latency_us: u32,
}

/// What is kept about a round beside its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// When the round was due.
    pub scheduled: Timestamp,
    /// Where it was made.
    pub location: LocationId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where the time went, and what can be shown for it.
    pub detail: Detail,
}

impl Store {
    /// The results of a check scheduled from `from` until before `to`, of all
    /// locations, oldest first and then by location's name, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn range(
        &self,
        slot: CheckSlot,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Read<Sample>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let mut chunks = DayChunks::none();
        for window in reader.windows(from, to) {
            chunks = chunks.of(&reader, slot, window);
            let found = reader.window(slot, window, &chunks);
            answer.damaged.extend(found.damage(&reader, window));
            for sample in reader.samples(window, &found) {
                if sample.scheduled < from || sample.scheduled >= to {
                    continue;
                }
                if answer.items.len() >= limit {
                    answer.is_cut = true;
                    return Ok(answer);
                }
                answer.items.push(sample);
            }
        }
        Ok(answer)
    }

    /// The latest result of a check from any location, if there is one. Damage
    /// met on the way back to it is named.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn latest(&self, slot: CheckSlot) -> Result<Read<Sample>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let mut chunks = DayChunks::none();
        for window in reader.windows(Timestamp::EPOCH, Timestamp::from_ms(i64::MAX)).into_iter().rev() {
            chunks = chunks.of(&reader, slot, window);
            let found = reader.window(slot, window, &chunks);
            answer.damaged.extend(found.damage(&reader, window));
            if let Some(latest) = reader.samples(window, &found).pop() {
                answer.items.push(latest);
                break;
            }
        }
        Ok(answer)
    }

    /// The roll-ups of a check for the spans that begin from `from` until before
    /// `to`, ascending by time and location's name, one for each location that has results then. See
    /// [`merged`](crate::merged) for one line of all locations. Spans that are
    /// not rolled up yet are computed from the results.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn rollups(
        &self,
        slot: CheckSlot,
        resolution: Resolution,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Read<Rollup>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        let (from, to) = (from.max(Timestamp::EPOCH), to.min(Timestamp::from_ms(SCHEDULED_MS_MAX)));
        if from >= to {
            return Ok(answer);
        }
        let mut found = match resolution {
            Resolution::FiveMinutes => reader.spans(slot, from, to, &mut answer.damaged),
            Resolution::Day => reader.days(slot, from, to, &mut answer.damaged),
        };
        found.retain(|(start, _, _)| *start >= from && *start < to);
        answer.items.extend(found.into_iter().map(|(start, location, totals)| Rollup {
            location: reader.shared.locations.name(location).cloned(),
            from: start,
            to: Timestamp::from_ms(start.as_ms() + resolution.length_ms()),
            totals,
        }));
        // By name, because the numbers of locations differ between nodes.
        answer.items.sort_by(|a, b| (a.from, &a.location).cmp(&(b.from, &b.location)));
        Ok(answer)
    }

    /// What is kept about the rounds of a check scheduled from `from` until
    /// before `to`, newest first, at most `limit`. Of each hour, check and
    /// location the first [`EVIDENCE_TROUBLE_PER_HOUR`] rounds that did not
    /// pass are there, and [`EVIDENCE_PASSED_PER_HOUR`] of those that did.
    ///
    /// [`EVIDENCE_TROUBLE_PER_HOUR`]: crate::limits::EVIDENCE_TROUBLE_PER_HOUR
    /// [`EVIDENCE_PASSED_PER_HOUR`]: crate::limits::EVIDENCE_PASSED_PER_HOUR
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn details(
        &self,
        slot: CheckSlot,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Read<Evidence>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut answer = Read { items: Vec::new(), damaged: Vec::new(), is_cut: false };
        for day in reader.evidence_days(from, to).into_iter().rev() {
            let mut of_day: Vec<_> = reader.details_of_day(slot, day, &mut answer.damaged);
            of_day.retain(|evidence| evidence.scheduled >= from && evidence.scheduled < to);
            of_day.sort_by(|a, b| (b.scheduled, &b.location).cmp(&(a.scheduled, &a.location)));
            for evidence in of_day {
                if answer.items.len() >= limit {
                    answer.is_cut = true;
                    return Ok(answer);
                }
                answer.items.push(evidence);
            }
        }
        Ok(answer)
    }
}

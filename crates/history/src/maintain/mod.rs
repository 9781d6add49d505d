//! Upkeep: sealing heads into chunks, rolling days up, dropping what expired.
//!
//! Each call does a bounded piece of the next job and remembers where it
//! stopped, in memory only: after a crash a job begins anew, and doing a part
//! of it twice writes the same values to the same keys. **A head is dropped only
//! after its chunks are on disk; results are dropped only after their day is
//! rolled up.**

mod expire;
mod mend;
mod roll;
mod seal;

use crate::error::WriteError;
use crate::keys::{HeadId, WINDOWS_PER_DAY, day_of_window, window_start};
use crate::limits::{PENDING_BYTES_MAX, SEAL_AFTER};
use crate::shards::Shards;
use crate::store::{Store, Writer};
use crate::tables::{TableId, Tables};
use fjall::Keyspace;
use model::time::Timestamp;
use roll::RollDay;
use std::collections::{BTreeMap, BTreeSet};

/// How much a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Results read; a call may exceed it by one check's results of a day.
    pub results: u32,
}

impl Default for Budget {
    /// About 50 ms of work. Called once a second it seals three times what
    /// 1,000,000 checks a minute bring.
    fn default() -> Self {
        Self { results: 50_000 }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Maintained {
    /// Results that were read to be sealed or rolled up.
    pub results: u64,
    /// Chunks written.
    pub chunks: u64,
    /// Days of a check at a location that were rolled up.
    pub rollups: u64,
    /// Spans of time dropped because they expired.
    pub expired: u64,
    /// Heads and days that could not be read whole and stay as they are until they expire.
    pub unreadable: u64,
    /// Whether nothing was left to do.
    pub is_done: bool,
}

/// What upkeep remembers between calls.
#[derive(Default)]
pub(crate) struct Upkeep {
    job: Option<Job>,
    /// When maintenance first saw a head with late results.
    late_since: BTreeMap<HeadId, Timestamp>,
    /// Heads that cannot be read whole.
    unreadable: BTreeSet<HeadId>,
    /// Days into which results came from a peer, and when maintenance first saw it.
    imported: BTreeMap<i64, Option<Timestamp>>,
    /// The time maintenance was last told.
    now: Option<Timestamp>,
}

impl Upkeep {
    pub(crate) fn is_sealing(&self, head: HeadId) -> bool {
        match &self.job {
            Some(Job::Seal(job, _) | Job::Mend(job, _)) => *job == head,
            Some(Job::Roll(..)) | None => false,
        }
    }

    /// The day that is being rolled up for the first time.
    pub(crate) fn rolling_day(&self) -> Option<i64> {
        match &self.job {
            Some(Job::Roll(job, _)) if !job.is_again => Some(job.day),
            Some(Job::Roll(..) | Job::Seal(..) | Job::Mend(..)) | None => None,
        }
    }

    /// Hears that results came from a peer. Its roll-ups are made when no more
    /// come, so that a day is rolled up once and not after each window.
    pub(crate) fn note_import(&mut self, day: i64) {
        self.imported.insert(day, None);
        if matches!(&self.job, Some(Job::Roll(job, _)) if job.is_again && job.day == day) {
            self.abandon_job();
        }
    }

    /// The time maintenance was last told, if it was since the store was opened.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.now
    }

    fn hear_time(&mut self, now: Timestamp) {
        self.now = Some(now);
        self.imported.values_mut().for_each(|since| *since = since.or(Some(now)));
        self.imported.retain(|_, since| since.is_none_or(|since| now.since(since) < SEAL_AFTER));
    }

    /// Whether nothing came from a peer into a day lately.
    fn is_quiet(&self, day: i64) -> bool {
        !self.imported.contains_key(&day)
    }

    pub(crate) fn abandon_job(&mut self) {
        self.job = None;
    }
}

/// A job under way.
enum Job {
    /// Turns a head into chunks.
    Seal(HeadId, Progress),
    /// Makes the roll-ups of a head's series anew, because its day was rolled up before it came.
    Mend(HeadId, Progress),
    /// Makes the roll-ups of a day.
    Roll(RollDay, Progress),
}

/// How far a job is.
#[derive(Default)]
struct Progress {
    /// Last key that was read.
    cursor: Option<Vec<u8>>,
    /// Values to be written, ascending.
    pending: Pending,
    /// Whether something of a day could not be read.
    has_damage: bool,
}

/// Values by table, gathered so that tables are few and large.
#[derive(Default)]
struct Pending {
    pairs: BTreeMap<TableId, BTreeMap<Vec<u8>, Vec<u8>>>,
    bytes: usize,
}

impl Pending {
    fn push(&mut self, table: TableId, key: &[u8], value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.pairs.entry(table).or_default().insert(key.to_vec(), value);
    }

    fn is_full(&self) -> bool {
        self.bytes >= PENDING_BYTES_MAX
    }
}

/// A call's remaining budget and its report.
struct Call {
    now: Timestamp,
    left: u32,
    report: Maintained,
}

impl Call {
    fn spend(&mut self, results: usize) {
        self.left = self.left.saturating_sub(u32::try_from(results).unwrap_or(u32::MAX));
        self.report.results += results as u64;
    }
}

/// What a step of a job came to.
enum Step {
    /// The budget is used up; the job goes on at the next call.
    Paused,
    /// The job is done; this one follows from it.
    Done(Option<Job>),
}

impl Store {
    /// Does the next piece of upkeep. To be called about once a second with the
    /// time of the log; it has no clock of its own. Nothing is lost when it is
    /// not called, but heads grow and expired results stay.
    ///
    /// # Errors
    /// [`WriteError`]; call again later, the job begins anew.
    pub fn maintain(&self, now: Timestamp, budget: Budget) -> Result<Maintained, WriteError> {
        let mut writer = self.writer();
        let mut call = Call { now, left: budget.results.max(1), report: Maintained::default() };
        writer.upkeep.hear_time(now);
        let result = self.maintain_with(&mut writer, &mut call);
        if let Err(error) = result {
            writer.upkeep.abandon_job();
            writer.is_suspect = true;
            return Err(error);
        }
        Ok(call.report)
    }

    fn maintain_with(&self, writer: &mut Writer, call: &mut Call) -> Result<(), WriteError> {
        while call.left > 0 {
            if writer.upkeep.job.is_none() {
                writer.upkeep.job = self.next_job(writer, call)?;
            }
            // Nobody else writes rows until the job is back in its place; from
            // there it sends rows for its window to another generation.
            let Some(mut job) = writer.upkeep.job.take() else {
                call.report.is_done = true;
                return Ok(());
            };
            self.prepare_write(writer)?;
            let step = match &mut job {
                Job::Seal(head, progress) => self.seal(writer, call, *head, progress)?,
                Job::Mend(head, progress) => self.mend(writer, call, *head, progress)?,
                Job::Roll(day, progress) => self.roll(call, day, progress)?,
            };
            writer.upkeep.job = match step {
                Step::Paused => Some(job),
                Step::Done(next) => next,
            };
        }
        Ok(())
    }

    fn next_job(&self, writer: &mut Writer, call: &mut Call) -> Result<Option<Job>, WriteError> {
        self.expire(writer, call)?;
        if self.has_due_rows(call.now) {
            self.write_out(writer)?;
        }
        if let Some(head) = self.due_head(&mut writer.upkeep, call.now) {
            return Ok(Some(Job::Seal(head, Progress::default())));
        }
        let day = self.due_day(&writer.upkeep, call.now).or_else(|| self.day_due_again(&writer.upkeep));
        Ok(day.map(|day| Job::Roll(day, Progress::default())))
    }

    /// Whether results of a window that is to be sealed are still in memory.
    /// Late ones wait there for company: each rewrite of a chunk costs.
    fn has_due_rows(&self, now: Timestamp) -> bool {
        let shared = self.shared();
        let mut windows = shared.buffer.rows.keys();
        windows.any(|window| is_over(*window, now) && !shared.state.sealed.contains(window))
    }

    fn due_head(&self, upkeep: &mut Upkeep, now: Timestamp) -> Option<HeadId> {
        let shared = self.shared();
        let heads: BTreeSet<HeadId> = shared.tables.iter().flat_map(Tables::heads).collect();
        upkeep.late_since.retain(|head, _| heads.contains(head));
        upkeep.unreadable.retain(|head| heads.contains(head));
        heads.into_iter().find(|head| {
            if upkeep.unreadable.contains(head) || !is_over(head.window, now) {
                return false;
            }
            if !shared.state.sealed.contains(&head.window) {
                return true;
            }
            let since = upkeep.late_since.entry(*head).or_insert(now);
            now.since(*since) >= SEAL_AFTER
        })
    }

    /// The earliest day that has chunks, no roll-ups, and nothing left to be sealed.
    fn due_day(&self, upkeep: &Upkeep, now: Timestamp) -> Option<RollDay> {
        let shared = self.shared();
        let tables = shared.tables.as_ref()?;
        let day = tables.ids().find_map(|id| match id {
            TableId::Raw(day) if !shared.state.was_rolled(day) => Some(day),
            TableId::Raw(_) | TableId::Head(_) | TableId::Evidence(_) | TableId::Five(_) | TableId::Days(_) => None,
        })?;
        let waits = |head: &HeadId| day_of_window(head.window) <= day && !upkeep.unreadable.contains(head);
        let is_due = is_over((day + 1) * WINDOWS_PER_DAY - 1, now) && !tables.heads().any(|head| waits(&head));
        (is_due && upkeep.is_quiet(day)).then_some(RollDay { day, shards: Shards::ALL, is_again: false })
    }

    /// A day that was rolled up before results came from a peer. A head of that
    /// day goes first, so that it is not rolled up a third time.
    fn day_due_again(&self, upkeep: &Upkeep) -> Option<RollDay> {
        let shared = self.shared();
        let tables = shared.tables.as_ref()?;
        let has_head = |day: i64| {
            tables.heads().any(|head| day_of_window(head.window) == day && !upkeep.unreadable.contains(&head))
        };
        let is_due = |day: i64| shared.state.was_rolled(day) && upkeep.is_quiet(day) && !has_head(day);
        let (&day, &shards) = shared.state.stale.iter().find(|(day, _)| is_due(**day))?;
        Some(RollDay { day, shards, is_again: true })
    }

    /// Writes what a job on a window has gathered, so that it does not replace
    /// what somebody else is about to write.
    pub(crate) fn settle_job(&self, writer: &mut Writer, window: i64) -> Result<(), WriteError> {
        match &mut writer.upkeep.job {
            Some(Job::Seal(head, progress)) if head.window == window => self.write_pending(&mut progress.pending),
            Some(Job::Seal(..) | Job::Mend(..) | Job::Roll(..)) | None => Ok(()),
        }
    }

    /// Writes what a job has gathered, if it is enough or the job is at its end.
    fn write_pending(&self, pending: &mut Pending) -> Result<(), WriteError> {
        for (table, pairs) in std::mem::take(&mut pending.pairs) {
            self.write_pairs(table, pairs)?;
        }
        pending.bytes = 0;
        Ok(())
    }

    pub(crate) fn existing_table(&self, id: TableId) -> Option<Keyspace> {
        self.shared().tables.as_ref()?.get(id).cloned()
    }
}

/// Whether a window is over long enough to be sealed.
fn is_over(window: i64, now: Timestamp) -> bool {
    window_start(window + 1).plus(SEAL_AFTER) <= now
}

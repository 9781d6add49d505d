//! The log as openraft sees it.
//!
//! A view in memory answers what openraft asks all the time (where the log
//! ends, the last entries); the thread of [`crate::writer`] does the rest.
//! **The view may run ahead of the disk, an answer never does.**

use crate::change::Change;
use crate::database::{LogError, RowFact};
use crate::failure::{Failure, FailureSlot};
use crate::meta::Meta;
use crate::row::Row;
use crate::types::{LogId, RaftEntry, StorageError, StorageIOError, TypeConfig, Vote};
use crate::writer::{Job, Writer};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};

/// Raft entries kept in memory behind the end of the log: what is appended is
/// read again at once to be applied.
const CACHE_ENTRIES_MAX: usize = 256;
/// Bytes of payload kept with them.
const CACHE_BYTES_MAX: usize = 8 << 20;
/// Bytes of payload in one read for replication: 80 ms at 100 Mbit/s. A single
/// raft entry can have more.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log as openraft sees it. Clones share one log.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    view: Arc<Mutex<View>>,
    writer: Writer,
    failure: FailureSlot,
}

impl LogStore {
    pub(crate) fn new(meta: &Meta, rows: VecDeque<RowFact>, writer: Writer, failure: FailureSlot) -> Self {
        Self { view: Arc::new(Mutex::new(View::new(meta, rows))), writer, failure }
    }

    /// Looks at what is known in memory.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().expect("no panic while it is held")
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Passes an error on to openraft, having kept its typed form.
    fn fail(&self, error: LogError, wrap: impl FnOnce(&LogError) -> StorageIOError) -> StorageError {
        let wrapped = wrap(&error);
        // "Closed" only follows from something the thread has reported itself.
        if !matches!(error, LogError::Closed) {
            self.failure.report(Failure::Log(error));
        }
        StorageError::from(wrapped)
    }

    async fn change(&self, change: Change) -> Result<(), LogError> {
        self.writer.ask(|reply| Job::Change(change, reply)).await
    }

    async fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<RaftEntry>, StorageError> {
        let (from, to) = {
            let view = self.view();
            let (from, to) = (from.max(view.first), to.min(view.end()));
            if from >= to {
                return Ok(Vec::new());
            }
            if let Some(found) = view.cached(from, to) {
                return Ok(found);
            }
            (from, to)
        };
        let read = self.writer.ask(|reply| Job::Read { from, to, bytes_max, reply }).await;
        let rows = read.map_err(|error| self.fail(error, |error| StorageIOError::read_logs(error)))?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let position = row.id.position;
            entries.push(row.decode().map_err(|error| {
                let path = crate::database::FILE.into();
                let error = LogError::Unreadable { path, position, source: error.into() };
                self.fail(error, |error| StorageIOError::read_log_at_index(position, error))
            })?);
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, StorageError> {
        self.read(start, end, READ_BYTES_MAX).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let view = self.view();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.change(Change::Vote((*vote).into())).await;
        saved.map_err(|error| self.fail(error, |error| StorageIOError::write_vote(error)))?;
        self.view().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.view().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.view().committed = committed;
        let sent = self.writer.send(Job::Committed(committed.map(Into::into))).await;
        sent.map_err(|error| self.fail(error, |error| StorageIOError::write(error)))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.view().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let rows = {
            let mut view = self.view();
            entries.into_iter().map(|entry| view.append(entry)).collect()
        };
        let sent = self.writer.send(Job::Append(Change::Append(rows), callback)).await;
        sent.map_err(|error| self.fail(error, |error| StorageIOError::write_logs(error)))
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        // The log id before the cut is only in the database.
        let before = match since.index.checked_sub(1) {
            Some(before) => self.read(before, since.index, usize::MAX).await?.pop().map(|entry| entry.log_id),
            None => None,
        };
        self.view().truncate(since.index, before);
        let done = self.change(Change::Truncate(since.index)).await;
        done.map_err(|error| self.fail(error, |error| StorageIOError::write_logs(error)))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.view().purge(upto);
        let done = self.change(Change::Purge(upto.into())).await;
        done.map_err(|error| self.fail(error, |error| StorageIOError::write_logs(error)))
    }
}

/// What is known of the log in memory.
#[derive(Debug)]
pub(crate) struct View {
    vote: Option<Vote>,
    committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    /// Position of the first of `rows`.
    pub(crate) first: u64,
    rows: VecDeque<RowFact>,
    /// Payload of all `rows`.
    pub(crate) bytes: u64,
    /// The last raft entries, without a gap up to the end.
    cache: VecDeque<(RaftEntry, usize)>,
    cache_bytes: usize,
}

impl View {
    /// A node that led when it ended must be elected again: openraft would let
    /// it lead on in its old term, and after a roll-back it would give places
    /// in the log a second time that others hold already.
    fn new(meta: &Meta, rows: VecDeque<RowFact>) -> Self {
        Self {
            vote: meta.vote.map(|vote| vote.before_it_was_won().into()),
            committed: meta.committed.map(Into::into),
            purged: meta.purged.map(Into::into),
            last: meta.last.map(Into::into),
            first: meta.purged.map_or(0, |id| id.position + 1),
            bytes: rows.iter().map(|row| u64::from(row.bytes)).sum(),
            rows,
            cache: VecDeque::new(),
            cache_bytes: 0,
        }
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.vote
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.committed
    }

    /// Position behind the last row.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// Payload of the rows behind a position.
    pub(crate) fn bytes_behind(&self, position: Option<u64>) -> u64 {
        let from = position.map_or(0, |position| (position + 1).saturating_sub(self.first));
        self.rows.iter().skip(from as usize).map(|row| u64::from(row.bytes)).sum()
    }

    /// The last position whose entries all have an index up to `floor`, given
    /// one position and the index of the last entry up to there. `None` if
    /// there is none in the log.
    pub(crate) fn position_of(&self, floor: u64, known: (u64, u64)) -> Option<u64> {
        let (mut position, mut index) = known;
        while index > floor {
            let row = self.rows.get(usize::try_from(position.checked_sub(self.first)?).ok()?)?;
            index -= u64::from(row.count);
            position = position.checked_sub(1)?;
        }
        Some(position)
    }

    fn append(&mut self, entry: RaftEntry) -> Row {
        let row = Row::of(&entry);
        if let EntryPayload::Normal(group) = &entry.payload {
            group.take();
        }
        if self.rows.is_empty() {
            self.first = entry.log_id.index;
        }
        let bytes = row.payload.len();
        self.rows.push_back(RowFact { count: row.count, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) });
        self.bytes += bytes as u64;
        self.last = Some(entry.log_id);
        self.cache.push_back((entry, bytes));
        self.cache_bytes += bytes;
        while self.cache.len() > CACHE_ENTRIES_MAX || self.cache_bytes > CACHE_BYTES_MAX {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        row
    }

    fn cached(&self, from: u64, to: u64) -> Option<Vec<RaftEntry>> {
        let start = self.end() - self.cache.len() as u64;
        let skipped = usize::try_from(from.checked_sub(start)?).ok()?;
        let length = usize::try_from(to - from).ok()?;
        Some(self.cache.iter().skip(skipped).take(length).map(|(entry, _)| entry.clone()).collect())
    }

    fn truncate(&mut self, since: u64, before: Option<LogId>) {
        while self.end() > since.max(self.first) {
            self.bytes -= self.rows.pop_back().map_or(0, |row| u64::from(row.bytes));
            self.cache_bytes -= self.cache.pop_back().map_or(0, |(_, bytes)| bytes);
        }
        self.last = before.or(self.purged);
    }

    fn purge(&mut self, upto: LogId) {
        while self.first <= upto.index {
            let Some(row) = self.rows.pop_front() else { break };
            self.bytes -= u64::from(row.bytes);
            self.first += 1;
        }
        while self.cache.len() > self.rows.len() {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        self.first = self.first.max(upto.index + 1);
        self.purged = Some(upto);
        self.last = self.last.max(Some(upto));
    }
}

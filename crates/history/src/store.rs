//! Opening, applying, and writing to disk.
//!
//! One writer at a time holds the writer's lock; it takes the lock on what is
//! shared only for moments, so readers go on while tables are written. A
//! failed write leaves everything as it was in memory and marks the tables as
//! suspect: before the next write they are closed and opened again, which
//! clears away half-written files and a background task that gave up.

use crate::Precision;
use crate::buffer::Buffer;
use crate::codec::row::head_key;
use crate::error::{ApplyError, OpenError, WriteError, is_disk_full};
use crate::evidence::{self, Details};
use crate::exchange::Cache;
use crate::keys::{DAY_MS, EvidenceKey, HeadId, day_of_window};
use crate::limits::{EVIDENCE_BYTES_PER_DAY_MAX, FUTURE_MAX, LOCATIONS_MAX};
use crate::maintain::Upkeep;
use crate::state::{self, State, StateError};
use crate::tables::{TableId, Tables, create, write_sorted};
use fjall::Keyspace;
use model::id::LocationId;
use model::observation::Observation;
use model::time::Timestamp;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Where the engine's files lie inside the store's directory.
pub(crate) const TABLES_DIRECTORY: &str = "tables";
/// A scheduled time beyond the year 2286 is no time; keys would still hold it.
pub(crate) const SCHEDULED_MS_MAX: i64 = 10_000_000_000_000;

/// How a store keeps results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How precisely latencies are kept from here on.
    pub precision: Precision,
    /// Days for which single results and evidence are kept, from 1.
    pub raw_days: u32,
    /// Days for which 5-minute roll-ups are kept, from 1. Daily ones are kept for ever.
    pub five_minute_days: u32,
    /// Free bytes on the volume below which nothing more is written. Merging
    /// tables and dropping expired ones need room themselves.
    pub reserve_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { precision: Precision::OnePercent, raw_days: 30, five_minute_days: 396, reserve_bytes: 128 << 20 }
    }
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Results taken.
    pub taken: usize,
    /// Results left out because they are scheduled over an hour after the
    /// entry's stamp, or before what is kept.
    pub outside: usize,
    /// Whether the entry had been applied before, so that nothing was done.
    pub is_repeated: bool,
}

/// The facts about room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes of all tables of this store.
    pub history_bytes: u64,
    /// Bytes of the volume it lies on.
    pub volume_bytes: u64,
    /// Bytes of the volume that are free for us.
    pub free_bytes: u64,
    /// Free bytes below which this store writes nothing.
    pub reserve_bytes: u64,
}

impl DiskUsage {
    /// Free share of the volume, from 0 to 1; 0 for a volume of no size.
    pub fn free_ratio(&self) -> f64 {
        if self.volume_bytes == 0 { 0.0 } else { self.free_bytes as f64 / self.volume_bytes as f64 }
    }
}

/// The store of results in one directory. All methods may be called from any
/// thread; writing ones wait for each other.
pub struct Store {
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    pub(crate) writer: Mutex<Writer>,
    shared: RwLock<Shared>,
    cache: Mutex<Cache>,
}

/// What only the writer touches.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) upkeep: Upkeep,
    /// Whether a write has failed since the tables were opened.
    pub(crate) is_suspect: bool,
}

/// What readers see.
pub(crate) struct Shared {
    /// `None` only while they could not be reopened.
    pub(crate) tables: Option<Tables>,
    pub(crate) state: State,
    pub(crate) locations: Locations,
    pub(crate) buffer: Buffer,
    /// The buffer that is being written.
    pub(crate) writing: Option<Arc<Buffer>>,
}

impl Shared {
    /// Every buffer there is, older before newer.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.writing.as_deref().into_iter().chain(std::iter::once(&self.buffer))
    }
}

/// The numbers of locations.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    names: Vec<LocationId>,
    numbers: BTreeMap<LocationId, u16>,
}

impl Locations {
    pub(crate) fn name(&self, number: u16) -> Option<&LocationId> {
        self.names.get(usize::from(number))
    }

    pub(crate) fn number(&mut self, name: &LocationId) -> Option<u16> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.names.len()).ok().filter(|_| self.names.len() < LOCATIONS_MAX)?;
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        Some(number)
    }
}

impl Store {
    /// Opens the store of a directory, or creates an empty one. Takes
    /// milliseconds whatever is stored.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do about it.
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { directory: directory.to_owned(), source };
        let damaged = |what: &str| OpenError::Damaged { directory: directory.to_owned(), what: what.to_owned() };
        std::fs::create_dir_all(directory).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => damaged("it is a file"),
            _ => io(error),
        })?;
        let state = match state::read(directory) {
            Ok(Some(state)) if state.watermark > 0 && !directory.join(TABLES_DIRECTORY).exists() => {
                return Err(damaged("the directory \"tables\" is missing"));
            }
            Ok(Some(state)) => state,
            Ok(None) if directory.join(TABLES_DIRECTORY).exists() => {
                return Err(damaged("there are tables, but the file \"state\" is missing"));
            }
            Ok(None) => create_state(directory)?,
            Err(StateError::Io(source)) => return Err(io(source)),
            Err(StateError::Format(found)) => {
                return Err(OpenError::Format { directory: directory.to_owned(), found });
            }
            Err(StateError::Damaged) => return Err(damaged("the file \"state\" cannot be read")),
        };
        let tables = Tables::open(&directory.join(TABLES_DIRECTORY))?;
        // Read again under the lock of the tables: until then another process could have written it.
        let state = state::read(directory).ok().flatten().unwrap_or(state);
        let mut locations = Locations::default();
        for name in &state.locations {
            let name = LocationId::new(name).map_err(|_| damaged("a location has an illegal name"))?;
            locations.number(&name).ok_or_else(|| damaged("there are too many locations"))?;
        }
        let buffer = Buffer::after(state.watermark);
        Ok(Self {
            directory: directory.to_owned(),
            options,
            writer: Mutex::default(),
            shared: RwLock::new(Shared { tables: Some(tables), state, locations, buffer, writing: None }),
            cache: Mutex::default(),
        })
    }

    /// Takes the results that log entry `index`, stamped `at`, holds for a location.
    ///
    /// An entry at or below the watermark is skipped, and a result with the same
    /// check, location and scheduled time replaces the earlier one, so nothing
    /// is ever counted twice. What was taken is on disk only after
    /// [`flush`](Self::flush) or when enough has gathered.
    ///
    /// # Errors
    /// [`ApplyError`]; the entry was not taken at all then.
    pub fn apply(
        &self,
        index: u64,
        at: Timestamp,
        location: &LocationId,
        observations: &[Observation],
    ) -> Result<Applied, ApplyError> {
        let mut writer = self.writer();
        if index <= self.watermark() {
            return Ok(Applied { is_repeated: true, ..Applied::default() });
        }
        if self.shared().buffer.is_full() {
            self.write_out(&mut writer)?;
        }
        let mut shared = self.shared_mut();
        let shared = &mut *shared;
        let number = shared.locations.number(location).ok_or(ApplyError::TooManyLocations)?;
        let kept = self.times_taken(at);
        let mut applied = Applied::default();
        for observation in observations {
            if kept.contains(&observation.scheduled) {
                let latency_us = self.options.precision.rounded_us(observation.latency_us);
                shared.buffer.insert(observation, number, latency_us);
                applied.taken += 1;
            } else {
                applied.outside += 1;
            }
        }
        shared.buffer.watermark = index;
        Ok(applied)
    }

    /// The index of the last entry that was applied. Right after opening, that
    /// is the last one on disk: apply the log's entries above it.
    pub fn watermark(&self) -> u64 {
        self.shared().buffer.watermark
    }

    /// Writes everything that was applied to disk. The log may drop entries up
    /// to the returned index.
    ///
    /// # Errors
    /// [`WriteError`]; nothing that was applied is forgotten, call again later.
    pub fn flush(&self) -> Result<u64, WriteError> {
        self.write_out(&mut self.writer())
    }

    /// The facts about room on the disk, for the one who decides.
    ///
    /// # Errors
    /// When the volume cannot be asked.
    pub fn disk_usage(&self) -> std::io::Result<DiskUsage> {
        let volume = rustix::fs::statvfs(&self.directory)?;
        Ok(DiskUsage {
            history_bytes: self.shared().tables.as_ref().map_or(0, Tables::bytes),
            volume_bytes: volume.f_blocks * volume.f_frsize,
            free_bytes: volume.f_bavail * volume.f_frsize,
            reserve_bytes: self.options.reserve_bytes,
        })
    }

    /// Bytes on disk by kind of table: `head`, `raw`, `evidence`, `five`, `days`.
    pub fn bytes_by_kind(&self) -> BTreeMap<&'static str, u64> {
        let mut bytes = BTreeMap::new();
        let shared = self.shared();
        let Some(tables) = &shared.tables else { return bytes };
        for (id, keyspace) in tables.ids().filter_map(|id| Some((id, tables.get(id)?))) {
            *bytes.entry(id.kind()).or_default() += keyspace.disk_space();
        }
        bytes
    }

    /// The times of which results are taken in an entry. They follow from its
    /// stamp alone, so that every node keeps the same results.
    fn times_taken(&self, at: Timestamp) -> std::ops::Range<Timestamp> {
        let oldest = Timestamp::of_day(at.day() - i64::from(self.options.raw_days));
        oldest.max(Timestamp::EPOCH)..at.plus(FUTURE_MAX).min(Timestamp::from_ms(SCHEDULED_MS_MAX))
    }

    // A thread that panicked while it held a lock has changed nothing by halves
    // that a reopened store would not have too, so the others go on.

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared_mut(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writing, for the holder of the writer's lock.
impl Store {
    /// Writes the buffer; returns the index up to which everything is on disk.
    pub(crate) fn write_out(&self, writer: &mut Writer) -> Result<u64, WriteError> {
        {
            let shared = self.shared();
            if shared.buffer.is_empty() && shared.buffer.watermark == shared.state.watermark {
                return Ok(shared.state.watermark);
            }
        }
        self.prepare_write(writer)?;
        let frozen = {
            let mut shared = self.shared_mut();
            let next = Buffer::after(shared.buffer.watermark);
            let frozen = Arc::new(std::mem::replace(&mut shared.buffer, next));
            shared.writing = Some(Arc::clone(&frozen));
            frozen
        };
        let result = self.write_buffer(writer, &frozen);
        let mut shared = self.shared_mut();
        shared.writing = None;
        if let Err(error) = result {
            shared.buffer = Arc::unwrap_or_clone(frozen);
            writer.is_suspect = true;
            return Err(error);
        }
        Ok(shared.state.watermark)
    }

    /// Makes sure that a write can begin: there is room, and the tables are sound.
    pub(crate) fn prepare_write(&self, writer: &mut Writer) -> Result<(), WriteError> {
        if self.disk_usage()?.free_bytes < self.options.reserve_bytes {
            return Err(WriteError::DiskFull);
        }
        let is_sound = !writer.is_suspect && self.shared().tables.as_ref().is_some_and(|tables| !tables.is_broken());
        if is_sound {
            return Ok(());
        }
        tracing::warn!(directory = %self.directory.display(), "reopening history after a failed write");
        writer.upkeep.abandon_job();
        let mut shared = self.shared_mut();
        // The old tables must be closed before the new ones can be locked.
        shared.tables = None;
        match Tables::open(&self.directory.join(TABLES_DIRECTORY)) {
            Ok(tables) => shared.tables = Some(tables),
            Err(OpenError::DiskFull { .. }) => return Err(WriteError::DiskFull),
            Err(error) => return Err(WriteError::Reopen(Box::new(error))),
        }
        writer.is_suspect = false;
        Ok(())
    }

    fn write_buffer(&self, writer: &Writer, buffer: &Buffer) -> Result<(), WriteError> {
        self.store_locations()?;
        for (&window, rows) in &buffer.rows {
            let head = self.table(TableId::Head(self.head_for(writer, window)))?;
            write_sorted(&head, rows.iter().map(|(key, row)| (head_key(key, row), [])))?;
        }
        for (&day, details) in &buffer.evidence {
            self.write_evidence(day, details)?;
        }
        self.change_state(|state| state.watermark = buffer.watermark)
    }

    /// Writes the names of new locations: a location's number must be known
    /// before anything that uses it.
    pub(crate) fn store_locations(&self) -> Result<(), WriteError> {
        let has_new = {
            let shared = self.shared();
            shared.locations.names.len() > shared.state.locations.len()
        };
        if has_new { self.change_state(|_| {}) } else { Ok(()) }
    }

    /// Writes values as one table of a keyspace, which is there as a whole or not at all.
    pub(crate) fn write_pairs(&self, id: TableId, pairs: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), WriteError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let written = write_sorted(&self.table(id)?, pairs.iter());
        self.cache().written(id, pairs.keys().map(Vec::as_slice));
        written
    }

    /// The generation of a window's head that takes rows: never the one that is being sealed.
    fn head_for(&self, writer: &Writer, window: i64) -> HeadId {
        let shared = self.shared();
        let heads = shared.tables.iter().flat_map(Tables::heads);
        let newest = heads.filter(|head| head.window == window).max();
        match newest {
            Some(head) if writer.upkeep.is_sealing(head) => HeadId { generation: head.generation + 1, ..head },
            Some(head) => head,
            None => HeadId { window, generation: 0 },
        }
    }

    pub(crate) fn write_evidence(&self, day: i64, details: &Details) -> Result<(), WriteError> {
        let keyspace = self.table(TableId::Evidence(day))?;
        if keyspace.disk_space() >= EVIDENCE_BYTES_PER_DAY_MAX {
            return Ok(());
        }
        let mut kept = Vec::new();
        let groups: Vec<_> = details.iter().collect();
        for group in groups.chunk_by(|(a, _), (b, _)| a.series == b.series && a.hour == b.hour && a.class == b.class) {
            let (first, _) = group[0];
            // What cannot be read does not stand in the way of what is new.
            let there: Details = keyspace
                .prefix(&first.bytes()[..EvidenceKey::GROUP_BYTES])
                .filter_map(|guard| guard.into_inner().ok())
                .filter_map(|(key, value)| Some((EvidenceKey::read(&key)?, value.to_vec())))
                .collect();
            let mut all = Details::new();
            there.iter().for_each(|(key, bytes)| evidence::keep(&mut all, *key, bytes.clone()));
            group.iter().for_each(|(key, bytes)| evidence::keep(&mut all, **key, (*bytes).clone()));
            kept.extend(all.into_iter().filter(|(key, bytes)| there.get(key) != Some(bytes)));
        }
        if kept.is_empty() {
            return Ok(());
        }
        write_sorted(&keyspace, kept.into_iter().map(|(key, bytes)| (key.bytes(), bytes)))
    }

    /// The keyspace of an id, created if it is not there.
    pub(crate) fn table(&self, id: TableId) -> Result<Keyspace, WriteError> {
        let db = {
            let shared = self.shared();
            let tables = shared.tables.as_ref().expect("a write was prepared");
            if let Some(keyspace) = tables.get(id) {
                return Ok(keyspace.clone());
            }
            tables.database()
        };
        let keyspace = create(&db, id)?;
        let mut shared = self.shared_mut();
        let tables = shared.tables.as_mut().expect("a write was prepared");
        tables.insert(id, keyspace.clone());
        Ok(keyspace)
    }

    /// Drops the keyspace of an id with everything in it.
    pub(crate) fn drop_table(&self, id: TableId) -> Result<(), WriteError> {
        self.shared_mut().tables.as_mut().expect("a write was prepared").drop_table(id)?;
        self.cache().dropped(id);
        Ok(())
    }

    /// Changes the state on disk and, once it is there, in memory.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) -> Result<(), WriteError> {
        let mut state = {
            let shared = self.shared();
            let locations = shared.locations.names.iter().map(|name| name.as_str().to_owned()).collect();
            State { locations, ..shared.state.clone() }
        };
        change(&mut state);
        state::write(&self.directory, &state)?;
        self.shared_mut().state = state;
        Ok(())
    }
}

impl Shared {
    /// The latest day of which there are results.
    pub(crate) fn newest_day(&self) -> Option<i64> {
        let in_tables = self.tables.iter().flat_map(Tables::ids).filter_map(|id| match id {
            TableId::Head(head) => Some(day_of_window(head.window)),
            TableId::Raw(day) => Some(day),
            TableId::Evidence(_) | TableId::Five(_) | TableId::Days(_) => None,
        });
        let in_memory = self.buffers().filter_map(|buffer| buffer.rows.last_key_value());
        in_tables.chain(in_memory.map(|(&window, _)| day_of_window(window))).max()
    }
}

fn create_state(directory: &Path) -> Result<State, OpenError> {
    let state = State::default();
    match state::write(directory, &state) {
        Ok(()) => Ok(state),
        Err(error) if is_disk_full(&error) => Err(OpenError::DiskFull { directory: directory.to_owned() }),
        Err(source) => Err(OpenError::Io { directory: directory.to_owned(), source }),
    }
}

const _: () = assert!(DAY_MS < u32::MAX as i64, "offsets in a day fit 32 bits");

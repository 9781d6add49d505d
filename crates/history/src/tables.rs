//! The keyspaces of the embedded engine, one per span of time.
//!
//! Everything is written as whole sorted tables (the engine's "ingestion"),
//! each complete and synced before it counts, so the engine's journal stays
//! empty and opening takes milliseconds whatever is stored. Nothing is ever
//! deleted row by row: a keyspace is dropped whole.

use crate::error::{OpenError, WriteError, is_disk_full};
use crate::keys::HeadId;
use crate::limits::{
    BLOCK_BYTES, CACHE_BYTES, OPEN_FILES_MAX, TABLES_WAIT, TABLES_WAIT_MAX, TABLES_WAITING_MANY, TABLES_WAITING_MAX,
};
use crate::manifest::{self, ManifestError};
use fjall::config::{BlockSizePolicy, FilterPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Threads that merge tables in the background; one of the engine's two only
/// ever writes memory tables out, which do not occur here.
const WORKER_THREADS: usize = 2;
/// The smallest journal the engine accepts.
const JOURNAL_BYTES: u64 = 64 << 20;
const WAIT_STEP: Duration = Duration::from_millis(5);

/// A span of time with its keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableId {
    Head(HeadId),
    Raw(i64),
    Evidence(i64),
    Five(i64),
    Days(i64),
}

impl TableId {
    /// The first part of the keyspace's name.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Head(_) => "head",
            Self::Raw(_) => "raw",
            Self::Evidence(_) => "evidence",
            Self::Five(_) => "five",
            Self::Days(_) => "days",
        }
    }

    fn name(self) -> String {
        match self {
            Self::Head(head) => format!("head.{}.{}", head.window, head.generation),
            Self::Raw(day) => format!("raw.{day}"),
            Self::Evidence(day) => format!("evidence.{day}"),
            Self::Five(month) => format!("five.{month}"),
            Self::Days(year) => format!("days.{year}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once('.')?;
        if kind == "head" {
            let (window, generation) = rest.split_once('.')?;
            let head = HeadId { window: window.parse().ok()?, generation: generation.parse().ok()? };
            return Some(Self::Head(head));
        }
        let number = rest.parse().ok()?;
        match kind {
            "raw" => Some(Self::Raw(number)),
            "evidence" => Some(Self::Evidence(number)),
            "five" => Some(Self::Five(number)),
            "days" => Some(Self::Days(number)),
            _ => None,
        }
    }
}

/// All keyspaces that exist.
pub(crate) struct Tables {
    db: Database,
    keyspaces: BTreeMap<TableId, Keyspace>,
}

impl Tables {
    /// Opens what is there, or creates an empty database.
    pub(crate) fn open(directory: &Path) -> Result<Self, OpenError> {
        // The engine asserts its invariants while it recovers; for an operator
        // a broken one is damage like any other, not a crash.
        let damaged = |what: String| OpenError::Damaged { directory: directory.to_owned(), what };
        // First, because the manifests of a store in use change while they are verified.
        if is_locked(directory) {
            return Err(OpenError::Locked { directory: directory.to_owned() });
        }
        match manifest::verify(directory) {
            Ok(()) => {}
            Err(ManifestError::Io(source)) => return Err(OpenError::Io { directory: directory.to_owned(), source }),
            Err(ManifestError::Damaged(path)) => return Err(damaged(format!("{} is damaged", path.display()))),
        }
        let attempt = catch_unwind(AssertUnwindSafe(|| Self::open_engine(directory)));
        match attempt {
            Err(_) => Err(damaged("its tables contradict each other".to_owned())),
            Ok(Ok(tables)) => Ok(tables),
            Ok(Err(error)) if is_disk_full(&error) => Err(OpenError::DiskFull { directory: directory.to_owned() }),
            Ok(Err(fjall::Error::Locked)) => Err(OpenError::Locked { directory: directory.to_owned() }),
            Ok(Err(fjall::Error::Io(source))) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
                Err(OpenError::Io { directory: directory.to_owned(), source })
            }
            Ok(Err(error)) => Err(damaged(error.to_string())),
        }
    }

    fn open_engine(directory: &Path) -> fjall::Result<Self> {
        let db = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(WORKER_THREADS)
            .open()?;
        let mut keyspaces = BTreeMap::new();
        for name in db.list_keyspace_names() {
            if let Some(id) = TableId::parse(&name) {
                keyspaces.insert(id, db.keyspace(&name, create_options)?);
            }
        }
        Ok(Self { db, keyspaces })
    }

    pub(crate) fn get(&self, id: TableId) -> Option<&Keyspace> {
        self.keyspaces.get(&id)
    }

    /// Every keyspace there is, ascending by kind and time.
    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = TableId> {
        self.keyspaces.keys().copied()
    }

    /// Every head, ascending by window and generation.
    pub(crate) fn heads(&self) -> impl DoubleEndedIterator<Item = HeadId> {
        self.ids().filter_map(|id| match id {
            TableId::Head(head) => Some(head),
            TableId::Raw(_) | TableId::Evidence(_) | TableId::Five(_) | TableId::Days(_) => None,
        })
    }

    /// Whether a background task of the engine has failed, after which it takes no more writes.
    pub(crate) fn is_broken(&self) -> bool {
        self.db.persist(PersistMode::Buffer).is_err()
    }

    /// Bytes of all tables.
    pub(crate) fn bytes(&self) -> u64 {
        self.db.disk_space().unwrap_or(0)
    }

    /// The engine's handle, to create keyspaces without holding on to `self`.
    pub(crate) fn database(&self) -> Database {
        self.db.clone()
    }

    pub(crate) fn insert(&mut self, id: TableId, keyspace: Keyspace) {
        self.keyspaces.insert(id, keyspace);
    }

    /// Drops a keyspace with everything in it.
    pub(crate) fn drop_table(&mut self, id: TableId) -> fjall::Result<()> {
        let Some(keyspace) = self.keyspaces.get(&id).cloned() else { return Ok(()) };
        self.db.delete_keyspace(keyspace)?;
        self.keyspaces.remove(&id);
        Ok(())
    }
}

/// Whether another process holds the engine's lock.
fn is_locked(directory: &Path) -> bool {
    let lock = std::fs::File::open(directory.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Creates or opens the keyspace of an id.
pub(crate) fn create(db: &Database, id: TableId) -> fjall::Result<Keyspace> {
    db.keyspace(&id.name(), create_options)
}

/// Writes ascending pairs as one table; when this returns they are on disk.
pub(crate) fn write_sorted<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    keyspace: &Keyspace,
    pairs: impl Iterator<Item = (K, V)>,
) -> Result<(), WriteError> {
    wait_for_merging(keyspace)?;
    let mut ingestion = keyspace.start_ingestion()?;
    for (key, value) in pairs {
        ingestion.write(key.as_ref(), value.as_ref())?;
    }
    Ok(ingestion.finish()?)
}

/// Tables that wait to be merged make reads slow; a writer that is faster than
/// the merging waits for it a little, and if it is far ahead, until it catches up.
fn wait_for_merging(keyspace: &Keyspace) -> Result<(), WriteError> {
    let started = Instant::now();
    loop {
        let waiting = keyspace.l0_table_count();
        if waiting <= TABLES_WAITING_MANY || (waiting < TABLES_WAITING_MAX && started.elapsed() >= TABLES_WAIT) {
            return Ok(());
        }
        if started.elapsed() >= TABLES_WAIT_MAX {
            return Err(WriteError::Merging);
        }
        std::thread::sleep(WAIT_STEP);
    }
}

/// Waits until a table takes writes without delay, for a writer that nobody waits for.
pub(crate) fn wait_until_merged(keyspace: &Keyspace) -> Result<(), WriteError> {
    let started = Instant::now();
    while keyspace.l0_table_count() > TABLES_WAITING_MANY {
        if started.elapsed() >= TABLES_WAIT_MAX {
            return Err(WriteError::Merging);
        }
        std::thread::sleep(WAIT_STEP);
    }
    Ok(())
}

fn create_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        // Reads are short scans of keys that exist, for which filters are no use.
        .filter_policy(FilterPolicy::disabled())
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        // Pinned blocks do not count against the cache, so that memory would grow with the data.
        .index_block_pinning_policy(PinningPolicy::disabled())
        .filter_block_pinning_policy(PinningPolicy::disabled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_name() {
        let head = TableId::Head(HeadId { window: 249_000, generation: 3 });
        for id in [head, TableId::Raw(20_750), TableId::Evidence(1), TableId::Five(24_322), TableId::Days(2026)] {
            assert_eq!(TableId::parse(&id.name()), Some(id));
        }
        assert_eq!(TableId::parse("other.1"), None);
    }
}

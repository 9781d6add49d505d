//! The log's tables in SQLite, used by one thread.
//!
//! Write-ahead log, flushed with every transaction (`synchronous=FULL`), one
//! connection that owns the files (`locking_mode=EXCLUSIVE`, so no shared
//! memory is needed). Every transaction rewrites the record of
//! [`crate::meta`]. **Nothing read from the file is believed before its
//! checksum was right and its place in the sequence too.**

use crate::change::Change;
use crate::meta::{self, META_PAGE, Meta};
use crate::row::Row;
use crate::stored::StoredLogId;
use crate::{files, wal};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The database's file name.
pub(crate) const FILE: &str = "log.db";
/// Size of the write-ahead log from which it is moved into the database:
/// SQLite's own default of a thousand pages. A larger one makes the step
/// slower, a smaller one more frequent.
const CHECKPOINT_BYTES: u64 = 4 << 20;
/// What a transaction adds to the write-ahead log beside its payload: the
/// record's page, the table's leaf and its parent.
const TRANSACTION_BYTES: u64 = 3 * 4120;

/// Why the log could not be read or written. The messages of damage say what
/// to do, because nothing heals by itself then.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// SQLite or the system refused.
    #[error("cannot {doing} {path}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A file beside SQLite could not be used.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({what}); restore the directory from a backup, or, if this node has peers, replace it by a \
         new node; do not delete the file, it may hold entries that were acknowledged and are nowhere else"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A newer program wrote it.
    #[error(
        "{path} holds something in format {found}, this program reads up to {supported}: the directory was written by a \
         newer Mainstay; start that version, or restore a backup made by this one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format found.
        found: u8,
        /// The newest format that can be read.
        supported: u8,
    },
    /// An entry in it is whole, but this program cannot read it.
    #[error("{path} holds at position {position} what this program cannot read; was it written by a newer Mainstay?")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Where in the log.
        position: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full, and the node is being closed.
    #[error("the disk of {path} is full")]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// The thread that writes the log has ended.
    #[error("the log is closed")]
    Closed,
}

/// What is remembered in memory of each row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowFact {
    /// Entries in its group.
    pub(crate) count: u32,
    /// Size of its payload.
    pub(crate) bytes: u32,
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
    meta: Meta,
    /// Roughly the size of the write-ahead log.
    wal_bytes: u64,
}

impl Database {
    /// Makes the log of a new node.
    pub(crate) fn create(directory: &Path, vfs: Option<&str>, meta: Meta) -> Result<Self, LogError> {
        let path = directory.join(FILE);
        files::open(&path).map_err(|source| LogError::File { path: path.clone(), source })?;
        let connection = connect(&path, vfs)?;
        // The record's table comes first, so that it gets page 2.
        let tables = "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL) STRICT;
             CREATE TABLE entries (
                 position INTEGER PRIMARY KEY, term INTEGER NOT NULL, node INTEGER NOT NULL,
                 count INTEGER NOT NULL, checksum INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;";
        // The table of marks is made when the log is marked as open, because
        // older logs lack it.
        let made = connection
            .execute_batch(tables)
            .and_then(|()| connection.execute("INSERT INTO meta VALUES (1, ?1)", [meta.encode()]));
        let mut database = Self { connection, path, meta, wal_bytes: 0 };
        database.check(made, "make")?;
        database.check_meta_page()?;
        database.mark_open(true)?;
        files::sync_directory(directory).map_err(|source| LogError::File { path: directory.to_owned(), source })?;
        Ok(database)
    }

    /// Opens the log of a founded node, having looked through its write-ahead
    /// log, and returns what is known of its rows.
    pub(crate) fn open(directory: &Path, vfs: Option<&str>) -> Result<(Self, VecDeque<RowFact>), LogError> {
        let path = directory.join(FILE);
        look_through_wal(&path)?;
        let connection = connect(&path, vfs)?;
        let record: Result<Vec<u8>, _> = connection.query_row("SELECT record FROM meta", [], |row| row.get(0));
        let record = record.map_err(|source| from_sqlite(source, "read", &path))?;
        let damaged = |what: &str| LogError::Damaged { path: path.clone(), what: what.to_owned() };
        let meta = Meta::decode(&record).ok_or_else(|| damaged("its record does not match its checksum"))?;
        let mut database = Self { connection, path, meta, wal_bytes: 0 };
        database.check_meta_page()?;
        let rows = database.verify()?;
        database.mark_open(true)?;
        Ok((database, rows))
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// What [`Change::Marks`] stored last; empty if it never did.
    pub(crate) fn marks(&self) -> Result<Vec<u8>, LogError> {
        let found = self.connection.query_row("SELECT record, checksum FROM marks", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u32>(1)?))
        });
        let (record, checksum) = match found {
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(Vec::new()),
            found => self.check(found, "read")?,
        };
        if crc32fast::hash(&record) == checksum {
            return Ok(record);
        }
        let what = "what it remembers of other nodes does not match its checksum".to_owned();
        Err(LogError::Damaged { path: self.path.clone(), what })
    }

    /// Makes changes durable in one transaction: all of them or none. The
    /// commit index travels along; alone it is not worth a flush.
    pub(crate) fn write(&mut self, changes: &[&Change], committed: Option<StoredLogId>) -> rusqlite::Result<()> {
        let mut meta = self.meta.clone();
        meta.counter += 1;
        meta.committed = committed;
        let mut bytes = TRANSACTION_BYTES;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in changes {
            bytes += change.carry_out(&transaction, &mut meta)?;
        }
        transaction.prepare_cached("UPDATE meta SET record = ?1 WHERE one = 1")?.execute([meta.encode()])?;
        transaction.commit()?;
        self.meta = meta;
        self.wal_bytes += bytes;
        Ok(())
    }

    /// Reads rows from one position up to, not including, another; at least
    /// one, then as many as have at most `bytes_max` of payload.
    pub(crate) fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Row>, LogError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        self.each_row(from, to, |row| {
            bytes += row.payload.len();
            rows.push(row);
            bytes < bytes_max
        })?;
        Ok(rows)
    }

    /// Moves the write-ahead log into the database if it has grown long.
    pub(crate) fn checkpoint_if_long(&mut self) -> Result<(), LogError> {
        if self.wal_bytes < CHECKPOINT_BYTES { Ok(()) } else { self.checkpoint("PASSIVE") }
    }

    /// Moves the write-ahead log into the database; false if there was nothing in it.
    pub(crate) fn checkpoint_if_any(&mut self) -> Result<bool, LogError> {
        let is_any = self.wal_bytes > 0;
        if is_any {
            self.checkpoint("PASSIVE")?;
        }
        Ok(is_any)
    }

    /// Closes the files, with an empty write-ahead log.
    pub(crate) fn close(mut self, committed: Option<StoredLogId>) -> Result<(), LogError> {
        self.meta.committed = committed;
        self.mark_open(false)?;
        self.connection.close().map_err(|(_, source)| from_sqlite(source, "close", &self.path))
    }

    /// Gives an error of SQLite its meaning.
    pub(crate) fn check<T>(&self, result: rusqlite::Result<T>, doing: &'static str) -> Result<T, LogError> {
        result.map_err(|source| from_sqlite(source, doing, &self.path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says in the database file itself whether there must be a write-ahead
    /// log. The latter is emptied: what SQLite cut off a torn end would stay in
    /// it and could be taken for frames of a later transaction.
    fn mark_open(&mut self, is_open: bool) -> Result<(), LogError> {
        let committed = self.meta.committed;
        let marked = self.write(&[&Change::Open(is_open)], committed);
        self.check(marked, "write")?;
        self.checkpoint("TRUNCATE")
    }

    fn checkpoint(&mut self, mode: &str) -> Result<(), LogError> {
        let done: Result<i64, _> =
            self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0));
        let busy = self.check(done, "move the write-ahead log into")?;
        // The only connection there is cannot be in its own way.
        debug_assert_eq!(busy, 0);
        self.wal_bytes = 0;
        Ok(())
    }

    fn check_meta_page(&self) -> Result<(), LogError> {
        let page = self
            .connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get::<_, u32>(0));
        if self.check(page, "read")? == META_PAGE {
            return Ok(());
        }
        Err(LogError::Damaged { path: self.path.clone(), what: format!("its record is not on page {META_PAGE}") })
    }

    /// Reads every row once: checksums, no gap, and the end where the record says.
    fn verify(&self) -> Result<VecDeque<RowFact>, LogError> {
        let mut rows = VecDeque::new();
        let mut last = self.meta.purged;
        let mut gap = None;
        self.each_row(0, i64::MAX as u64, |row| {
            let expected = last.map_or(0, |id| id.position + 1);
            if row.id.position != expected {
                gap = Some(expected);
                return false;
            }
            last = Some(row.id);
            let bytes = u32::try_from(row.payload.len()).unwrap_or(u32::MAX);
            rows.push_back(RowFact { count: row.count, bytes });
            true
        })?;
        let damaged = |what| Err(LogError::Damaged { path: self.path.clone(), what });
        if let Some(expected) = gap {
            return damaged(format!("the entry at position {expected} is missing"));
        }
        if last != self.meta.last {
            let end = self.meta.last.map_or(0, |id| id.position);
            return damaged(format!("it does not end at position {end} as its record says"));
        }
        Ok(rows)
    }

    /// Calls `each` for rows in order until it returns false.
    fn each_row(&self, from: u64, to: u64, mut each: impl FnMut(Row) -> bool) -> Result<(), LogError> {
        let text = "SELECT position, term, node, count, checksum, payload FROM entries
                    WHERE position >= ?1 AND position < ?2 ORDER BY position";
        let mut statement = self.check(self.connection.prepare_cached(text), "read")?;
        let mut found = self.check(statement.query(params![from as i64, to as i64]), "read")?;
        while let Some(columns) = self.check(found.next(), "read")? {
            let number = |column| columns.get::<_, i64>(column).map(|number| number as u64);
            let row = || -> rusqlite::Result<(Row, u64)> {
                let id = StoredLogId { position: number(0)?, term: number(1)?, node: number(2)? };
                Ok((Row { id, count: columns.get(3)?, payload: columns.get(5)? }, number(4)?))
            };
            let (row, checksum) = self.check(row(), "read")?;
            if u64::from(row.checksum()) != checksum {
                let what = format!("the entry at position {} does not match its checksum", row.id.position);
                return Err(LogError::Damaged { path: self.path.clone(), what });
            }
            if !each(row) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether SQLite says that there is no room.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

impl LogError {
    /// Whether there was no room.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_full(source),
            Self::File { source, .. } => files::is_full(source),
            Self::Full { .. } => true,
            Self::Damaged { .. } | Self::Newer { .. } | Self::Unreadable { .. } | Self::Closed => false,
        }
    }
}

fn connect(path: &Path, vfs: Option<&str>) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match vfs {
        Some(name) => Connection::open_with_flags_and_vfs(path, flags, name),
        None => Connection::open_with_flags(path, flags),
    };
    let connection = opened.map_err(|source| from_sqlite(source, "open", path))?;
    // The lock mode comes before the journal's, else SQLite wants shared
    // memory. A full cache must not spill: the scan of the write-ahead log
    // relies on one frame with the record in each transaction.
    let settings = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0; PRAGMA cache_spill = OFF; PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;";
    // Without a checkpoint on close the write-ahead log stays when this is
    // dropped in haste; its absence always means that somebody removed it.
    connection
        .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .and_then(|_| connection.execute_batch(settings))
        .map_err(|source| from_sqlite(source, "open", path))?;
    check_settings(&connection, path)?;
    Ok(connection)
}

/// Makes sure that SQLite took the settings on which durability rests: one it
/// cannot use is not an error to it.
fn check_settings(connection: &Connection, path: &Path) -> Result<(), LogError> {
    for (name, wanted) in
        [("journal_mode", "wal"), ("locking_mode", "exclusive"), ("synchronous", "2"), ("page_size", "4096")]
    {
        let found: Result<rusqlite::types::Value, _> = connection.pragma_query_value(None, name, |row| row.get(0));
        let found = match found.map_err(|source| from_sqlite(source, "open", path))? {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        if found != wanted {
            let what = format!("SQLite opens it with {name} {found} instead of {wanted}");
            return Err(LogError::Damaged { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// Refuses a write-ahead log in which something acknowledged is damaged, or
/// one that is gone although it was needed.
fn look_through_wal(path: &Path) -> Result<(), LogError> {
    let in_file = |path: &Path, source| LogError::File { path: path.to_owned(), source };
    let page = wal::PAGE_BYTES * (META_PAGE as usize - 1);
    let main = files::read_range(path, page, wal::PAGE_BYTES).map_err(|source| in_file(path, source))?;
    if let Some(found) = meta::newer_format(&main) {
        return Err(LogError::Newer { path: path.to_owned(), found, supported: meta::FORMAT });
    }
    let wal_path = PathBuf::from(format!("{}-wal", path.display()));
    let bytes = match std::fs::read(&wal_path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return if Meta::newest(&main).is_some_and(|meta| meta.is_open) {
                let what = "it is missing although Mainstay did not end cleanly; somebody removed it".to_owned();
                Err(LogError::Damaged { path: wal_path, what })
            } else {
                Ok(())
            };
        }
        Err(source) => return Err(in_file(&wal_path, source)),
    };
    match wal::scan(&bytes, Meta::newest(&main).map(|meta| meta.counter)) {
        Ok(wal::Scan::Torn { offset }) => {
            tracing::info!(offset, bytes = bytes.len(), "the last transaction was torn and never acknowledged; cut");
            Ok(())
        }
        Ok(wal::Scan::Empty | wal::Scan::Whole) => Ok(()),
        Err(wal::Damage { offset }) => {
            let what = format!("the frame at byte {offset} is wrong, but whole transactions follow it");
            Err(LogError::Damaged { path: wal_path, what })
        }
    }
}

fn from_sqlite(source: rusqlite::Error, doing: &'static str, path: &Path) -> LogError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            LogError::Damaged { path, what: format!("SQLite says: {source}") }
        }
        _ => LogError::Database { doing, path, source },
    }
}

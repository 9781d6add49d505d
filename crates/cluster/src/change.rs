//! The changes that can be made to the log, each of them part of a transaction.
//!
//! **A change keeps the record of [`crate::meta`] true**: whatever it does to
//! the tables, the record says the same afterwards.

use crate::meta::Meta;
use crate::row::Row;
use crate::stored::{StoredLogId, StoredVote};
use rusqlite::{Connection, params};

/// What the marks add to the write-ahead log: a page of their own.
const MARKS_BYTES: u64 = 4120;
/// What a row that goes adds to it, roughly: rows lie together on pages.
const GONE_BYTES: u64 = 100;

/// What can be changed in the log.
#[derive(Debug)]
pub(crate) enum Change {
    Append(Vec<Row>),
    Vote(StoredVote),
    /// Drops the entries from this position on.
    Truncate(u64),
    /// Drops the entries up to this one.
    Purge(StoredLogId),
    /// Says whether a process has the log open.
    Open(bool),
    /// Remembers how far other nodes are known to have been.
    Marks(Vec<u8>),
}

impl Change {
    /// Carries it out and returns roughly what it adds to the write-ahead log.
    pub(crate) fn carry_out(&self, db: &Connection, meta: &mut Meta) -> rusqlite::Result<u64> {
        match self {
            Self::Append(rows) => append(db, rows, meta),
            Self::Vote(vote) => {
                meta.vote = Some(*vote);
                Ok(0)
            }
            Self::Truncate(position) => truncate(db, *position, meta),
            Self::Purge(upto) => purge(db, *upto, meta),
            Self::Open(is_open) => open(db, *is_open, meta),
            Self::Marks(record) => {
                let text = "INSERT OR REPLACE INTO marks VALUES (1, ?1, ?2)";
                db.prepare_cached(text)?.execute(params![record, crc32fast::hash(record)])?;
                Ok(MARKS_BYTES)
            }
        }
    }
}

fn append(db: &Connection, rows: &[Row], meta: &mut Meta) -> rusqlite::Result<u64> {
    let mut insert = db.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for row in rows {
        let id = row.id;
        let (position, term, node) = (id.position as i64, id.term as i64, id.node as i64);
        insert.execute(params![position, term, node, row.count, row.checksum(), row.payload])?;
        meta.last = Some(id);
    }
    Ok(rows.iter().map(|row| row.payload.len() as u64).sum())
}

fn truncate(db: &Connection, position: u64, meta: &mut Meta) -> rusqlite::Result<u64> {
    let gone = db.execute("DELETE FROM entries WHERE position >= ?1", [position as i64])?;
    let text = "SELECT position, term, node FROM entries ORDER BY position DESC LIMIT 1";
    let last = db.query_row(text, [], |row| {
        let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
        Ok(StoredLogId { position: number(0)?, term: number(1)?, node: number(2)? })
    });
    meta.last = match last {
        Err(rusqlite::Error::QueryReturnedNoRows) => meta.purged,
        found => Some(found?),
    };
    Ok(gone as u64 * GONE_BYTES)
}

fn purge(db: &Connection, upto: StoredLogId, meta: &mut Meta) -> rusqlite::Result<u64> {
    let gone = db.execute("DELETE FROM entries WHERE position <= ?1", [upto.position as i64])?;
    meta.purged = Some(upto);
    if meta.last.is_none_or(|last| last.position < upto.position) {
        meta.last = Some(upto);
    }
    Ok(gone as u64 * GONE_BYTES)
}

/// Logs from before there were marks get their table when they are opened.
fn open(db: &Connection, is_open: bool, meta: &mut Meta) -> rusqlite::Result<u64> {
    meta.is_open = is_open;
    if is_open {
        meta.incarnation += 1;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS marks (
                 one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
        )?;
    }
    Ok(0)
}

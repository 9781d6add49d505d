//! What can go wrong, one small enum per operation.
//!
//! Each message says what the store was doing; what to do about it is said
//! where an operator can do something. Causes are sources, not repeated.

use crate::state::FORMAT;
use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("history in {directory} is in use by another process; stop that one, or use another data directory")]
    Locked {
        /// The store's directory.
        directory: PathBuf,
    },
    /// Written by another version of the program.
    #[error(
        "history in {directory} has format {found}, this program reads format {FORMAT}; \
         start the version that wrote it, or move the directory away to begin an empty history"
    )]
    Format {
        /// The store's directory.
        directory: PathBuf,
        /// The format found.
        found: u8,
    },
    /// What is there is not a store, or was damaged.
    #[error(
        "history in {directory} is damaged: {what}; restore it from a backup, \
         or move the directory away to begin an empty history"
    )]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no room.
    #[error("no room on the disk to open history in {directory}; make room and start again")]
    DiskFull {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The directory could not be read or written.
    #[error("could not read or write history in {directory}")]
    Io {
        /// The store's directory.
        directory: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Why something could not be written. Nothing that was stored before is hurt,
/// and the store mends itself: the next write starts by reopening its tables.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no room; after room is made the next call works.
    #[error("no room on the disk for history")]
    DiskFull,
    /// The tables could not be reopened after an earlier failure.
    #[error("could not reopen history after a failed write")]
    Reopen(#[source] Box<OpenError>),
    /// The engine does not keep up merging its tables, or has stopped doing so.
    #[error("history's tables are not merged as fast as they are written")]
    Merging,
    /// The tables refused.
    #[error("could not write history")]
    Storage(#[source] fjall::Error),
    /// A file refused.
    #[error("could not write the state of history")]
    Io(#[source] std::io::Error),
}

/// Why an entry was not taken. It was not taken in part either: the caller may
/// offer it again later, or go on with the next one and lose it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no room for what waits to be written, so nothing more is taken.
    #[error("no room on the disk for history")]
    DiskFull,
    /// More locations than keys have numbers for.
    #[error("history knows {} locations and has no number left for another", crate::limits::LOCATIONS_MAX)]
    TooManyLocations,
    /// What waits to be written could not be written.
    #[error("could not make room in memory for results")]
    Write(#[source] WriteError),
}

/// Why nothing could be read at all. Damage to parts is not an error but part of the answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A write failed and the tables could not be reopened yet.
    #[error("history is closed until its tables can be reopened")]
    Closed,
}

impl From<WriteError> for ApplyError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::DiskFull => Self::DiskFull,
            other => Self::Write(other),
        }
    }
}

impl From<fjall::Error> for WriteError {
    fn from(error: fjall::Error) -> Self {
        if is_disk_full(&error) { Self::DiskFull } else { Self::Storage(error) }
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        if is_disk_full(&error) { Self::DiskFull } else { Self::Io(error) }
    }
}

/// Whether a full disk or quota is anywhere among the causes.
pub(crate) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        }
        next = error.source();
    }
    false
}

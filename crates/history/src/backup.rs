//! A copy of a store in use, and a store that begins from such a copy.
//!
//! Tables are never changed once they are written, so the copy is made of links
//! to them and takes no room; what is small is copied. Writing rests while the
//! links are made, merging does not: it replaces a keyspace's list of
//! tables, which is noticed, and then that keyspace is linked again. **The
//! copy is a store like any other**; it is opened once before it is handed over,
//! which proves that it can be, and clears away what its lists do not name.

use crate::error::{OpenError, WriteError};
use crate::manifest::{CURRENT, KEYSPACES_DIRECTORY, list_of};
use crate::state::{self, StateError};
use crate::store::{Store, TABLES_DIRECTORY};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where a keyspace's tables lie.
const TABLE_FILES_DIRECTORY: &str = "tables";
/// The file that says which form the engine's directory has.
const ENGINE_VERSION: &str = "version";
/// The file that the engine locks and never writes; it does not make a missing one.
const ENGINE_LOCK: &str = "lock";
const JOURNAL_ENDING: &str = "jnl";
/// How often a keyspace is linked whose tables are merged meanwhile. Merging
/// takes longer than linking, so that even a second time is rare.
const TRIES: u32 = 100;

/// Why no copy was made. What was written of it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory has something in it.
    #[error("{directory} is not empty; a copy of history is made in a new directory")]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
    /// What was in memory could not be written first.
    #[error("could not write history before copying it")]
    Write(#[from] WriteError),
    /// A file could not be linked or copied.
    #[error("could not copy history to {directory}")]
    Copy {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The copy cannot be opened.
    #[error("the copy of history cannot be used")]
    Open(#[from] OpenError),
}

impl Store {
    /// Makes a copy of everything that was applied, in a directory that is new
    /// or empty, while the store is used. On the same volume it takes almost
    /// no room and some milliseconds; elsewhere every file is copied, and batches
    /// wait for it. It is not flushed: it is there to be copied on, and to be
    /// removed. Returns the watermark of the copy.
    ///
    /// # Errors
    /// [`BackupError`]; the store itself is not hurt.
    pub fn backup(&self, into: &Path) -> Result<u64, BackupError> {
        let failed = |source| BackupError::Copy { directory: into.to_owned(), source };
        fs::create_dir_all(into).map_err(failed)?;
        if fs::read_dir(into).map_err(failed)?.next().is_some() {
            return Err(BackupError::NotEmpty { directory: into.to_owned() });
        }
        let watermark = {
            let mut writer = self.writer();
            self.prepare_write(&mut writer)?;
            let watermark = self.write_out(&mut writer)?;
            copy_store(&self.directory, into).map_err(failed)?;
            watermark
        };
        drop(Self::open(into, self.options)?);
        remove_journals(&into.join(TABLES_DIRECTORY)).map_err(failed)?;
        Ok(watermark)
    }

    /// Turns a copy that [`backup`](Self::backup) made, wherever it was meanwhile, into the
    /// store of a log that goes on behind entry `index`, whose results the copy
    /// has: later ones that it may have as well stay. Gaps are forgotten,
    /// because with the copy begins a history of which there is no other.
    ///
    /// # Errors
    /// [`OpenError`], if the copy is not whole.
    pub fn restored(directory: &Path, index: u64) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { directory: directory.to_owned(), source };
        let damaged = |what: &str| OpenError::Damaged { directory: directory.to_owned(), what: what.to_owned() };
        // Opening would begin an empty history where there is none.
        let mut state = state::read(directory).map_err(|error| match error {
            StateError::Io(source) => io(source),
            StateError::Format(found) => OpenError::Format { directory: directory.to_owned(), found },
            StateError::Damaged => damaged("the file \"state\" cannot be read"),
        })?;
        let state = state.as_mut().ok_or_else(|| damaged("the file \"state\" is missing"))?;
        if !directory.join(TABLES_DIRECTORY).exists() {
            return Err(damaged("the directory \"tables\" is missing"));
        }
        drop(Self::open(directory, crate::Options::default())?);
        state.watermark = index;
        state.gaps.clear();
        state::write(directory, state).map_err(io)
    }
}

fn copy_store(from: &Path, into: &Path) -> io::Result<()> {
    fs::copy(from.join(state::FILE_NAME), into.join(state::FILE_NAME))?;
    let (from, into) = (from.join(TABLES_DIRECTORY), into.join(TABLES_DIRECTORY));
    fs::create_dir_all(into.join(KEYSPACES_DIRECTORY))?;
    fs::copy(from.join(ENGINE_VERSION), into.join(ENGINE_VERSION))?;
    fs::write(into.join(ENGINE_LOCK), [])?;
    for keyspace in fs::read_dir(from.join(KEYSPACES_DIRECTORY))? {
        let keyspace = keyspace?;
        copy_keyspace(&keyspace.path(), &into.join(KEYSPACES_DIRECTORY).join(keyspace.file_name()))?;
    }
    Ok(())
}

/// Removes the engine's journals. They are empty, since nothing is written but
/// whole tables, and still 64 MB long; the engine makes one where there is none.
fn remove_journals(tables: &Path) -> io::Result<()> {
    for file in fs::read_dir(tables)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == JOURNAL_ENDING) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Links a keyspace's list of tables and the tables in it. One without a list
/// is being dropped and is left out, as the engine would do.
fn copy_keyspace(from: &Path, into: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        let Some(current) = read(&from.join(CURRENT))? else { return Ok(()) };
        let list = list_of(&current).ok_or(ErrorKind::InvalidData)?;
        let linked = link_tables(from, into, &list);
        if read(&from.join(CURRENT))?.as_ref() == Some(&current) {
            linked?;
            return fs::write(into.join(CURRENT), current);
        }
        // Merged meanwhile, so tables of the list may be gone: once more, from the start.
        if let Err(error) = fs::remove_dir_all(into)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Err(io::Error::new(ErrorKind::ResourceBusy, "its tables are merged all the time"))
}

fn link_tables(from: &Path, into: &Path, list: &str) -> io::Result<()> {
    fs::create_dir_all(into.join(TABLE_FILES_DIRECTORY))?;
    link(&from.join(list), &into.join(list))?;
    for table in fs::read_dir(from.join(TABLE_FILES_DIRECTORY))? {
        let table = table?;
        let linked = link(&table.path(), &into.join(TABLE_FILES_DIRECTORY).join(table.file_name()));
        // One that is gone was merged into another; if it mattered, the list has changed too.
        if let Err(error) = linked
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Gives a file a second name, or copies it to another volume.
fn link(from: &Path, into: &Path) -> io::Result<()> {
    match fs::hard_link(from, into) {
        Err(error) if matches!(error.kind(), ErrorKind::CrossesDevices | ErrorKind::Unsupported) => {
            fs::copy(from, into).map(drop)
        }
        linked => linked,
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

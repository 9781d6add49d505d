//! The data directory: whose it is, and that nobody else uses it.
//!
//! Everything that can be wrong with it is found before a file of the log is
//! touched. **Two processes never have one directory open**: the lock is held
//! until the log's files are closed.

use crate::identity::{self, Identity, IdentityError, Stage};
use crate::{database, files, filesystem, recover, room, snapshot};
use rustix::fs::{Access, AtFlags};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The lock's file name; its content is the number of the process that holds it.
const LOCK: &str = "lock";
/// Files SQLite makes beside the database.
const BESIDE_DATABASE: [&str; 3] = ["log.db-wal", "log.db-journal", "log.db-shm"];
/// What mkfs puts into the root of a new file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory in which it should be made does not exist.
    #[error("cannot make the data directory {path}: {parent} does not exist; make it, or name another directory")]
    ParentMissing {
        /// The data directory.
        path: PathBuf,
        /// What does not exist.
        parent: PathBuf,
    },
    /// There is a file in its place.
    #[error("the data directory {path} is a file; name a directory")]
    NotADirectory {
        /// The data directory.
        path: PathBuf,
    },
    /// This user may not write there.
    #[error("cannot write to the data directory {path}; give it to the user that runs Mainstay, or name another one")]
    NotWritable {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It lies on a network file system.
    #[error(
        "the data directory {path} is on a network file system ({kind}), which can lose what was flushed; name a \
         directory on a local disk"
    )]
    Network {
        /// The data directory.
        path: PathBuf,
        /// Which kind.
        kind: String,
    },
    /// Another process uses it.
    #[error("the data directory {path} is in use by process {}; stop that one, or name another directory", pid.map_or("unknown".to_owned(), |pid| pid.to_string()))]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The other process.
        pid: Option<u32>,
    },
    /// There is something else in it.
    #[error("{path} holds {found:?} and no Mainstay data; name an empty directory")]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// A file or directory in it.
        found: String,
    },
    /// A part of it is gone.
    #[error(
        "the data directory {path} lacks {missing:?}, although it holds other data of a node; restore it from a \
         backup, or, if this node has peers, replace it by a new node in an empty directory"
    )]
    Partial {
        /// The data directory.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// A node was about to join a cluster when it stopped.
    #[error(
        "the data directory {path} belongs to a node that has not joined its cluster yet; run `mainstay join` with the \
         same ticket again"
    )]
    JoinUnfinished {
        /// The data directory.
        path: PathBuf,
    },
    /// A recovery was interrupted.
    #[error("in {path} a recovery was interrupted; run `mainstay node recover` again")]
    RecoveryUnfinished {
        /// The data directory.
        path: PathBuf,
    },
    /// There is nothing in it, and no cluster may be founded.
    #[error(
        "the data directory {path} is empty, and this node may not found a cluster; let it join with `mainstay join`, \
         or, if it has been a member, replace it by a new node"
    )]
    MustJoin {
        /// The data directory.
        path: PathBuf,
    },
    /// Its identity cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The system refused something else.
    #[error("cannot use the data directory {path}")]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A directory that is ours alone.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lock: File,
    pub(crate) identity: Identity,
}

/// Makes a directory ours, or says why it cannot be. A new or half-founded one
/// comes back empty, with an identity that is still to be founded, if a cluster
/// may be founded at all.
pub(crate) fn hold(path: &Path, may_found: bool) -> Result<Held, DirectoryError> {
    let lock = hold_any(path)?;
    if path.join(recover::MARK).exists() {
        return Err(DirectoryError::RecoveryUnfinished { path: path.to_owned() });
    }
    let in_directory = |source| DirectoryError::Io { path: path.to_owned(), source };
    let identity = match Identity::read(path)? {
        Some(identity) => identity,
        None if may_found => {
            let identity = Identity::draw()?;
            identity.write(path)?;
            identity
        }
        None => return Err(DirectoryError::MustJoin { path: path.to_owned() }),
    };
    match identity.stage {
        // The process ended while it founded the log; nobody was ever told
        // that something is stored.
        Stage::Founding if may_found => clear(path).map_err(in_directory)?,
        Stage::Founding => return Err(DirectoryError::MustJoin { path: path.to_owned() }),
        Stage::Joining => return Err(DirectoryError::JoinUnfinished { path: path.to_owned() }),
        Stage::Founded if !path.join(database::FILE).exists() => {
            return Err(DirectoryError::Partial { path: path.to_owned(), missing: database::FILE });
        }
        Stage::Founded => {}
    }
    Ok(Held { lock, identity })
}

/// Makes a directory ours, whoever's node lives in it, unless it holds
/// something else.
pub(crate) fn hold_any(path: &Path) -> Result<File, DirectoryError> {
    let is_new = make(path)?;
    let in_directory = |source| DirectoryError::Io { path: path.to_owned(), source };
    if let Some(kind) = filesystem::network_name_of(path).map_err(in_directory)? {
        return Err(DirectoryError::Network { path: path.to_owned(), kind });
    }
    if !is_new {
        refuse_foreign(path)?;
    }
    let lock = lock(path)?;
    if !path.join(identity::FILE).exists() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(in_directory)?;
    }
    Ok(lock)
}

/// Makes a directory for a node and what belongs to it, if it is missing:
/// private to its user, who may write there, on a local disk, in a directory
/// that exists.
///
/// # Errors
/// [`DirectoryError`] says what to do.
pub fn prepare(path: &Path) -> Result<(), DirectoryError> {
    make(path)?;
    // Asked for the user we act as; a read-only file system refuses root too.
    rustix::fs::accessat(rustix::fs::CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| DirectoryError::NotWritable { path: path.to_owned(), source: error.into() })?;
    let in_directory = |source| DirectoryError::Io { path: path.to_owned(), source };
    match filesystem::network_name_of(path).map_err(in_directory)? {
        Some(kind) => Err(DirectoryError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Makes the directory if it is missing and says whether it was.
fn make(path: &Path) -> Result<bool, DirectoryError> {
    let not_writable = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DirectoryError::NotWritable { path: path.to_owned(), source }
        }
        _ => DirectoryError::Io { path: path.to_owned(), source },
    };
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => return Ok(false),
        Ok(_) => return Err(DirectoryError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_writable(error)),
        Err(_) => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.exists() {
        return Err(DirectoryError::ParentMissing { path: path.to_owned(), parent: parent.to_owned() });
    }
    files::make_directory(path).map_err(not_writable)?;
    Ok(true)
}

/// Refuses a directory that has no identity but something else.
fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    if path.join(identity::FILE).exists() {
        return Ok(());
    }
    let in_directory = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => DirectoryError::NotWritable { path: path.to_owned(), source },
        _ => DirectoryError::Io { path: path.to_owned(), source },
    };
    for entry in std::fs::read_dir(path).map_err(in_directory)? {
        let name = entry.map_err(in_directory)?.file_name();
        let name = name.to_string_lossy();
        if name == database::FILE || name == snapshot::DIRECTORY || BESIDE_DATABASE.contains(&name.as_ref()) {
            return Err(DirectoryError::Partial { path: path.to_owned(), missing: identity::FILE });
        }
        let is_ours = name == LOCK || name == format!("{}.new", identity::FILE);
        if !is_ours && name != LOST_AND_FOUND {
            return Err(DirectoryError::Foreign { path: path.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let not_writable = |source| DirectoryError::NotWritable { path: path.to_owned(), source };
    let mut file = files::open(&path.join(LOCK)).map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(DirectoryError::InUse { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(DirectoryError::Io { path: path.to_owned(), source }),
    }
    // For people only; on a full disk the lock must work all the same.
    let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!(%error, "the lock file cannot say which process holds it");
    }
    Ok(file)
}

/// Removes what a log leaves in a directory.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    for name in [database::FILE, room::FILE].into_iter().chain(BESIDE_DATABASE) {
        files::remove(&path.join(name))?;
    }
    match std::fs::remove_dir_all(path.join(snapshot::DIRECTORY)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => files::sync_directory(path),
    }
}

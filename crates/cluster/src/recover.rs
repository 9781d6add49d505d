//! The last resort when the majority of a cluster is lost for good: what one
//! node still has becomes a cluster of its own.
//!
//! The state goes on, members and trust begin anew under new ids, and what was
//! there is set aside, not deleted. What only the lost nodes had is lost, and
//! **if one of them still lives there are two clusters that know nothing of
//! each other**. So whoever asks for it has to name the cluster that he gives up.
//!
//! The new files are made first, beside the old. Then one file after another
//! changes its place, the identity last; an interruption is finished by asking
//! again, and meanwhile nothing starts from a half-changed directory.

use crate::acquaintance;
use crate::database::{self, Database, LogError};
use crate::directory::{self, DirectoryError};
use crate::files;
use crate::identity::{self, ClusterId, Identity, IdentityError, Stage};
use crate::machine;
use crate::room::{self, Reserve, RoomGauge};
use crate::row::Row;
use crate::snapshot::{self, SnapshotError, Snapshots};
use crate::transplant::{Founded, TransplantError, transplant};
use control::State;
use control::state::{Transplant, Unsent};
use openraft::EntryPayload;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory in which the new files are made.
const NEW: &str = "recovery.new";
/// A file that says that the change of places has begun, and whence.
pub(crate) const MARK: &str = "recovery.unfinished";
/// Where it is written down what was done.
const REPORT: &str = "recovery.txt";
/// Bytes of entries in memory at a time.
const READ_BYTES: usize = 4 << 20;
/// Files of a node that the new one makes when it is founded.
const GOING: [&str; 7] =
    ["log.db-wal", "log.db-journal", "log.db-shm", "node.key", "node.crt", "cluster.key", acquaintance::FILE];
/// Files that are exchanged. The identity is the last.
const EXCHANGED: [&str; 4] = [database::FILE, snapshot::DIRECTORY, room::FILE, identity::FILE];

/// What a recovery did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The cluster that was given up.
    pub from: ClusterId,
    /// The new one.
    pub cluster: ClusterId,
    /// Index of the last entry of the old one that is in the new one.
    pub index: u64,
    /// The names of the nodes that do not belong to it.
    pub forgotten: Vec<String>,
    /// Where the old files are.
    pub aside: PathBuf,
}

/// Why nothing was recovered, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Another cluster was named.
    #[error("the data directory {path} belongs to cluster {cluster}, and {named:?} was named to be given up")]
    OtherCluster {
        /// The data directory.
        path: PathBuf,
        /// Whose it is.
        cluster: ClusterId,
        /// Which one was named.
        named: String,
    },
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The new cluster cannot be founded.
    #[error("cannot found the new cluster")]
    Transplant(#[from] TransplantError),
    /// The system refused something else. Ask again; nothing is lost.
    #[error("cannot change the data directory {path}")]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes the directory of a node a cluster of one. The node must not run.
/// `confirmed` is the id of the cluster that is given up. Blocks.
///
/// # Errors
/// [`RecoverError`]; the directory is as it was, or asking again goes on.
pub fn recover(path: &Path, confirmed: &str) -> Result<Recovered, RecoverError> {
    let _lock = directory::hold_any(path)?;
    let in_directory = |source| RecoverError::Io { path: path.to_owned(), source };
    let new = path.join(NEW);
    if !path.join(MARK).exists() {
        prepare(path, &new, confirmed)?;
    }
    let recovered = read_mark(path).map_err(in_directory)?;
    if recovered.from.to_string() != confirmed {
        let (path, named) = (path.to_owned(), confirmed.to_owned());
        return Err(RecoverError::OtherCluster { path, cluster: recovered.from, named });
    }
    change_places(path, &new, &recovered.aside).map_err(in_directory)?;
    finish(path, &new, &recovered).map_err(in_directory)?;
    Ok(recovered)
}

/// Makes the new files, and last the mark that says so.
fn prepare(path: &Path, new: &Path, confirmed: &str) -> Result<(), RecoverError> {
    let in_directory = |source| RecoverError::Io { path: path.to_owned(), source };
    let identity = identity_of(path)?;
    if identity.cluster.to_string() != confirmed {
        let (path, named) = (path.to_owned(), confirmed.to_owned());
        return Err(RecoverError::OtherCluster { path, cluster: identity.cluster, named });
    }
    remove_all(new).map_err(in_directory)?;
    let state = last_state(path, identity.cluster)?;
    let how = Transplant { from: confirmed, actor: "mainstay node recover", unsent: Unsent::Sent };
    let founded = transplant(new, &state.transplanted(&how))?;
    let others = state.members().map(|known| &known.member).filter(|member| member.id.0 != identity.node);
    let forgotten: Vec<&str> = others.map(|member| member.name.as_str()).collect();
    let (from, index) = (identity.cluster, state.applied_index());
    let text = format!("{from}\n{}\n{index}\n{}\n", founded.cluster, forgotten.join(" "));
    files::replace(path, MARK, text.as_bytes()).map_err(in_directory)
}

/// Says whose a directory is.
///
/// # Errors
/// It is nobody's yet, or that cannot be read.
pub fn identity_of(path: &Path) -> Result<Founded, DirectoryError> {
    match Identity::read(path)? {
        Some(Identity { cluster, node, stage: Stage::Founded }) => Ok(Founded { cluster, node }),
        Some(Identity { stage: Stage::Joining, .. }) => Err(DirectoryError::JoinUnfinished { path: path.to_owned() }),
        Some(Identity { stage: Stage::Founding, .. }) | None => {
            Err(DirectoryError::Partial { path: path.to_owned(), missing: identity::FILE })
        }
    }
}

/// The state after everything that is in the log, whether or not this node
/// knows that it was committed: what was acknowledged is among it.
fn last_state(path: &Path, cluster: ClusterId) -> Result<State, RecoverError> {
    let in_directory = |source| RecoverError::Io { path: path.to_owned(), source };
    let (database, _) = Database::open(path, None)?;
    let reserve = Reserve::open(path, 0, Arc::new(RoomGauge::new())).map_err(in_directory)?;
    let (_, loaded) = Snapshots::open(path, cluster, Arc::new(reserve))?;
    let (reached, mut state) = match loaded.newest {
        Some((kept, state)) => (kept.position(), state),
        None => (None, State::default()),
    };
    let committed = database.meta().committed;
    let mut position = reached.map_or(0, |position| position + 1);
    let end = database.meta().last.map_or(0, |id| id.position + 1);
    while position < end {
        let rows = database.read(position, end, READ_BYTES)?;
        position = rows.last().map_or(end, |row| row.id.position + 1);
        for row in rows {
            apply(&mut state, &row, database.path())?;
        }
    }
    database.close(committed)?;
    Ok(state)
}

fn apply(state: &mut State, row: &Row, path: &Path) -> Result<(), LogError> {
    let entry = row.decode().map_err(|error| LogError::Unreadable {
        path: path.to_owned(),
        position: row.id.position,
        source: error.into(),
    })?;
    if let EntryPayload::Normal(group) = entry.payload {
        for entry in group.entries() {
            machine::apply_to(state, entry);
        }
    }
    Ok(())
}

fn read_mark(path: &Path) -> io::Result<Recovered> {
    let text = std::fs::read_to_string(path.join(MARK))?;
    let mut lines = text.lines();
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{MARK} is damaged"));
    let from = lines.next().and_then(ClusterId::parse).ok_or_else(wrong)?;
    let cluster = lines.next().and_then(ClusterId::parse).ok_or_else(wrong)?;
    let index = lines.next().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    // Names of nodes have no spaces.
    let forgotten = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Ok(Recovered { from, cluster, index, forgotten, aside: path.join(format!("before-recovery-{from}")) })
}

/// Moves each old file aside and the new one into its place. A file that is
/// still among the new ones has not been exchanged yet.
fn change_places(path: &Path, new: &Path, aside: &Path) -> io::Result<()> {
    files::make_directory(aside)?;
    for name in GOING {
        if path.join(name).exists() {
            std::fs::rename(path.join(name), aside.join(name))?;
        }
    }
    for name in EXCHANGED.into_iter().filter(|name| new.join(name).exists()) {
        if path.join(name).exists() {
            std::fs::rename(path.join(name), aside.join(name))?;
        }
        // Before the identity changes, everything else must have.
        files::sync_directory(path)?;
        std::fs::rename(new.join(name), path.join(name))?;
    }
    files::sync_directory(aside)?;
    files::sync_directory(path)
}

fn finish(path: &Path, new: &Path, recovered: &Recovered) -> io::Result<()> {
    let Recovered { from, cluster, index, forgotten, aside } = recovered;
    let text = format!(
        "Cluster {from} was given up, and cluster {cluster} goes on from its entry {index}.\nThese nodes do not belong \
         to it: {}.\nThe former files of this node are in {}; once all is well they can be deleted.\n",
        if forgotten.is_empty() { "none".to_owned() } else { forgotten.join(", ") },
        aside.display()
    );
    files::replace(path, REPORT, text.as_bytes())?;
    remove_all(new)?;
    files::remove(&path.join(MARK))?;
    files::sync_directory(path)
}

fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

//! Founds a new cluster with a state that comes from elsewhere.
//!
//! What a restored backup becomes: a directory with ids of its own, whose log
//! begins behind a snapshot that holds the state, as if everything before had
//! been dropped from it. A node is opened on it like on any other. **The
//! directory counts as founded only when snapshot and log are on disk.**

use crate::database::{Database, LogError};
use crate::directory::{self, DirectoryError};
use crate::identity::{ClusterId, IdentityError, Stage};
use crate::meta::Meta;
use crate::room::{Reserve, RoomGauge};
use crate::snapshot::{SnapshotError, Snapshots};
use crate::stored::{StoredLogId, StoredVote};
use crate::types::{Membership, NodeId, Peer, StoredMembership, Vote};
use control::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the log begins: the snapshot stands in the place of one raft entry,
/// which the only node appended in its first term.
const TERM: u64 = 1;
const POSITION: u64 = 1;

/// Why no cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum TransplantError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A node lives in it already.
    #[error("{path} holds the log of a node already; name an empty directory")]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The identity cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A cluster that was founded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founded {
    /// Its name.
    pub cluster: ClusterId,
    /// Its only node.
    pub node: NodeId,
}

/// Founds a cluster of one in an empty or missing directory, whose first state
/// is the one given. Blocks until all is on disk.
///
/// # Errors
/// [`TransplantError`]; what was written so far is cleared away when the
/// directory is used again.
pub fn transplant(directory: &Path, state: &State) -> Result<Founded, TransplantError> {
    let held = directory::hold(directory, true)?;
    let mut identity = held.identity;
    if identity.stage != Stage::Founding {
        return Err(TransplantError::Taken { path: directory.to_owned() });
    }
    let begin = StoredLogId { term: TERM, node: identity.node, position: POSITION };
    save(directory, &identity.cluster, state, begin)?;
    let meta = Meta {
        vote: Some(StoredVote::from(Vote::new_committed(TERM, identity.node))),
        committed: Some(begin),
        purged: Some(begin),
        last: Some(begin),
        ..Meta::new(identity.cluster, identity.node)
    };
    Database::create(directory, None, meta)?.close(Some(begin))?;
    identity.stage = Stage::Founded;
    identity.write(directory)?;
    Ok(Founded { cluster: identity.cluster, node: identity.node })
}

fn save(directory: &Path, cluster: &ClusterId, state: &State, begin: StoredLogId) -> Result<(), TransplantError> {
    let gauge = Arc::new(RoomGauge::new());
    // The node that is opened here makes its own reserve.
    let reserve = Reserve::open(directory, 0, gauge)
        .map_err(|source| TransplantError::Io { path: directory.to_owned(), source })?;
    let (snapshots, _) = Snapshots::open(directory, *cluster, Arc::new(reserve))?;
    let only = BTreeMap::from([(begin.node, Peer::default())]);
    let membership = Membership::new(vec![BTreeSet::from([begin.node])], only);
    snapshots.save(state, Some(begin), &StoredMembership::new(Some(begin.into()), membership))?;
    Ok(())
}

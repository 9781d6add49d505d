//! Everything that is found out about a data directory before the node runs.
//!
//! Blocking work, done on a thread for it. **Nothing is acknowledged before
//! all of it succeeded**, and what is refused here is left as it was found.

use crate::acquaintance::{Acquaintance, AcquaintanceError};
use crate::credentials::CredentialsError;
use crate::database::{self, Database, LogError, RowFact};
use crate::directory::{self, DirectoryError, Held};
use crate::failure::Failure;
use crate::identity::{ClusterId, Identity, IdentityError, Stage};
use crate::marks::{self, Mark};
use crate::meta::Meta;
use crate::node::Options;
use crate::observer::Observer;
use crate::room::{self, Reserve, RoomGauge};
use crate::snapshot::{Loaded, SnapshotError, Snapshots};
use crate::types::NodeId;
use control::State;
use openraft::EntryPayload;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of entries in memory at a time while they are repeated.
const REPEAT_BYTES: usize = 4 << 20;

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The identity cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The log belongs to another node.
    #[error("{path} belongs to node {found}, the directory to node {expected}; it holds files of two nodes")]
    Mixed {
        /// The log.
        path: PathBuf,
        /// Whose log it is.
        found: NodeId,
        /// Whose directory it is.
        expected: NodeId,
    },
    /// No snapshot is left that reaches back to where the log begins.
    #[error(
        "the log in {path} begins at position {first}, but no whole snapshot reaches that far (damaged: {damaged:?}); \
         restore the directory from a backup, or, if this node has peers, replace it by a new node"
    )]
    SnapshotsLost {
        /// The data directory.
        path: PathBuf,
        /// Where the log begins.
        first: u64,
        /// Snapshots that were damaged, under their present names.
        damaged: Vec<PathBuf>,
    },
    /// History has seen entries that the log does not have.
    #[error(
        "the log in {path} ends at entry {log}, but history holds results up to entry {history}: entries that were \
         acknowledged are gone; restore the directory from a backup that has log and history of one moment"
    )]
    BehindHistory {
        /// The data directory.
        path: PathBuf,
        /// Index of the log's last entry.
        log: u64,
        /// Index of the last entry in history.
        history: u64,
    },
    /// The reserve for a full disk cannot be made.
    #[error("cannot make the reserve in {path}")]
    Reserve {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system refused a thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Whom it knew when it joined cannot be read.
    #[error(transparent)]
    Acquaintance(#[from] AcquaintanceError),
    /// It has no certificate to show to other nodes.
    #[error("this node has no certificate to show to other nodes")]
    Credentials(#[from] CredentialsError),
    /// It cannot listen for other nodes.
    #[error("cannot listen for other nodes")]
    Listen(#[source] std::io::Error),
    /// The system gave no random bytes.
    #[error("cannot draw a number for this start")]
    Random(#[source] std::io::Error),
    /// It failed while the log was replayed.
    #[error("the log could not be replayed")]
    Replay(#[source] Arc<Failure>),
    /// Replication did not start.
    #[error("replication did not start: {0}")]
    Engine(String),
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Whether the cluster was founded just now.
    pub is_founded_now: bool,
    /// Index of the last entry in the snapshot; 0 without one.
    pub snapshot_index: u64,
    /// Index of the last entry that was in the log; entries behind the
    /// snapshot up to here were applied again.
    pub log_index: u64,
    /// Indices that history lacks and the log no longer has; empty as a rule.
    pub history_gap: Range<u64>,
    /// Snapshots that were damaged, under their present names.
    pub damaged_snapshots: Vec<PathBuf>,
}

/// A directory that is ready to run on.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) identity: Identity,
    pub(crate) lock: File,
    pub(crate) database: Database,
    pub(crate) rows: VecDeque<RowFact>,
    pub(crate) marks: BTreeMap<NodeId, Mark>,
    pub(crate) told: Acquaintance,
    pub(crate) gauge: Arc<RoomGauge>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) snapshots: Snapshots,
    pub(crate) state: State,
    pub(crate) recovery: Recovery,
}

impl Prepared {
    pub(crate) fn new(path: &Path, options: &Options, observer: &mut impl Observer) -> Result<Self, OpenError> {
        let Held { lock, identity } = directory::hold(path, options.may_found)?;
        let vfs = options.vfs.as_deref();
        let (database, rows) = match identity.stage {
            Stage::Founding => {
                let meta = Meta::new(identity.cluster, identity.node);
                (Database::create(path, vfs, meta)?, VecDeque::new())
            }
            Stage::Joining | Stage::Founded => open_database(path, vfs)?,
        };
        let meta = database.meta();
        if (meta.cluster, meta.node) != (identity.cluster, identity.node) {
            let path = path.join(database::FILE);
            return Err(OpenError::Mixed { path, found: meta.node, expected: identity.node });
        }
        let marks = read_marks(path, &database.marks()?)?;
        let told = Acquaintance::read(path)?;
        let gauge = Arc::new(RoomGauge::new());
        let reserve = Reserve::open(path, options.reserve_bytes, Arc::clone(&gauge))
            .map_err(|source| OpenError::Reserve { path: path.to_owned(), source })?;
        let reserve = Arc::new(reserve);
        let (snapshots, loaded) = Snapshots::open(path, identity.cluster, Arc::clone(&reserve))?;
        refuse_lost_snapshots(path, meta, &loaded)?;
        let recovery = recovery(&identity, meta, &rows, &loaded);
        let state = loaded.newest.map_or_else(State::default, |(_, state)| state);
        let mut prepared =
            Self { identity, lock, database, rows, marks, told, gauge, reserve, snapshots, state, recovery };
        prepared.check_history(path, options.durable_history)?;
        observer.replay_begins(prepared.recovery.log_index);
        prepared.repeat(options.durable_history, observer)?;
        Ok(prepared)
    }

    fn check_history(&self, path: &Path, durable: Option<u64>) -> Result<(), OpenError> {
        let log = self.recovery.log_index;
        match durable {
            Some(history) if history > log => Err(OpenError::BehindHistory { path: path.to_owned(), log, history }),
            _ => Ok(()),
        }
    }

    /// Reports the entries that the snapshot holds and history does not.
    fn repeat(&mut self, durable: Option<u64>, observer: &mut impl Observer) -> Result<(), OpenError> {
        let (Some(kept), Some(durable)) = (self.snapshots.newest(), durable) else { return Ok(()) };
        let Some(end) = kept.position().map(|position| position + 1) else { return Ok(()) };
        let start = self.first_position();
        let held: u64 = self.rows.iter().take((end - start.min(end)) as usize).map(|row| u64::from(row.count)).sum();
        let mut index = kept.index - held;
        if durable < index {
            self.recovery.history_gap = durable + 1..index + 1;
        }
        let mut position = start;
        while position < end {
            let rows = self.database.read(position, end, REPEAT_BYTES)?;
            position = rows.last().map_or(end, |row| row.id.position + 1);
            for row in rows {
                let entry = row.decode().map_err(|error| LogError::Unreadable {
                    path: self.database.path().to_owned(),
                    position: row.id.position,
                    source: error.into(),
                })?;
                let EntryPayload::Normal(group) = entry.payload else { continue };
                for entry in group.entries() {
                    index += 1;
                    if index > durable {
                        observer.repeated(index, entry);
                    }
                }
            }
        }
        Ok(())
    }

    fn first_position(&self) -> u64 {
        self.database.meta().purged.map_or(0, |id| id.position + 1)
    }
}

/// Opens the log. It is marked as open before anything else, so a full disk is
/// met here first; the reserve is for that too.
fn open_database(path: &Path, vfs: Option<&str>) -> Result<(Database, VecDeque<RowFact>), LogError> {
    match Database::open(path, vfs) {
        Err(error) if error.is_full() && room::give_up(path) => Database::open(path, vfs),
        opened => opened,
    }
}

/// What is remembered of other nodes.
fn read_marks(path: &Path, bytes: &[u8]) -> Result<BTreeMap<NodeId, Mark>, LogError> {
    let path = path.join(database::FILE);
    match (marks::decode(bytes), bytes.first()) {
        (Some(marks), _) => Ok(marks),
        (None, Some(&found)) if found > marks::FORMAT => Err(LogError::Newer { path, found, supported: marks::FORMAT }),
        (None, _) => {
            let what = "what it remembers of other nodes is in no form that is known".to_owned();
            Err(LogError::Damaged { path, what })
        }
    }
}

fn refuse_lost_snapshots(path: &Path, meta: &Meta, loaded: &Loaded) -> Result<(), OpenError> {
    let reached = loaded.newest.as_ref().and_then(|(kept, _)| kept.position());
    match meta.purged.map(|id| id.position) {
        Some(purged) if reached.is_none_or(|reached| reached < purged) => {
            Err(OpenError::SnapshotsLost { path: path.to_owned(), first: purged + 1, damaged: loaded.damaged.clone() })
        }
        _ => Ok(()),
    }
}

fn recovery(identity: &Identity, meta: &Meta, rows: &VecDeque<RowFact>, loaded: &Loaded) -> Recovery {
    let newest = loaded.newest.as_ref().map(|(kept, _)| kept);
    let snapshot_index = newest.map_or(0, |kept| kept.index);
    let first = meta.purged.map_or(0, |id| id.position + 1);
    let behind = newest.and_then(|kept| kept.position()).map_or(0, |position| position + 1);
    let held = rows.iter().skip((behind.saturating_sub(first)) as usize);
    Recovery {
        cluster: identity.cluster,
        node: identity.node,
        is_founded_now: identity.stage == Stage::Founding,
        snapshot_index,
        log_index: snapshot_index + held.map(|row| u64::from(row.count)).sum::<u64>(),
        history_gap: 0..0,
        damaged_snapshots: loaded.damaged.clone(),
    }
}

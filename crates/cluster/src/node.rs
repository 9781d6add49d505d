//! A node: the room's front door.

use crate::clock::{self, ClockEvent, ClockModel};
use crate::failure::{Failure, FailureSlot};
use crate::filesystem;
use crate::housekeeping::{Housekeeper, SnapshotPolicy};
use crate::identity::Stage;
use crate::machine::{Machine, Shared};
use crate::network::NoNetwork;
use crate::observer::Observer;
use crate::open::{OpenError, Prepared, Recovery};
use crate::propose::{self, Proposal, ProposeError, Proposed, Proposer};
use crate::room::{Room, RoomGauge};
use crate::snapshot::SnapshotError;
use crate::store::LogStore;
use crate::types::{Group, NodeId, Peer, Raft};
use crate::writer::Writer;
use control::State;
use model::entry::Body;
use model::time::Timestamp;
use openraft::{Config, ServerState, SnapshotPolicy as RaftSnapshotPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Size of the reserve for a full disk when nothing else is said: hours of
/// transitions and deliveries.
pub const RESERVE_BYTES_DEFAULT: u64 = 64 << 20;
/// Clock events that may wait to be taken; jumps are rare.
const CLOCK_EVENTS: usize = 16;
/// Longest wait for the only voter to lead. It needs two flushes.
const LEAD_WAIT: Duration = Duration::from_secs(30);
/// How long a request for a snapshot may go unheard before it is repeated.
const SNAPSHOT_REPEAT: Duration = Duration::from_millis(200);
/// Longest wait for a snapshot that somebody asked for.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for the observer to end.
const END_WAIT: Duration = Duration::from_secs(10);
/// Heartbeats between nodes, and with them the pace of openraft's timer. One
/// voter needs neither, so the timer is kept slow.
const HEARTBEAT_MS: u64 = 250;
const ELECTION_MS: std::ops::Range<u64> = 1_000..2_000;

/// How a node is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Index up to which the owner's history is durable, for an owner that
    /// keeps one: entries behind it are reported to the observer again, and
    /// the log keeps them until [`Node::set_replay_floor`] moves on. `None`
    /// for an owner without history.
    pub durable_history: Option<u64>,
    /// Size of the file that is given up when the disk is full.
    pub reserve_bytes: u64,
    /// Where other nodes will reach this one; written down when the cluster is founded.
    pub address: String,
    /// From when on snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// Name of a SQLite file layer to use instead of the system's; for tests.
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durable_history: None,
            reserve_bytes: RESERVE_BYTES_DEFAULT,
            address: String::new(),
            snapshots: SnapshotPolicy::default(),
            vfs: None,
        }
    }
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Index of the last entry applied.
    pub applied_index: u64,
    /// Index of the last entry in the newest snapshot; 0 without one.
    pub snapshot_index: u64,
    /// Position of the last raft entry in the log. Positions count what
    /// travels together as one, and openraft's own entries too; they are not
    /// indices.
    pub last_position: u64,
    /// Position of the last raft entry applied; behind `last_position` only
    /// while something is being written.
    pub applied_position: u64,
    /// The leader's term.
    pub term: u64,
    /// Whether this node leads.
    pub is_leader: bool,
    /// Who leads, if that is known.
    pub leader: Option<NodeId>,
    /// Bytes of entries in the log.
    pub log_bytes: u64,
    /// Bytes that may still be written to the disk; 0 if the system does not say.
    pub free_bytes: u64,
    /// Whether the disk is full and commands are refused.
    pub is_tight: bool,
    /// How much room there is.
    pub room: Room,
}

/// Why a node did not close cleanly. Nothing acknowledged is lost; the next
/// start replays more.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The last snapshot could not be written.
    #[error("the last snapshot could not be written")]
    Snapshot(#[source] SnapshotError),
    /// The log could not be closed.
    #[error("the log could not be closed")]
    Log(#[source] crate::database::LogError),
}

/// One node of a cluster, which may be all of it. Clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("directory", &self.0.directory).finish_non_exhaustive()
    }
}

struct Inner {
    directory: PathBuf,
    raft: Raft,
    store: LogStore,
    shared: Arc<Shared>,
    gauge: Arc<RoomGauge>,
    failure: FailureSlot,
    floor: Arc<AtomicU64>,
    recovery: Recovery,
    proposals: mpsc::Sender<Proposal>,
    clock_events: Mutex<Option<mpsc::Receiver<ClockEvent>>>,
    ahead: Arc<clock::Ahead>,
    closing: watch::Sender<bool>,
    /// The tasks and the end of the machine's thread; taken when it closes.
    running: tokio::sync::Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    proposer: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    machine: oneshot::Receiver<()>,
}

impl Node {
    /// Opens the node that lives in a directory; an empty or missing directory
    /// founds a cluster of one. Returns when everything in the log is applied
    /// and entries can be proposed.
    ///
    /// The directory must be the node's alone when it is founded; later the
    /// owner may keep other things in it.
    ///
    /// # Errors
    /// [`OpenError`] says what to do. The directory is as it was, except that
    /// a damaged snapshot has got another name.
    pub async fn open(directory: &Path, options: Options, observer: impl Observer) -> Result<Self, OpenError> {
        let path = directory.to_owned();
        let wanted = options.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            let mut observer = observer;
            Prepared::new(&path, &wanted, &mut observer).map(|prepared| (prepared, observer))
        });
        let (prepared, observer) = match prepared.await {
            Ok(prepared) => prepared?,
            Err(error) => return Err(OpenError::Engine(error.to_string())),
        };
        Self::run(directory, &options, prepared, observer).await
    }

    /// Writes an entry to the log and returns when it is on disk and applied.
    /// Waits while too many others wait. Dropping the future does not take the
    /// entry back.
    ///
    /// # Errors
    /// [`ProposeError`] says for each case whether the entry is in the log.
    pub async fn propose(&self, body: Body) -> Result<Proposed, ProposeError> {
        propose::admit(&body, self.0.gauge.get())?;
        let (reply, answer) = oneshot::channel();
        let sent = self.0.proposals.send(Proposal { body, reply }).await;
        sent.map_err(|_| ProposeError::Stopped)?;
        answer.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// The state after the last entry applied; cheap.
    pub fn state(&self) -> State {
        self.0.shared.state()
    }

    /// The time a stamp would have now: never far from the last stamp, and not
    /// moved by a wall clock that jumps.
    pub fn now(&self) -> Timestamp {
        self.0.ahead.now().max(self.0.shared.now())
    }

    /// Follows the index of the last entry applied.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.shared.watch()
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// Says up to which index the owner's history is durable. The log keeps
    /// what lies behind it, so an owner that drops results on purpose moves
    /// the floor all the same. A floor never goes back.
    pub fn set_replay_floor(&self, index: u64) {
        self.0.floor.fetch_max(index, Ordering::AcqRel);
    }

    /// News about the clocks. The first caller gets the receiver, later ones `None`.
    pub fn clock_events(&self) -> Option<mpsc::Receiver<ClockEvent>> {
        self.0.clock_events.lock().expect("no panic while it is held").take()
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let inner = &self.0;
        let metrics = inner.raft.metrics().borrow().clone();
        let published = inner.shared.published();
        let room = inner.gauge.get();
        let (last_position, log_bytes) = {
            let view = inner.store.view();
            (view.last.map_or(0, |id| id.index), view.bytes)
        };
        Status {
            applied_index: published.state.applied_index(),
            snapshot_index: inner.shared.snapshots().newest().map_or(0, |kept| kept.index),
            last_position,
            applied_position: published.last.map_or(0, |id| id.index),
            term: metrics.current_term,
            is_leader: metrics.state == ServerState::Leader,
            leader: metrics.current_leader,
            log_bytes,
            free_bytes: filesystem::free_bytes(&inner.directory).unwrap_or(0),
            is_tight: room != Room::Ample,
            room,
        }
    }

    /// Takes a snapshot that holds everything applied so far.
    ///
    /// # Errors
    /// [`SnapshotError::Full`] if there is no room for it, which harms
    /// nothing; [`SnapshotError::Stopped`] if the node stops meanwhile.
    pub async fn snapshot_now(&self) -> Result<(), SnapshotError> {
        let full = || SnapshotError::Full { path: self.0.directory.join(crate::snapshot::DIRECTORY) };
        if self.0.gauge.get() == Room::Exhausted {
            // openraft waits for the log, it could not even begin.
            return Err(full());
        }
        let wanted = self.0.shared.published().last.map(|id| id.index);
        let taken = tokio::time::timeout(SNAPSHOT_WAIT, async {
            let mut facts = self.0.shared.snapshot_facts();
            loop {
                let newest = self.0.shared.snapshots().newest().and_then(|kept| kept.position());
                if newest >= wanted {
                    return Ok(());
                }
                // One that is being written already is waited for; it may have
                // begun too early, then this goes round again.
                let seen = facts.borrow_and_update().attempts;
                self.0.raft.trigger().snapshot().await.map_err(|_| SnapshotError::Stopped)?;
                // openraft passes over a request while it still counts the one
                // before as under way, so the request is repeated.
                let facts = tokio::select! {
                    facts = facts.wait_for(|facts| facts.attempts > seen) => *facts.map_err(|_| SnapshotError::Stopped)?,
                    _ = self.0.failure.wait() => return Err(SnapshotError::Stopped),
                    () = tokio::time::sleep(SNAPSHOT_REPEAT) => continue,
                };
                if facts.is_full {
                    return Err(full());
                }
            }
        });
        taken.await.unwrap_or(Err(SnapshotError::TimedOut))
    }

    /// Waits until the node stops by itself, and says why; for ever if it does not.
    pub async fn failed(&self) -> Arc<Failure> {
        self.0.failure.wait().await
    }

    /// Closes the node: carries out what waits, takes a last snapshot, so that
    /// the next start has nothing to replay, and closes the files. The observer
    /// is dropped. Closing twice does nothing.
    ///
    /// # Errors
    /// [`CloseError`]; the node is closed all the same and nothing
    /// acknowledged is lost.
    pub async fn close(&self) -> Result<(), CloseError> {
        let Some(running) = self.0.running.lock().await.take() else { return Ok(()) };
        // Else a disk without any room would keep the node from ending.
        self.0.store.writer().stop_waiting_for_room();
        self.0.closing.send_replace(true);
        join(running.proposer).await;
        join(running.housekeeper).await;
        let snapshot = if self.0.failure.get().is_none() { self.snapshot_now().await } else { Ok(()) };
        // An error is the join error of a task that has ended anyway.
        let _ = self.0.raft.shutdown().await;
        // The thread ends after openraft's worker; one that hangs in the
        // observer must not keep the log open.
        if tokio::time::timeout(END_WAIT, running.machine).await.is_err() {
            tracing::error!("the observer of the log does not end");
        }
        let closed = self.0.store.writer().close().await;
        match snapshot {
            Ok(()) | Err(SnapshotError::Full { .. }) => {}
            Err(error) => return Err(CloseError::Snapshot(error)),
        }
        // After a failure the thread has closed the files itself.
        match closed {
            Err(_) if self.0.failure.get().is_some() => Ok(()),
            closed => closed.map_err(CloseError::Log),
        }
    }

    async fn run(
        directory: &Path,
        options: &Options,
        prepared: Prepared,
        observer: impl Observer,
    ) -> Result<Self, OpenError> {
        let failure = FailureSlot::new();
        let identity = prepared.identity;
        let meta = prepared.database.meta().clone();
        let writer = Writer::start(prepared.database, prepared.reserve, Some(prepared.lock), failure.clone())
            .map_err(OpenError::Thread)?;
        let store = LogStore::new(&meta, prepared.rows, writer, failure.clone());
        let shared = Shared::new(prepared.snapshots, prepared.state, failure.clone());
        let (machine, machine_end) = Machine::start(Arc::clone(&shared), observer).map_err(OpenError::Thread)?;
        let started = start_raft(&identity, options, &store, machine).await;
        let raft = started.map_err(|error| match failure.get() {
            Some(failure) => OpenError::Replay(failure),
            None => error,
        })?;
        if identity.stage == Stage::Founding {
            crate::identity::Identity { stage: Stage::Founded, ..identity }.write(directory)?;
        }
        let (proposals, queue) = mpsc::channel(propose::QUEUE_LENGTH);
        let (events, clock_events) = mpsc::channel(CLOCK_EVENTS);
        let (wall, boot) = clock::read();
        let (clock, event) = ClockModel::new(wall, boot, shared.now());
        if let Some(event) = event {
            tracing::warn!(%event, "clock");
            // The channel is empty.
            let _ = events.try_send(event);
        }
        let ahead = Arc::new(clock::Ahead::default());
        ahead.follow(&clock);
        let (closing, is_closing) = watch::channel(false);
        let floor = Arc::new(AtomicU64::new(options.durable_history.unwrap_or(u64::MAX)));
        let proposer = Proposer {
            raft: raft.clone(),
            shared: Arc::clone(&shared),
            gauge: Arc::clone(&prepared.gauge),
            clock,
            ahead: Arc::clone(&ahead),
            clock_events: events,
        };
        let housekeeper = Housekeeper {
            raft: raft.clone(),
            store: store.clone(),
            shared: Arc::clone(&shared),
            gauge: Arc::clone(&prepared.gauge),
            failure: failure.clone(),
            policy: options.snapshots,
            floor: Arc::clone(&floor),
        };
        let running = Running {
            proposer: tokio::spawn(proposer.run(queue, is_closing.clone())),
            housekeeper: tokio::spawn(housekeeper.run(is_closing)),
            machine: machine_end,
        };
        Ok(Self(Arc::new(Inner {
            directory: directory.to_owned(),
            raft,
            store,
            shared,
            gauge: prepared.gauge,
            failure,
            floor,
            recovery: prepared.recovery,
            proposals,
            clock_events: Mutex::new(Some(clock_events)),
            ahead,
            closing,
            running: tokio::sync::Mutex::new(Some(running)),
        })))
    }
}

async fn start_raft(
    identity: &crate::identity::Identity,
    options: &Options,
    store: &LogStore,
    machine: Machine,
) -> Result<Raft, OpenError> {
    let engine = |error: &dyn std::fmt::Display| OpenError::Engine(error.to_string());
    let config = Config {
        cluster_name: identity.cluster.to_string(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.start,
        election_timeout_max: ELECTION_MS.end,
        // Both are decided by the housekeeper.
        snapshot_policy: RaftSnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    let raft = Raft::new(identity.node, Arc::new(config), NoNetwork, store.clone(), machine)
        .await
        .map_err(|error| engine(&error))?;
    if identity.stage == Stage::Founding {
        let voters = BTreeMap::from([(identity.node, Peer { address: options.address.clone() })]);
        raft.initialize(voters).await.map_err(|error| engine(&error))?;
    }
    // Asked of the core itself: the metrics are still empty at this moment.
    let voters = raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect::<Vec<_>>());
    if voters.await.map_err(|error| engine(&error))? == [identity.node] {
        lead(&raft).await.map_err(|error| engine(&error))?;
    }
    Ok(raft)
}

/// Makes the only voter lead at once, and waits until everything that is in
/// the log is applied: an empty group behind it proves that.
async fn lead(raft: &Raft) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    raft.trigger().elect().await?;
    raft.wait(Some(LEAD_WAIT)).state(ServerState::Leader, "the only voter leads").await?;
    raft.client_write(Group::new(Vec::new())).await?;
    Ok(())
}

/// Waits for a task; a panic in it was reported when it happened.
async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a task of the node ended badly");
    }
}

//! A node: the room's front door.

use crate::clock::{self, ClockEvent};
use crate::failure::Failure;
use crate::forward::{self, ReadError};
use crate::found::{self, FoundError};
use crate::handover::{self, HandOverError};
use crate::housekeeping::SnapshotPolicy;
use crate::identity::ClusterId;
use crate::invite::{self, InviteError, InviteOptions};
use crate::net::Ticket;
use crate::observer::Observer;
use crate::open::{OpenError, Prepared, Recovery};
use crate::parts::Parts;
use crate::propose::{ProposeError, Proposed};
use crate::remove::{self, RemoveError};
use crate::room::Room;
use crate::service::{AskError, PeerService};
use crate::snapshot::SnapshotError;
use crate::start::{self, Running};
use crate::status::{self, PeerStatus, Status};
use crate::timing::Profile;
use control::State;
use model::entry::Body;
use model::id::LocationId;
use model::member::{NodeFacts, NodeId, Role};
use model::time::Timestamp;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Size of the reserve for a full disk when nothing else is said: hours of
/// transitions and deliveries.
pub const RESERVE_BYTES_DEFAULT: u64 = 64 << 20;
/// How long a request for a snapshot may go unheard before it is repeated.
const SNAPSHOT_REPEAT: Duration = Duration::from_millis(200);
/// Longest wait for a snapshot that somebody asked for.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);
/// Where a node stands when nothing else is said.
const LOCATION_DEFAULT: &str = "local";

/// How a node is opened.
pub struct Options {
    /// Index up to which the owner's history is durable, for an owner that
    /// keeps one: entries behind it are reported to the observer again, and
    /// the log keeps them until [`Node::set_replay_floor`] moves on. `None`
    /// for an owner without history.
    pub durable_history: Option<u64>,
    /// Size of the file that is given up when the disk is full.
    pub reserve_bytes: u64,
    /// From when on snapshots are taken.
    pub snapshots: SnapshotPolicy,
    /// Name of a SQLite file layer to use instead of the system's; for tests.
    pub vfs: Option<String>,
    /// Whether an empty directory may found a cluster. One that is to join
    /// another, or ever belonged to one, must not.
    pub may_found: bool,
    /// Where other nodes are answered; `None` for a node that has no others.
    pub listen: Option<TcpListener>,
    /// How far apart the nodes are.
    pub profile: Profile,
    /// What this node says about itself.
    pub about: About,
    /// Answers what the front doors of other nodes ask.
    pub service: Option<Arc<dyn PeerService>>,
}

/// What a node says about itself; the others learn of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What people call it; empty to keep what the cluster knows.
    pub name: String,
    /// Where other nodes reach it, as host and port; empty for a node without others.
    pub address: String,
    /// Where it stands.
    pub location: LocationId,
    /// What it does. Given at the founding; later it is the invitation's.
    pub role: Role,
    /// What it says about its machine.
    pub facts: NodeFacts,
}

impl Default for About {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            location: LocationId::new(LOCATION_DEFAULT).expect("a legal id"),
            role: Role::Full,
            facts: NodeFacts::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durable_history: None,
            reserve_bytes: RESERVE_BYTES_DEFAULT,
            snapshots: SnapshotPolicy::default(),
            vfs: None,
            may_found: true,
            listen: None,
            profile: Profile::default(),
            about: About::default(),
            service: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { durable_history, reserve_bytes, snapshots, vfs, may_found, listen, profile, about, service: _ } =
            self;
        f.debug_struct("Options")
            .field("durable_history", durable_history)
            .field("reserve_bytes", reserve_bytes)
            .field("snapshots", snapshots)
            .field("vfs", vfs)
            .field("may_found", may_found)
            .field("listen", listen)
            .field("profile", profile)
            .field("about", about)
            .finish_non_exhaustive()
    }
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
pub struct Node(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("directory", &self.0.parts.directory).finish_non_exhaustive()
    }
}

/// What a node is made of: what its tasks share, and what ends them.
pub(crate) struct Inner {
    pub(crate) parts: Arc<Parts>,
    pub(crate) floor: Arc<AtomicU64>,
    pub(crate) recovery: Recovery,
    pub(crate) clock_events: Mutex<Option<mpsc::Receiver<ClockEvent>>>,
    pub(crate) ahead: Arc<clock::Ahead>,
    /// Where others will be answered, until they are.
    pub(crate) listen: Mutex<Option<TcpListener>>,
    pub(crate) closing: watch::Sender<bool>,
    /// The tasks and the end of the machine's thread; taken when it closes.
    pub(crate) running: tokio::sync::Mutex<Option<Running>>,
}

impl Drop for Inner {
    /// Connections do not end by themselves. A node that was closed has none.
    fn drop(&mut self) {
        if let (Some(hub), Ok(runtime)) = (self.parts.peers.hub().cloned(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { hub.close().await });
        }
    }
}

impl Node {
    /// Opens the node that lives in a directory; an empty or missing directory
    /// founds a cluster of one, if it may. A node that is all of its cluster
    /// returns when everything in its log is applied and entries can be
    /// proposed; one with others returns at once, and catches up with them.
    ///
    /// The directory must be the node's alone when it is founded; later the
    /// owner may keep other things in it.
    ///
    /// # Errors
    /// [`OpenError`] says what to do. The directory is as it was, except that
    /// a damaged snapshot has got another name.
    pub async fn open(directory: &Path, options: Options, observer: impl Observer) -> Result<Self, OpenError> {
        let path = directory.to_owned();
        let prepared = tokio::task::spawn_blocking(move || {
            let mut observer = observer;
            Prepared::new(&path, &options, &mut observer).map(|prepared| (prepared, options, observer))
        });
        let (prepared, options, observer) = match prepared.await {
            Ok(prepared) => prepared?,
            Err(error) => return Err(OpenError::Engine(error.to_string())),
        };
        start::start(directory, options, prepared, observer).await
    }

    /// Writes an entry to the log, wherever the leader is, and returns when a
    /// majority has it on disk and this node has applied it. Waits while too
    /// many others wait, and for an election. Dropping the future does not take
    /// the entry back.
    ///
    /// # Errors
    /// [`ProposeError`] says for each case whether the entry may be in the log.
    pub async fn propose(&self, body: Body) -> Result<Proposed, ProposeError> {
        forward::propose(&self.0.parts, body).await
    }

    /// Waits until this node has applied everything that any node had
    /// acknowledged before the call, so that [`Node::state`] shows it.
    ///
    /// # Errors
    /// [`ReadError::NoQuorum`] if no majority confirms it in time.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        forward::read_barrier(&self.0.parts).await
    }

    /// The state after the last entry applied; cheap.
    pub fn state(&self) -> State {
        self.0.parts.shared.state()
    }

    /// The time a stamp would have now: never far from the last stamp, and not
    /// moved by a wall clock that jumps.
    pub fn now(&self) -> Timestamp {
        self.0.ahead.now().max(self.0.parts.shared.now())
    }

    /// Follows the index of the last entry applied.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.parts.shared.watch()
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        NodeId(self.0.parts.me)
    }

    /// Its cluster.
    pub fn cluster(&self) -> ClusterId {
        self.0.parts.cluster
    }

    /// Follows whether this node leads and has a majority behind it. What only
    /// the leader does is done while it says so; the log decides all the same.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.0.parts.leads.subscribe()
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
        status::of(&self.0.parts)
    }

    /// How it sees the other nodes, by id.
    pub fn peers(&self) -> Vec<PeerStatus> {
        status::peers(&self.0.parts)
    }

    /// Makes this node the first member of its cluster and begins to answer
    /// others, if it leads, has an address, and there is no member yet. Called
    /// after opening, as often as one likes.
    ///
    /// # Errors
    /// [`FoundError`]; it can be tried again.
    pub async fn found_if_needed(&self) -> Result<(), FoundError> {
        found::found_if_needed(self).await
    }

    /// Leaves a way for one more node to join, and returns the ticket for it.
    ///
    /// # Errors
    /// [`InviteError`]; there is no invitation then, but for
    /// [`ProposeError::Unknown`], of which nobody has the ticket.
    pub async fn invite(&self, options: InviteOptions) -> Result<Ticket, InviteError> {
        invite::invite(&self.0.parts, options).await
    }

    /// Takes a node out of the cluster for ever. `key` is the command's: the
    /// same one again gets the same answer.
    ///
    /// # Errors
    /// [`RemoveError`] says what would help.
    pub async fn remove(&self, actor: &str, key: String, node: NodeId) -> Result<(), RemoveError> {
        remove::remove(&self.0.parts, actor, key, node.0).await
    }

    /// Hands the lead over to a node, whoever has it. Returns when it leads.
    ///
    /// # Errors
    /// [`HandOverError`]; the cluster goes on in any case.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), HandOverError> {
        handover::transfer(&self.0.parts, to.0).await
    }

    /// Asks the front door of another node, over a connection for large answers.
    ///
    /// # Errors
    /// [`AskError`] says whether the request may have been carried out.
    pub async fn ask(&self, node: NodeId, kind: u8, body: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, AskError> {
        let asked = status::ask(&self.0.parts, node.0, kind, body, timeout).await;
        asked.map_err(|error| AskError::new(node, error))
    }

    /// Takes a snapshot that holds everything applied so far.
    ///
    /// # Errors
    /// [`SnapshotError::Full`] if there is no room for it, which harms
    /// nothing; [`SnapshotError::Stopped`] if the node stops meanwhile.
    pub async fn snapshot_now(&self) -> Result<(), SnapshotError> {
        let full = || SnapshotError::Full { path: self.0.parts.directory.join(crate::snapshot::DIRECTORY) };
        if self.0.parts.gauge.get() == Room::Exhausted {
            // openraft waits for the log, it could not even begin.
            return Err(full());
        }
        let wanted = self.0.parts.shared.published().last.map(|id| id.index);
        let taken = tokio::time::timeout(SNAPSHOT_WAIT, async {
            let mut facts = self.0.parts.shared.snapshot_facts();
            loop {
                let newest = self.0.parts.shared.snapshots().newest().and_then(|kept| kept.position());
                if newest >= wanted {
                    return Ok(());
                }
                // One that is being written already is waited for; it may have
                // begun too early, then this goes round again.
                let seen = facts.borrow_and_update().attempts;
                self.0.parts.raft.trigger().snapshot().await.map_err(|_| SnapshotError::Stopped)?;
                // openraft passes over a request while it still counts the one
                // before as under way, so the request is repeated.
                let facts = tokio::select! {
                    facts = facts.wait_for(|facts| facts.attempts > seen) => *facts.map_err(|_| SnapshotError::Stopped)?,
                    _ = self.0.parts.failure.wait() => return Err(SnapshotError::Stopped),
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
        self.0.parts.failure.wait().await
    }

    /// Closes the node: hands the lead over if there is an heir, carries out
    /// what waits, takes a last snapshot, so that the next start has nothing to
    /// replay, and closes the files. The observer is dropped. Closing twice
    /// does nothing.
    ///
    /// # Errors
    /// [`CloseError`]; the node is closed all the same and nothing
    /// acknowledged is lost.
    pub async fn close(&self) -> Result<(), CloseError> {
        let Some(running) = self.0.running.lock().await.take() else { return Ok(()) };
        start::stop(self, running).await
    }

    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.0.parts
    }

    pub(crate) async fn open_hub(&self) -> Result<(), FoundError> {
        start::open_hub(self).await
    }
}

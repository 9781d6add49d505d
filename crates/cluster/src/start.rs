//! Putting a node together and taking it apart.

use crate::acquaintance::Acquaintance;
use crate::clock::{self, ClockEvent, ClockModel};
use crate::contact::Contact;
use crate::credentials;
use crate::elector::Elector;
use crate::failure::FailureSlot;
use crate::found::FoundError;
use crate::guard::Guard;
use crate::handover;
use crate::housekeeping::Housekeeper;
use crate::identity::{self, ClusterId, Identity, Stage};
use crate::machine::{Machine, Shared};
use crate::members::{self, Circle, Follower};
use crate::net::{Hub, HubIdentity, NodeKey};
use crate::network::Links;
use crate::node::{About, CloseError, Inner, Node, Options};
use crate::observer::Observer;
use crate::open::{OpenError, Prepared};
use crate::parts::{Parts, over};
use crate::peers::Peers;
use crate::propose::{self, Proposal, Proposer};
use crate::pulse;
use crate::room::RoomGauge;
use crate::serve::Server;
use crate::service::PeerService;
use crate::snapshot::SnapshotError;
use crate::store::LogStore;
use crate::tend::Tender;
use crate::timing::Timing;
use crate::types::{Group, NodeId, Peer, Raft};
use crate::writer::Writer;
use control::State;
use model::member::NodeId as MemberId;
use openraft::{Config, ServerState, SnapshotPolicy as RaftSnapshotPolicy};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Clock events that may wait to be taken; jumps are rare.
const CLOCK_EVENTS: usize = 16;
/// Longest wait for the only voter to lead. It needs a few flushes.
const LEAD_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for the observer to end.
const END_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for another node to take over from one that closes.
const HEIR_WAIT: Duration = Duration::from_secs(2);
/// Raft entries in one append: openraft's own default is 300; ours hold up to
/// 256 entries each, and the log's reader bounds their bytes.
const APPEND_ENTRIES_MAX: u64 = 256;
/// Bytes of a snapshot that travel at a time.
const SNAPSHOT_PART_BYTES: u64 = 1 << 20;
/// Longest wait for the answer to one part; the last is answered when the whole is installed.
const SNAPSHOT_PART_TIME: Duration = Duration::from_secs(30);

/// The tasks of a node, and the end of the machine's thread.
pub(crate) struct Running {
    proposer: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
    machine: oneshot::Receiver<()>,
}

/// Puts a node together from what was found in its directory.
pub(crate) async fn start(
    directory: &Path,
    options: Options,
    prepared: Prepared,
    observer: impl Observer,
) -> Result<Node, OpenError> {
    let Prepared { identity, told, recovery, .. } = &prepared;
    let (identity, told, recovery) = (*identity, told.clone(), recovery.clone());
    let (engine, machine) = Engine::start(&options, prepared, observer).await?;
    let Options { durable_history, snapshots: policy, listen, about, service, .. } = options;
    if identity.stage == Stage::Founding {
        Identity { stage: Stage::Founded, ..identity }.write(directory)?;
    }
    // Only now the state holds what was in the log: without a snapshot it began empty.
    let state = engine.shared.state();
    let key = own_certificate(directory, identity.node, &state, !told.members.is_empty()).await?;
    let (proposals, queue) = mpsc::channel(propose::QUEUE_LENGTH);
    let parts = engine.into_parts(directory, about, service, proposals);
    Circle::new(&state, parts.me, &told, &parts.engine_addresses()).apply(&parts);
    parts.say_who_leads();
    let floor = Arc::new(AtomicU64::new(durable_history.unwrap_or(u64::MAX)));
    let (closing, is_closing) = watch::channel(false);
    let (proposer, clock_events) = proposer(&parts);
    let ahead = Arc::clone(&proposer.ahead);
    let housekeeper = Housekeeper { parts: Arc::clone(&parts), policy, floor: Arc::clone(&floor) };
    let follower = Follower { parts: Arc::clone(&parts), told, key: key.clone() };
    let running = Running {
        proposer: tokio::spawn(proposer.run(queue, is_closing.clone())),
        housekeeper: tokio::spawn(housekeeper.run(is_closing.clone())),
        others: vec![
            tokio::spawn(Elector::new(Arc::clone(&parts)).run(is_closing.clone())),
            tokio::spawn(pulse::run(Arc::clone(&parts), is_closing.clone())),
            tokio::spawn(members::announce(Arc::clone(&parts), is_closing.clone())),
            tokio::spawn(follower.run(is_closing.clone())),
            tokio::spawn(Tender::new(Arc::clone(&parts)).run(is_closing.clone())),
            tokio::spawn(stop_when_failed(Arc::clone(&parts), is_closing)),
        ],
        machine,
    };
    let node = Node(Arc::new(Inner {
        parts,
        floor,
        recovery,
        clock_events: Mutex::new(Some(clock_events)),
        ahead,
        listen: Mutex::new(listen),
        closing,
        running: tokio::sync::Mutex::new(Some(running)),
    }));
    if let Some(key) = key {
        start_hub(&node, key).map_err(OpenError::Listen)?;
    }
    Ok(node)
}

/// openraft, and what it runs on.
struct Engine {
    cluster: ClusterId,
    me: NodeId,
    timing: Timing,
    raft: Raft,
    store: LogStore,
    shared: Arc<Shared>,
    gauge: Arc<RoomGauge>,
    failure: FailureSlot,
    guard: Arc<Guard>,
    peers: Arc<Peers>,
}

impl Engine {
    /// Starts it; also returned is the end of the machine's thread.
    async fn start(
        options: &Options,
        prepared: Prepared,
        observer: impl Observer,
    ) -> Result<(Self, oneshot::Receiver<()>), OpenError> {
        let Prepared { identity, lock, database, rows, marks, gauge, reserve, snapshots, state, .. } = prepared;
        let (failure, me) = (FailureSlot::new(), identity.node);
        let is_alone = options.about.address.is_empty() && state.members().next().is_none();
        let timing = if is_alone { Timing::alone() } else { Timing::new(options.profile) };
        let meta = database.meta().clone();
        let writer = Writer::start(database, reserve, Some(lock), failure.clone()).map_err(OpenError::Thread)?;
        let store = LogStore::new(&meta, rows, writer, failure.clone());
        let shared = Shared::new(snapshots, state, failure.clone());
        let (machine, end) = Machine::start(Arc::clone(&shared), observer).map_err(OpenError::Thread)?;
        let nonce = identity::random().map(u64::from_be_bytes).map_err(OpenError::Random)?;
        let guard = Guard::new(me, nonce, store.clone(), marks, Arc::clone(&gauge), failure.clone());
        let (guard, peers) = (Arc::new(guard), Peers::new());
        let links = Links { peers: Arc::clone(&peers), guard: Arc::clone(&guard), timing };
        let started = start_raft(&identity, &options.about.address, timing, &store, machine, links).await;
        let raft = started.map_err(|error| match failure.get() {
            Some(failure) => OpenError::Replay(failure),
            None => error,
        })?;
        let cluster = identity.cluster;
        Ok((Self { cluster, me, timing, raft, store, shared, gauge, failure, guard, peers }, end))
    }

    fn into_parts(
        self,
        directory: &Path,
        about: About,
        service: Option<Arc<dyn PeerService>>,
        proposals: mpsc::Sender<Proposal>,
    ) -> Arc<Parts> {
        let Self { cluster, me, timing, raft, store, shared, gauge, failure, guard, peers } = self;
        Arc::new(Parts {
            directory: directory.to_owned(),
            cluster,
            me,
            about,
            timing,
            raft,
            store,
            shared,
            gauge,
            failure,
            guard,
            peers,
            contact: Contact::new(),
            trust: watch::Sender::default(),
            proposals,
            leads: watch::Sender::new(false),
            leads_since: Mutex::new(None),
            alone_since: Mutex::new(None),
            hands_over: watch::Sender::new(false),
            changes_members: tokio::sync::Mutex::new(()),
            writes: tokio::sync::Mutex::new(()),
            service,
        })
    }
}

/// Ties the clocks together; also returned is the news about them.
fn proposer(parts: &Arc<Parts>) -> (Proposer, mpsc::Receiver<ClockEvent>) {
    let (clock_events, news) = mpsc::channel(CLOCK_EVENTS);
    let (wall, boot) = clock::read();
    let (clock, event) = ClockModel::new(wall, boot, parts.shared.now());
    if let Some(event) = event {
        tracing::warn!(%event, "clock");
        // The channel is empty.
        let _ = clock_events.try_send(event);
    }
    let ahead = Arc::new(clock::Ahead::default());
    ahead.follow(&clock);
    (Proposer { parts: Arc::clone(parts), clock, ahead, clock_events, stuck_since: None }, news)
}

/// The certificate of a node that has met others, or is to: the one it has, or
/// a new one, if it can sign. `None` for a node that is alone.
async fn own_certificate(
    directory: &Path,
    me: NodeId,
    state: &State,
    has_joined: bool,
) -> Result<Option<NodeKey>, OpenError> {
    let is_member = state.member(MemberId(me)).is_some();
    if !is_member && !has_joined {
        return Ok(None);
    }
    let path = directory.to_owned();
    let read = tokio::task::spawn_blocking(move || NodeKey::read(&path));
    let read = read.await.map_err(|error| OpenError::Engine(error.to_string()))?;
    match (read, state.authorities().last()) {
        (Ok(key), _) if key.node() == me => Ok(Some(key)),
        (Ok(_) | Err(_), Some(authority)) if is_member => {
            Ok(Some(credentials::sign_own(directory, authority, me).await?))
        }
        (Ok(_), _) => Ok(None),
        (Err(error), _) => Err(credentials::CredentialsError::from(error).into()),
    }
}

/// Begins to answer other nodes, with a certificate that was signed just now or before.
pub(crate) async fn open_hub(node: &Node) -> Result<(), FoundError> {
    let parts = node.parts();
    let state = parts.shared.state();
    let Some(authority) = state.authorities().last() else { return Ok(()) };
    if parts.peers.hub().is_some() {
        return Ok(());
    }
    let key = credentials::sign_own(&parts.directory, authority, parts.me).await?;
    Circle::new(&state, parts.me, &Acquaintance::default(), &parts.engine_addresses()).apply(parts);
    start_hub(node, key).map_err(FoundError::Listen)
}

fn start_hub(node: &Node, key: NodeKey) -> std::io::Result<()> {
    let parts = node.parts();
    let listener = node.0.listen.lock().expect("no panic while it is held").take();
    let identity = HubIdentity { cluster: parts.cluster, node: parts.me, key };
    let hub = Hub::start(identity, parts.trust.subscribe(), listener, Arc::new(Server::new(parts)))?;
    parts.peers.open(hub);
    Ok(())
}

/// Stops taking part when the node has failed.
async fn stop_when_failed(parts: Arc<Parts>, mut closing: watch::Receiver<bool>) {
    tokio::select! {
        () = over(&mut closing) => return,
        failure = parts.failure.wait() => tracing::error!(%failure, "this node stops"),
    }
    if let Some(hub) = parts.peers.hub() {
        hub.close().await;
    }
    // An error is the join error of a task that has ended anyway.
    let _ = parts.raft.shutdown().await;
}

/// Takes a node apart.
pub(crate) async fn stop(node: &Node, running: Running) -> Result<(), CloseError> {
    let parts = node.parts();
    leave_lead(parts).await;
    // Else a disk without any room would keep the node from ending.
    parts.store.writer().stop_waiting_for_room();
    node.0.closing.send_replace(true);
    join(running.proposer).await;
    join(running.housekeeper).await;
    for task in running.others {
        join(task).await;
    }
    let snapshot = if parts.has_failed() { Ok(()) } else { node.snapshot_now().await };
    if let Some(hub) = parts.peers.hub() {
        hub.close().await;
    }
    // An error is the join error of a task that has ended anyway.
    let _ = parts.raft.shutdown().await;
    // The thread ends after openraft's worker; one that hangs in the
    // observer must not keep the log open.
    if tokio::time::timeout(END_WAIT, running.machine).await.is_err() {
        tracing::error!("the observer of the log does not end");
    }
    let closed = parts.store.writer().close().await;
    match snapshot {
        Ok(()) | Err(SnapshotError::Full { .. }) => {}
        Err(error) => return Err(CloseError::Snapshot(error)),
    }
    // After a failure the thread has closed the files itself.
    match closed {
        Err(_) if parts.has_failed() => Ok(()),
        closed => closed.map_err(CloseError::Log),
    }
}

/// Has another node lead before this one goes, which is quicker than an
/// election after it went.
async fn leave_lead(parts: &Parts) {
    if parts.has_failed() || !parts.is_leader() || !parts.quorum().is_there {
        return;
    }
    let heard = |node: &NodeId| parts.peers.last_heard(*node);
    let others = parts.voters().all().into_iter().filter(|node| *node != parts.me);
    let Some(heir) = others.filter(|node| heard(node).is_some()).max_by_key(|node| heard(node)) else { return };
    match tokio::time::timeout(HEIR_WAIT, handover::hand_over(parts, heir)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the lead is left to an election"),
        Err(_) => tracing::debug!("the lead is left to an election"),
    }
}

async fn start_raft(
    identity: &Identity,
    address: &str,
    timing: Timing,
    store: &LogStore,
    machine: Machine,
    links: Links,
) -> Result<Raft, OpenError> {
    let engine = |error: &dyn std::fmt::Display| OpenError::Engine(error.to_string());
    let config = config(identity, timing).validate().map_err(|error| engine(&error))?;
    let raft = Raft::new(identity.node, Arc::new(config), links, store.clone(), machine)
        .await
        .map_err(|error| engine(&error))?;
    if identity.stage == Stage::Founding {
        let voters = BTreeMap::from([(identity.node, Peer { address: address.to_owned() })]);
        raft.initialize(voters).await.map_err(|error| engine(&error))?;
    }
    // Asked of the core itself: the metrics are still empty at this moment.
    let voters = raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect::<Vec<_>>());
    if voters.await.map_err(|error| engine(&error))? == [identity.node] {
        lead(&raft).await.map_err(|error| engine(&error))?;
    }
    Ok(raft)
}

fn config(identity: &Identity, timing: Timing) -> Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).expect("seconds at most");
    Config {
        cluster_name: identity.cluster.to_string(),
        heartbeat_interval: ms(timing.heartbeat()),
        election_timeout_min: ms(timing.vote()),
        election_timeout_max: ms(timing.lease()),
        // The elector decides when there is one.
        enable_elect: false,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_max_chunk_size: SNAPSHOT_PART_BYTES,
        install_snapshot_timeout: ms(SNAPSHOT_PART_TIME),
        // Both are decided by the housekeeper.
        snapshot_policy: RaftSnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    }
}

/// Makes the only voter lead at once, and waits until everything that is in
/// the log is applied: an empty group behind it proves that.
async fn lead(raft: &Raft) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let began = Instant::now();
    raft.trigger().elect().await?;
    raft.wait(Some(LEAD_WAIT)).state(ServerState::Leader, "the only voter leads").await?;
    raft.client_write(Group::new(Vec::new())).await?;
    tracing::debug!(took = ?began.elapsed(), "the only voter leads");
    Ok(())
}

/// Waits for a task; a panic in it was reported when it happened.
async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a task of the node ended badly");
    }
}

//! How a node is, and how it sees the others.

use crate::net::CallError;
use crate::parts::Parts;
use crate::room::Room;
use crate::types::NodeId;
use model::member::NodeId as MemberId;
use openraft::ServerState;
use std::time::Duration;

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
    /// Whether a majority is there to decide anything, as far as this node knows.
    pub has_quorum: bool,
    /// If not: for how long it was without one; `None` if it never saw one
    /// since it was opened.
    pub without_quorum_for: Option<Duration>,
    /// Nodes that vote.
    pub voters: usize,
    /// Whether those that vote are being changed: until that is done a majority
    /// of the former and of the future ones is needed.
    pub is_changing_voters: bool,
    /// Nodes that belong to the cluster by the state.
    pub members: usize,
    /// Bytes of entries in the log.
    pub log_bytes: u64,
    /// Bytes that may still be written to the disk; 0 if the system does not say.
    pub free_bytes: u64,
    /// Whether the disk is full and commands are refused.
    pub is_tight: bool,
    /// How much room there is.
    pub room: Room,
}

/// How this node sees another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which node.
    pub id: MemberId,
    /// Where it is reached.
    pub address: String,
    /// How long ago it answered; `None` if it never did since this node was opened.
    pub heard: Option<Duration>,
    /// Whether it answers.
    pub is_connected: bool,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether the log is replicated to it without a vote.
    pub is_learner: bool,
    /// Position of the last raft entry that it is known to have; known to the leader only.
    pub matched_position: Option<u64>,
    /// Entries that it had not applied when this node had, a moment ago.
    pub lacks_entries: Option<u64>,
    /// How far its wall clock is ahead of this node's, in milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// Why it does not admit this node, if it does not.
    pub refused: Option<String>,
}

/// How a node is, but for what only its front door knows.
pub(crate) fn of(parts: &Parts) -> Status {
    let metrics = parts.raft.metrics().borrow().clone();
    let published = parts.shared.published();
    let room = parts.gauge.get();
    let (quorum, voters) = (parts.quorum(), parts.voters());
    let (last_position, log_bytes) = {
        let view = parts.store.view();
        (view.last.map_or(0, |id| id.index), view.bytes)
    };
    Status {
        applied_index: published.state.applied_index(),
        snapshot_index: parts.shared.snapshots().newest().map_or(0, |kept| kept.index),
        last_position,
        applied_position: published.last.map_or(0, |id| id.index),
        term: metrics.current_term,
        is_leader: metrics.state == ServerState::Leader,
        leader: parts.leader(),
        has_quorum: quorum.is_there,
        without_quorum_for: if quorum.is_there { None } else { quorum.since },
        voters: voters.all().len(),
        is_changing_voters: voters.is_joint(),
        members: published.state.members().count(),
        log_bytes,
        free_bytes: crate::filesystem::free_bytes(&parts.directory).unwrap_or(0),
        is_tight: room != Room::Ample,
        room,
    }
}

/// The other nodes, by id.
pub(crate) fn peers(parts: &Parts) -> Vec<PeerStatus> {
    let voters = parts.voters();
    let places = parts.raft.data_metrics().borrow().replication.clone().unwrap_or_default();
    let membership = parts.raft.server_metrics().borrow().membership_config.membership().clone();
    let others = parts.peers.nodes().into_iter().filter(|node| *node != parts.me);
    others
        .map(|node| {
            let heard = parts.peers.last_heard(node).map(|heard| heard.elapsed());
            let facts = parts.peers.facts(node);
            PeerStatus {
                id: MemberId(node),
                address: parts.peers.address(node),
                heard,
                is_connected: parts.is_heard(node),
                is_voter: voters.contains(node),
                is_learner: !voters.contains(node) && membership.get_node(&node).is_some(),
                matched_position: places.get(&node).copied().flatten().map(|place| place.index),
                lacks_entries: facts.map(|facts| facts.lacks_entries),
                clock_ahead_ms: facts.map(|facts| facts.clock_ahead_ms),
                refused: parts.peers.refusal(node),
            }
        })
        .collect()
}

/// Asks the front door of another node.
pub(crate) async fn ask(
    parts: &Parts,
    node: NodeId,
    kind: u8,
    mut body: Vec<u8>,
    timeout: Duration,
) -> Result<Vec<u8>, CallError> {
    // Behind the body, so that a large one need not be moved.
    body.push(kind);
    parts.peers.call(node, crate::wire::SERVICE, body, timeout).await
}

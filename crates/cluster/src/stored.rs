//! The stored forms of openraft's values.
//!
//! openraft could serialise them itself, but then a new release of it could
//! change what is on disk. These forms are ours; like entries, **they only
//! ever grow at the end**.

use crate::types::{LogId, Membership, NodeId, Peer, StoredMembership, Vote};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A place in the log: who was leader, and how far. Ordered as openraft orders
/// them: a later leader's entry comes after all entries of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StoredLogId {
    pub(crate) term: u64,
    pub(crate) node: NodeId,
    pub(crate) position: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, position: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        Self::new(openraft::CommittedLeaderId::new(id.term, id.node), id.position)
    }
}

/// For whom this node voted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVote {
    term: u64,
    node: NodeId,
    is_committed: bool,
}

impl StoredVote {
    /// Term and node, which is what a vote can be compared by. Whether it was
    /// won is left out.
    pub(crate) fn candidate(self) -> (u64, NodeId) {
        (self.term, self.node)
    }

    /// The vote as it was before it was won.
    pub(crate) fn before_it_was_won(self) -> Self {
        Self { is_committed: false, ..self }
    }
}

impl From<Vote> for StoredVote {
    fn from(vote: Vote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, is_committed: vote.committed }
    }
}

impl From<StoredVote> for Vote {
    fn from(vote: StoredVote) -> Self {
        if vote.is_committed { Self::new_committed(vote.term, vote.node) } else { Self::new(vote.term, vote.node) }
    }
}

/// Who belongs to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Members {
    voters: Vec<BTreeSet<NodeId>>,
    nodes: BTreeMap<NodeId, Peer>,
}

impl From<&Membership> for Members {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
        }
    }
}

impl From<Members> for Membership {
    fn from(members: Members) -> Self {
        Self::new(members.voters, members.nodes)
    }
}

/// Who belongs to the cluster, and which raft entry said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembersSince {
    since: Option<StoredLogId>,
    members: Members,
}

impl From<&StoredMembership> for MembersSince {
    fn from(membership: &StoredMembership) -> Self {
        Self { since: membership.log_id().map(Into::into), members: membership.membership().into() }
    }
}

impl From<MembersSince> for StoredMembership {
    fn from(stored: MembersSince) -> Self {
        Self::new(stored.since.map(Into::into), stored.members.into())
    }
}

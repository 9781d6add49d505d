//! The log between the nodes: raft as it may behave, made as simple as that allows.
//!
//! Each node has its own copy on its own disk. Entries travel as messages, are
//! flushed some milliseconds after they arrive, and count when a majority has
//! flushed them. Only the election is idealised: it happens in one moment,
//! between nodes that hear each other in both directions. All that a real log
//! may do can happen: a leader that does not know that it is none any more, a
//! proposal that is lost or comes about after its proposer gave it up, a
//! follower that is late, one that was away so long that it takes a snapshot,
//! a crash that tears off what was not flushed.
//!
//! **What is committed is never lost and is the same everywhere**; that is the
//! log's promise, and `replicas_agree` holds it to it.
//!
//! Reading order: here, [`written`], `follow`, `lead`, `elect`.

mod elect;
mod follow;
mod lead;
pub(crate) mod written;

use model::member::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use elect::elect;
pub(crate) use written::Log;

/// How long a node waits for a word of a leader before it wants to be one;
/// each ordinal has a range of its own.
const ELECTION_AFTER_MS: u64 = 2_000;
/// What each further ordinal waits more.
const ORDINAL_MS: u64 = 600;
/// How long nobody votes against a leader that was heard.
const LEASE_MS: u64 = 1_500;
/// Entries in one message.
const ENTRIES_SENT_MAX: usize = 100;
/// Proposals that a leader takes without having any of them committed.
const UNCOMMITTED_MAX: u64 = 200;
/// How long a leader waits after it has sent a snapshot before it sends another.
const SNAPSHOT_AGAIN_MS: u64 = 3_000;

/// A place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// In whose term it was written.
    pub(crate) term: u64,
    /// What stands there.
    pub(crate) what: What,
}

/// What stands in a place of the log.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Nothing: a leader's first word.
    Blank,
    /// An entry of ours in its stored form.
    Entry(Arc<Vec<u8>>),
    /// Who votes from here on.
    Voters(Arc<Voters>),
}

/// The nodes to which the log is replicated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Voters {
    /// Those that vote.
    pub(crate) voting: BTreeSet<NodeId>,
    /// Those that do not vote yet, and the addresses under which all are known.
    pub(crate) learning: BTreeSet<NodeId>,
}

impl Voters {
    /// Whether more than half of those that vote are of a kind.
    pub(crate) fn is_majority(&self, of: impl Fn(NodeId) -> bool) -> bool {
        self.voting.iter().filter(|node| of(**node)).count() * 2 > self.voting.len()
    }
}

/// A state that stands for the log up to its index.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) voters: Arc<Voters>,
    /// The stored form.
    pub(crate) state: Vec<u8>,
}

/// What nodes tell each other about the log.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    /// Entries, or none, behind a known place; how far is committed; and whether
    /// the leader itself misses its majority.
    Append { term: u64, before: u64, before_term: u64, entries: Vec<Stored>, committed: u64, is_vain: bool },
    /// A snapshot for a node that lacks more than the log still has.
    Install { term: u64, snapshot: Arc<Snapshot> },
    /// Flushed up to there, or, if it did not fit, known to agree up to there.
    Flushed { term: u64, fits: bool, upto: u64 },
}

/// What a living node knows of the log beyond its disk.
#[derive(Debug)]
pub(crate) struct Raft {
    pub(crate) role: Role,
    /// The leader as far as this node knows.
    pub(crate) leader: Option<NodeId>,
    /// When a leader was heard last; while it leads, when a majority was.
    pub(crate) heard_ms: u64,
    /// When a majority was there last, as far as this node knows.
    pub(crate) majority_ms: u64,
    /// Its own range of patience.
    pub(crate) ordinal: u8,
    pub(crate) committed: u64,
}

/// What a node is in the log.
#[derive(Debug)]
pub(crate) enum Role {
    Follower,
    Leader(Leading),
}

/// What a leader keeps in mind.
#[derive(Debug)]
pub(crate) struct Leading {
    /// Its first word; once that is committed it knows all that is.
    pub(crate) first: u64,
    pub(crate) since_ms: u64,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
}

/// What a leader knows of another node.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) flushed: u64,
    next: u64,
    /// When it was heard in this term, if it was.
    pub(crate) heard_ms: Option<u64>,
    snapshot_sent_ms: Option<u64>,
}

impl Raft {
    pub(crate) const fn new(committed: u64, now_ms: u64) -> Self {
        Self { role: Role::Follower, leader: None, heard_ms: now_ms, majority_ms: now_ms, ordinal: 0, committed }
    }

    pub(crate) const fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leader(leading) => Some(leading),
            Role::Follower => None,
        }
    }

    /// Whether this node leads, as far as it knows, and has applied all that was committed before.
    pub(crate) fn is_ready(&self, applied: u64) -> bool {
        self.leading().is_some_and(|leading| applied >= leading.first)
    }
}

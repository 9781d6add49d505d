//! The types with which openraft is used here.
//!
//! A raft entry carries a [`Group`] of our entries: openraft 0.9 waits for the
//! disk after every raft entry, so proposers can share a flush only by sharing
//! a raft entry. The machine therefore counts entries itself, without gaps:
//! **the index of an entry is the number of entries applied before it, plus
//! one**, the same on every node. The place of a raft entry in the log is
//! called its *position*, never an index.

use control::Applied;
use model::entry::Entry;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Number of a node; drawn at random when the node's directory is founded.
pub type NodeId = u64;

/// Where the other nodes reach a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Host and port; empty for a node that has no peers yet.
    pub address: String,
}

openraft::declare_raft_types!(
    /// openraft's parameters.
    pub(crate) TypeConfig:
        D = Group,
        R = Answers,
        NodeId = NodeId,
        Node = Peer,
        SnapshotData = tokio::fs::File,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type RaftEntry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type Membership = openraft::Membership<NodeId, Peer>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, Peer>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, Peer>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type StorageIOError = openraft::StorageIOError<NodeId>;

/// Entries that share one raft entry, with their stored form made once.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    entries: Arc<[Arc<Entry>]>,
    encoded: Arc<[u8]>,
    /// Shared by all clones of a group that was made here; see [`Group::is_taken`].
    is_taken: Arc<AtomicBool>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Group {}

/// Why stored bytes are not a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    /// The lengths in it do not add up.
    #[error("the lengths of its entries do not add up")]
    Lengths,
    /// One of its entries cannot be read.
    #[error("one of its entries cannot be read")]
    Entry(#[source] model::configuration::DecodeError),
}

impl Group {
    /// Joins entries with their stored forms, in order.
    pub(crate) fn new(entries: Vec<(Arc<Entry>, Vec<u8>)>) -> Self {
        let mut encoded = Vec::with_capacity(entries.iter().map(|(_, bytes)| bytes.len() + 4).sum());
        for (_, bytes) in &entries {
            let length = u32::try_from(bytes.len()).expect("entries are far below 4 GiB");
            encoded.extend_from_slice(&length.to_le_bytes());
            encoded.extend_from_slice(bytes);
        }
        let entries = entries.into_iter().map(|(entry, _)| entry).collect();
        Self { entries, encoded: encoded.into(), is_taken: Arc::default() }
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, GroupError> {
        let mut entries = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or(GroupError::Lengths)?;
            let length = u32::from_le_bytes(*length) as usize;
            let entry = after.get(..length).ok_or(GroupError::Lengths)?;
            entries.push(Arc::new(Entry::decode(entry).map_err(GroupError::Entry)?));
            rest = &after[length..];
        }
        Ok(Self { entries: entries.into(), encoded: bytes.into(), is_taken: Arc::default() })
    }

    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Whether it was ever put into this node's log. openraft refuses a group
    /// in the same words when it never took it and when another leader cut it
    /// off; one that was cut off here can still be on its way through a third
    /// node, so only the former may be called refused.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) {
        self.is_taken.store(true, Ordering::Release);
    }
}

/// What applying a raft entry gave: one answer for each entry of its group,
/// none for an entry of openraft's own.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Index of the group's first entry; meaningless when there is none.
    pub(crate) first: u64,
    /// The answers in order.
    pub(crate) applied: Vec<Applied>,
}

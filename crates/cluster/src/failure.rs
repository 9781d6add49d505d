//! Why a node stopped by itself, said once and to everybody.
//!
//! openraft passes a storage error on as text and stops. The typed error is
//! put here first, by the one who met it; whoever waits for
//! [`crate::Node::failed`] gets it. **The first failure is kept**, because the
//! later ones follow from it.

use crate::database::LogError;
use crate::marks::Behind;
use crate::snapshot::SnapshotError;
use crate::types::NodeId;
use std::sync::Arc;
use tokio::sync::watch;

/// Why a node stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The log could not be written or read.
    #[error("the log cannot go on")]
    Log(#[source] LogError),
    /// A snapshot could not be written, for another reason than a full disk.
    #[error("a snapshot could not be written")]
    Snapshot(#[source] SnapshotError),
    /// The machine or the observer broke an invariant. The state stays as it
    /// was before the group of this entry; nothing more is applied.
    #[error("applying entry {index} broke an invariant: {message}")]
    Machine {
        /// The entry.
        index: u64,
        /// The assertion's words.
        message: String,
    },
    /// Others know more of this node than it does itself: its disk was rolled
    /// back, or copied.
    #[error(
        "node {by} has seen more of this node than there is in its data directory ({behind}): the directory was rolled \
         back or copied, and going on could undo what was acknowledged; remove node {node} from the cluster, and join \
         again from an empty directory"
    )]
    RolledBack {
        /// This node.
        node: NodeId,
        /// Who has seen more.
        by: NodeId,
        /// What is behind.
        behind: Behind,
    },
    /// The cluster has taken this node out.
    #[error(
        "node {node} was removed from the cluster and takes no part any more; its data directory can be deleted, and a \
         new node can join in its place"
    )]
    Removed {
        /// This node.
        node: NodeId,
    },
    /// Replication stopped without one of the reasons above.
    #[error("replication stopped: {0}")]
    Engine(String),
}

/// The place where the first failure is kept.
#[derive(Debug, Clone)]
pub(crate) struct FailureSlot(watch::Sender<Option<Arc<Failure>>>);

impl FailureSlot {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Keeps a failure if it is the first.
    pub(crate) fn report(&self, failure: Failure) {
        self.0.send_if_modified(|slot| {
            let is_first = slot.is_none();
            if is_first {
                *slot = Some(Arc::new(failure));
            }
            is_first
        });
    }

    pub(crate) fn get(&self) -> Option<Arc<Failure>> {
        self.0.borrow().clone()
    }

    /// Waits for a failure; for ever if there is none.
    pub(crate) async fn wait(&self) -> Arc<Failure> {
        let mut receiver = self.0.subscribe();
        let found = receiver.wait_for(Option::is_some).await.expect("self keeps the sender");
        found.clone().expect("waited for")
    }
}

//! The other nodes as this one meets them: where they are, when they were heard.
//!
//! Addresses come from the state, or, before there is one, from what was
//! learned when the node joined. **When a node was heard is a matter of this
//! process only**; what follows from it for everybody is logged.

use crate::net::{CallError, Hub};
use crate::pulse::Facts;
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

/// The way to the other nodes.
#[derive(Default)]
pub(crate) struct Peers {
    hub: OnceLock<Hub>,
    known: RwLock<BTreeMap<NodeId, Peer>>,
}

#[derive(Debug, Clone, Default)]
struct Peer {
    address: String,
    heard: Option<Instant>,
    facts: Option<Facts>,
    /// Why it does not admit this node.
    refused: Option<String>,
}

impl Peers {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Opens the way. Once only.
    pub(crate) fn open(&self, hub: Hub) {
        assert!(self.hub.set(hub).is_ok(), "a node has one hub");
    }

    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.hub.get()
    }

    /// Says who the others are and where.
    pub(crate) fn set(&self, addresses: &BTreeMap<NodeId, String>) {
        let mut known = self.known.write().expect("no panic while it is held");
        known.retain(|node, _| addresses.contains_key(node));
        for (node, address) in addresses {
            known.entry(*node).or_default().address.clone_from(address);
        }
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.known.read().expect("no panic while it is held").keys().copied().collect()
    }

    /// Where a node is; empty if that is not known.
    pub(crate) fn address(&self, node: NodeId) -> String {
        let known = self.known.read().expect("no panic while it is held");
        known.get(&node).map(|peer| peer.address.clone()).unwrap_or_default()
    }

    /// A node has answered.
    pub(crate) fn heard(&self, node: NodeId) {
        if let Some(peer) = self.known.write().expect("no panic while it is held").get_mut(&node) {
            peer.heard = Some(Instant::now());
            peer.refused = None;
        }
    }

    /// When a node answered last; `None` if it never did in this process.
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Instant> {
        self.known.read().expect("no panic while it is held").get(&node).and_then(|peer| peer.heard)
    }

    /// How a node was when it answered a pulse last.
    pub(crate) fn facts(&self, node: NodeId) -> Option<Facts> {
        self.known.read().expect("no panic while it is held").get(&node).and_then(|peer| peer.facts)
    }

    /// A node has answered a pulse.
    pub(crate) fn noted(&self, node: NodeId, facts: Facts) {
        if let Some(peer) = self.known.write().expect("no panic while it is held").get_mut(&node) {
            peer.facts = Some(facts);
        }
    }

    /// A node does not admit this one. Returns whether that is news.
    pub(crate) fn refused(&self, node: NodeId, why: &str) -> bool {
        let mut known = self.known.write().expect("no panic while it is held");
        let Some(peer) = known.get_mut(&node) else { return true };
        let is_news = peer.refused.as_deref() != Some(why);
        peer.refused = Some(why.to_owned());
        is_news
    }

    /// Why a node does not admit this one, if it does not.
    pub(crate) fn refusal(&self, node: NodeId) -> Option<String> {
        self.known.read().expect("no panic while it is held").get(&node).and_then(|peer| peer.refused.clone())
    }

    /// Asks a node.
    ///
    /// # Errors
    /// [`CallError`] says whether it may have been carried out.
    pub(crate) async fn call(
        &self,
        to: NodeId,
        kind: u16,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let Some(hub) = self.hub.get() else { return Err(CallError::Closed) };
        // The hub may have a way without an address, or says why not.
        hub.call(to, &self.address(to), kind, body, timeout).await
    }
}

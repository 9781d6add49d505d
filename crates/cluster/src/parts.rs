//! What the tasks of one node share.
//!
//! Tasks hold this, the front door holds this and what ends them, so that a
//! node that is dropped without being closed ends too.

use crate::contact::Contact;
use crate::failure::FailureSlot;
use crate::guard::Guard;
use crate::identity::ClusterId;
use crate::machine::Shared;
use crate::net::Trust;
use crate::node::About;
use crate::peers::Peers;
use crate::propose::Proposal;
use crate::room::RoomGauge;
use crate::service::PeerService;
use crate::store::LogStore;
use crate::timing::Timing;
use crate::types::{NodeId, Raft};
use openraft::ServerState;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What the tasks of one node share.
pub(crate) struct Parts {
    pub(crate) directory: PathBuf,
    pub(crate) cluster: ClusterId,
    pub(crate) me: NodeId,
    pub(crate) about: About,
    pub(crate) timing: Timing,
    pub(crate) raft: Raft,
    pub(crate) store: LogStore,
    pub(crate) shared: Arc<Shared>,
    pub(crate) gauge: Arc<RoomGauge>,
    pub(crate) failure: FailureSlot,
    pub(crate) guard: Arc<Guard>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) contact: Contact,
    pub(crate) trust: watch::Sender<Arc<Trust>>,
    pub(crate) proposals: mpsc::Sender<Proposal>,
    /// Whether this node leads and has a majority behind it.
    pub(crate) leads: watch::Sender<bool>,
    /// Since when it does.
    pub(crate) leads_since: Mutex<Option<Instant>>,
    /// Since when this node sees no majority, looked at again and again; after a
    /// pause of the whole process it begins anew.
    pub(crate) alone_since: Mutex<Option<Instant>>,
    /// While it hands over, the proposer waits.
    pub(crate) hands_over: watch::Sender<bool>,
    /// Held by whoever changes the members: one change at a time.
    pub(crate) changes_members: tokio::sync::Mutex<()>,
    /// Held by the proposer while a group is on its way into the log.
    pub(crate) writes: tokio::sync::Mutex<()>,
    pub(crate) service: Option<Arc<dyn PeerService>>,
}

/// Waits until the node closes, or is dropped.
pub(crate) async fn over(closing: &mut watch::Receiver<bool>) {
    // An error means that it was dropped.
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}

/// Who votes, as openraft has it: a majority of each set counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voters(Vec<BTreeSet<NodeId>>);

impl Voters {
    pub(crate) fn all(&self) -> BTreeSet<NodeId> {
        self.0.iter().flatten().copied().collect()
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.0.iter().any(|voters| voters.contains(&node))
    }

    /// Whether they are being changed.
    pub(crate) fn is_joint(&self) -> bool {
        self.0.len() > 1
    }

    pub(crate) fn is_only(&self, node: NodeId) -> bool {
        self.all() == BTreeSet::from([node])
    }

    pub(crate) fn is_majority(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let has = |voters: &BTreeSet<NodeId>| voters.intersection(nodes).count() > voters.len() / 2;
        !self.0.is_empty() && self.0.iter().all(has)
    }
}

/// Whether decisions can be made, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quorum {
    /// How long ago a majority was known to be there; `None` if it never was.
    pub(crate) since: Option<Duration>,
    pub(crate) is_there: bool,
}

impl Parts {
    pub(crate) fn voters(&self) -> Voters {
        Voters(self.raft.server_metrics().borrow().membership_config.membership().get_joint_config().clone())
    }

    /// Where openraft's members are, as far as it was told.
    pub(crate) fn engine_addresses(&self) -> BTreeMap<NodeId, String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let nodes = metrics.membership_config.membership().nodes();
        let known = nodes.filter(|(_, peer)| !peer.address.is_empty());
        known.map(|(node, peer)| (*node, peer.address.clone())).collect()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.server_metrics().borrow().state == ServerState::Leader
    }

    /// Who leads, as far as is known. It may have gone.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        if metrics.state == ServerState::Leader {
            return Some(self.me);
        }
        // A vote that was won stays known when its winner has stopped to lead.
        let known = metrics.current_leader.filter(|leader| *leader != self.me);
        let is_heard = self.contact.since().is_some_and(|since| since < self.timing.without_quorum());
        let hearsay = self.contact.hearsay().filter(|leader| *leader != self.me);
        if is_heard { known.or(hearsay) } else { hearsay.or(known) }
    }

    /// Whether a majority is there.
    pub(crate) fn quorum(&self) -> Quorum {
        if !self.is_leader() {
            let since = self.contact.since_majority();
            let is_there = since.is_some_and(|since| since < self.timing.without_quorum());
            return Quorum { since, is_there };
        }
        if self.voters().is_only(self.me) {
            return Quorum { since: Some(Duration::ZERO), is_there: true };
        }
        let acknowledged = self.raft.data_metrics().borrow().millis_since_quorum_ack.map(Duration::from_millis);
        // Right after an election nobody has acknowledged anything yet.
        let is_fresh = self.contact.since_vote().is_some_and(|since| since < self.timing.without_quorum());
        let is_there = acknowledged.is_some_and(|since| since < self.timing.without_quorum()) || is_fresh;
        Quorum { since: acknowledged, is_there }
    }

    /// Whether a node answers.
    pub(crate) fn is_heard(&self, node: NodeId) -> bool {
        node == self.me || self.peers.last_heard(node).is_some_and(|heard| heard.elapsed() < self.timing.away())
    }

    /// Since when this node leads; `None` if it does not.
    pub(crate) fn leads_since(&self) -> Option<Instant> {
        *self.leads_since.lock().expect("no panic while it is held")
    }

    /// For how long this node has seen that there is no majority.
    pub(crate) fn alone_for(&self) -> Option<Duration> {
        self.alone_since.lock().expect("no panic while it is held").map(|since| since.elapsed())
    }

    /// Looks whether a majority is there, and says whether this node leads, to
    /// all who wait to hear it.
    pub(crate) fn say_who_leads(&self) {
        let has_quorum = self.quorum().is_there;
        let leads = self.is_leader() && has_quorum;
        {
            let mut alone = self.alone_since.lock().expect("no panic while it is held");
            *alone = if has_quorum { None } else { alone.or_else(|| Some(Instant::now())) };
        }
        let mut since = self.leads_since.lock().expect("no panic while it is held");
        if since.is_some() != leads {
            if leads {
                // openraft's lease of this node counts from here.
                self.contact.voted();
            }
            *since = leads.then(Instant::now);
            self.leads.send_replace(leads);
        }
    }

    /// Whether the node stops.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }
}

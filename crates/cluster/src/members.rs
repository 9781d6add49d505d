//! Follows the state for who belongs to the cluster: whom to trust, where they
//! are, whether this node still is one of them, and whether what they know of
//! it is still right.
//!
//! Everything is derived anew from the state each time, and cheap. **A node
//! whose own state says that it was removed stops.**

use crate::acquaintance::Acquaintance;
use crate::clock;
use crate::credentials;
use crate::failure::Failure;
use crate::forward;
use crate::net::{NodeKey, Trust};
use crate::parts::{Parts, over};
use crate::types::NodeId;
use control::{CommandOutcome, State};
use model::entry::{Action, Body, Command, Origin};
use model::member::NodeId as MemberId;
use rustls_pki_types::CertificateDer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Under load the state changes a thousand times a second; this often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at when nothing changes.
const REST: Duration = Duration::from_secs(5);
/// The wait after nobody could be told.
const AGAIN: Duration = Duration::from_secs(1);
/// The wait after the cluster would not have what this node says of itself.
const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// What follows from a state for whom to talk to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Circle {
    pub(crate) trust: Trust,
    pub(crate) addresses: BTreeMap<NodeId, String>,
}

impl Circle {
    /// Until a node finds itself in the state, what it was told when it joined
    /// counts as well: what it replays may be from before the others came.
    ///
    /// `engine` are the addresses that openraft knows. After a crash the log can
    /// be ahead of the state, and nobody could be elected without them.
    pub(crate) fn new(state: &State, me: NodeId, told: &Acquaintance, engine: &BTreeMap<NodeId, String>) -> Self {
        let mut circle = Self { addresses: engine.clone(), ..Self::default() };
        let authority = |bytes: &Vec<u8>| CertificateDer::from(bytes.clone());
        if state.member(MemberId(me)).is_none() {
            circle.trust.authorities.extend(told.authorities.iter().map(authority));
            for (node, (address, key)) in &told.members {
                circle.trust.keys.insert(*node, *key);
                circle.addresses.insert(*node, address.clone());
            }
        }
        for known in state.authorities() {
            let certificate = authority(&known.certificate);
            if !circle.trust.authorities.contains(&certificate) {
                circle.trust.authorities.push(certificate);
            }
        }
        for member in state.members().map(|known| &known.member) {
            circle.trust.keys.insert(member.id.0, member.key);
            circle.addresses.insert(member.id.0, member.address.clone());
        }
        for node in state.removed_nodes() {
            circle.trust.removed.insert(node.0);
            circle.trust.keys.remove(&node.0);
            circle.addresses.remove(&node.0);
        }
        circle
    }

    /// Makes it what this node goes by.
    pub(crate) fn apply(&self, parts: &Parts) {
        parts.peers.set(&self.addresses);
        let nodes: BTreeSet<NodeId> = self.addresses.keys().copied().collect();
        parts.guard.retain(&nodes);
        parts.trust.send_replace(Arc::new(self.trust.clone()));
    }
}

/// The task.
pub(crate) struct Follower {
    pub(crate) parts: Arc<Parts>,
    pub(crate) told: Acquaintance,
    /// What this node shows, once it shows anything.
    pub(crate) key: Option<NodeKey>,
}

impl Follower {
    /// Runs until the node closes.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut applied = self.parts.shared.watch();
        let mut circle = Circle::default();
        loop {
            let state = self.parts.shared.state();
            let current = Circle::new(&state, self.parts.me, &self.told, &self.parts.engine_addresses());
            if current != circle {
                current.apply(&self.parts);
                circle = current;
            }
            if circle.trust.removed.contains(&self.parts.me) {
                self.parts.failure.report(Failure::Removed { node: self.parts.me });
                return;
            }
            self.renew(&state).await;
            tokio::select! {
                () = over(&mut closing) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::select! {
                () = over(&mut closing) => return,
                changed = applied.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REST) => {}
            }
        }
    }

    /// Takes a new certificate when half of the time of the old one is over, or
    /// another authority signs. Each node signs its own: all have the means.
    async fn renew(&mut self, state: &State) {
        let Some(hub) = self.parts.peers.hub() else { return };
        let Some(authority) = state.authorities().last() else { return };
        let (now, _) = clock::read();
        let is_current =
            |key: &NodeKey| key.renewal() > now && key.authority() == Some(crate::net::sha256(&authority.certificate));
        if self.key.as_ref().is_some_and(is_current) || state.member(MemberId(self.parts.me)).is_none() {
            return;
        }
        match credentials::sign_own(&self.parts.directory, authority, self.parts.me).await {
            Ok(key) => {
                tracing::info!(until = %key.until(), "this node has a new certificate");
                hub.renew(&key);
                self.key = Some(key);
            }
            Err(error) => {
                // Tried again at the next look; the old one is good for half a year.
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot renew the certificate of this node");
            }
        }
    }
}

/// Tells the cluster what has changed about this node, until it knows. The task.
pub(crate) async fn announce(parts: Arc<Parts>, mut closing: watch::Receiver<bool>) {
    let mut applied = parts.shared.watch();
    loop {
        let pause = match changes(&parts) {
            Some(action) => tokio::select! {
                () = over(&mut closing) => return,
                pause = propose(&parts, action) => pause,
            },
            None => LOOK_EVERY,
        };
        tokio::select! {
            () = over(&mut closing) => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            () = over(&mut closing) => return,
            changed = applied.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// Proposes an action about this node, and returns how long to leave it at that.
async fn propose(parts: &Parts, action: Action) -> Duration {
    let index = parts.shared.state().applied_index();
    let command = Command {
        actor: format!("node {}", parts.about.name),
        origin: Origin::Node,
        key: format!("update {} {}.{index}", parts.me, parts.guard.incarnation()),
        expected_revision: None,
        action,
    };
    match forward::propose(parts, Body::Command(command)).await {
        Ok(proposed) => match proposed.applied.outcome {
            CommandOutcome::Accepted => LOOK_EVERY,
            CommandOutcome::Refused(why) => {
                tracing::warn!(why, "the cluster keeps what it knows of this node");
                REFUSED_WAIT
            }
        },
        Err(error) => {
            tracing::debug!(%error, "the cluster is told later what has changed about this node");
            AGAIN
        }
    }
}

/// What the cluster does not know yet about this node, if it is a member.
fn changes(parts: &Parts) -> Option<Action> {
    let state = parts.shared.state();
    let known = &state.member(MemberId(parts.me))?.member;
    let about = &parts.about;
    let name = (!about.name.is_empty() && about.name != known.name).then(|| about.name.clone());
    let address = (!about.address.is_empty() && about.address != known.address).then(|| about.address.clone());
    let location = (about.location != known.location).then(|| about.location.clone());
    let facts = (about.facts != known.facts).then(|| about.facts.clone());
    if name.is_none() && address.is_none() && location.is_none() && facts.is_none() {
        return None;
    }
    Some(Action::UpdateMember { node: known.id, name, address, location, key: None, facts })
}

//! Handing the lead over to another node.
//!
//! openraft 0.9 cannot do that. So it is done by hand: nothing more is
//! proposed, the heir gets all there is, the leader falls silent until the
//! others' lease of it is over, and the heir stands first. **If it goes wrong,
//! it is an election like any other**: somebody leads within a second.

use crate::elector::{self, Asked};
use crate::forward;
use crate::parts::Parts;
use crate::types::NodeId;
use crate::wire;
use openraft::ServerState;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Attempts before it is given up.
const ATTEMPTS: u32 = 3;
/// The pause before the others are asked again.
const AGAIN: Duration = Duration::from_millis(10);

/// Why the lead was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum HandOverError {
    /// The heir cannot lead.
    #[error("node {node} does not vote, so it cannot lead; voters are {}", list(voters))]
    NoVoter {
        /// Which node.
        node: NodeId,
        /// Those who can.
        voters: Vec<NodeId>,
    },
    /// The heir is not there, or has not caught up.
    #[error("node {node} has not got all of the log in time; is it there?")]
    Behind {
        /// Which node.
        node: NodeId,
    },
    /// It did not come about.
    #[error("node {node} was not elected; node {} leads", leader.map_or("unknown".to_owned(), |leader| leader.to_string()))]
    NotElected {
        /// Which node.
        node: NodeId,
        /// Who leads, if that is known.
        leader: Option<NodeId>,
    },
    /// The leader is handing over already.
    #[error("the leader is handing over already; try again in a second")]
    Busy,
    /// Nobody leads, so nobody can hand over.
    #[error("no node leads the cluster at the moment")]
    NoLeader,
    /// The leader cannot be asked.
    #[error("the leader cannot be asked: {why}")]
    Unreachable {
        /// What happened.
        why: String,
    },
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Has the lead handed over to a node, whoever has it.
pub(crate) async fn transfer(parts: &Parts, heir: NodeId) -> Result<(), HandOverError> {
    match forward::some_leader(parts).await {
        Some(leader) if leader == heir => Ok(()),
        Some(leader) if leader == parts.me => hand_over(parts, heir).await,
        Some(leader) => {
            let timeout = parts.timing.commit() + parts.timing.leaderless() * ATTEMPTS;
            let answer = parts.peers.call(leader, wire::HAND_OVER, wire::encode(&heir), timeout).await;
            let unreachable = |why: String| HandOverError::Unreachable { why };
            let answer = answer.map_err(|error| unreachable(error.to_string()))?;
            wire::decode(&answer).map_err(|error| unreachable(error.to_string()))?
        }
        None => Err(HandOverError::NoLeader),
    }
}

/// Answers a node that asks the leader to hand over.
pub(crate) async fn answer(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let heir: NodeId = wire::decode(body).map_err(|error| error.to_string())?;
    let done = if parts.is_leader() { hand_over(parts, heir).await } else { Err(HandOverError::NoLeader) };
    Ok(wire::encode(&done))
}

/// Hands over from this node.
pub(crate) async fn hand_over(parts: &Parts, heir: NodeId) -> Result<(), HandOverError> {
    let voters = parts.voters();
    if !voters.contains(heir) {
        return Err(HandOverError::NoVoter { node: heir, voters: voters.all().into_iter().collect() });
    }
    if heir == parts.me {
        return Ok(());
    }
    let Some(_silence) = Silence::begin(parts) else { return Err(HandOverError::Busy) };
    // A group that is on its way is let through first.
    drop(tokio::time::timeout(parts.timing.commit(), parts.writes.lock()).await);
    let mut last = HandOverError::Behind { node: heir };
    for _ in 0..ATTEMPTS {
        if !has_all(parts, heir).await {
            return Err(HandOverError::Behind { node: heir });
        }
        parts.raft.runtime_config().heartbeat(false);
        let asked = parts.peers.call(heir, wire::TAKE_OVER, Vec::new(), parts.timing.take_over()).await;
        parts.raft.runtime_config().heartbeat(true);
        let Err(error) = asked else {
            // So that whoever waits for this finds the new leader.
            next_leader(parts).await;
            return Ok(());
        };
        tracing::debug!(node = heir, %error, "the heir does not take over");
        // Its answer may be lost, or another one may have been elected.
        match next_leader(parts).await {
            Some(leader) if leader == heir => return Ok(()),
            Some(leader) if leader != parts.me => {
                return Err(HandOverError::NotElected { node: heir, leader: Some(leader) });
            }
            leader => last = HandOverError::NotElected { node: heir, leader },
        }
    }
    Err(last)
}

/// Who leads in a moment, this node perhaps.
async fn next_leader(parts: &Parts) -> Option<NodeId> {
    let mut server = parts.raft.server_metrics();
    let known = server.wait_for(|metrics| metrics.current_leader.is_some());
    // Without one by then, the next attempt finds nobody either.
    drop(tokio::time::timeout(parts.timing.lease(), known).await);
    parts.leader()
}

/// Waits until the heir has everything that is in the log.
async fn has_all(parts: &Parts, heir: NodeId) -> bool {
    let mut data = parts.raft.data_metrics();
    let all = data.wait_for(|metrics| {
        let has = metrics.replication.as_ref().and_then(|places| places.get(&heir).copied()).flatten();
        // No longer the leader: nothing to wait for.
        metrics.replication.is_none() || has.is_some() && has == metrics.last_log
    });
    tokio::time::timeout(parts.timing.commit(), all).await.is_ok_and(|metrics| metrics.is_ok())
}

/// Takes the lead over when its owner asks for it: stands as soon as a
/// majority would vote for this node.
pub(crate) async fn take_over(parts: &Parts) -> Result<Vec<u8>, String> {
    let taken = tokio::time::timeout(parts.timing.take_over(), async {
        loop {
            match elector::ask(parts).await {
                Asked::Yes if is_elected(parts).await? => return Ok(Vec::new()),
                Asked::Yes | Asked::No => tokio::time::sleep(AGAIN).await,
                Asked::NotBefore(wait) => tokio::time::sleep(wait).await,
            }
        }
    });
    taken.await.unwrap_or_else(|_| Err("this node was not elected".to_owned()))
}

async fn is_elected(parts: &Parts) -> Result<bool, String> {
    parts.contact.voted();
    parts.raft.trigger().elect().await.map_err(|error| error.to_string())?;
    let mut server = parts.raft.server_metrics();
    let leads = server.wait_for(|metrics| metrics.state == ServerState::Leader);
    let is_elected = tokio::time::timeout(parts.timing.vote(), leads).await.is_ok_and(|metrics| metrics.is_ok());
    if is_elected {
        // openraft's lease of this node counts from now.
        parts.contact.voted();
    }
    Ok(is_elected)
}

/// While it lives nothing is proposed; in the end all is as before.
struct Silence<'a>(&'a Parts);

impl<'a> Silence<'a> {
    fn begin(parts: &'a Parts) -> Option<Self> {
        let is_first = parts.hands_over.send_if_modified(|hands_over| !std::mem::replace(hands_over, true));
        is_first.then_some(Self(parts))
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.hands_over.send_replace(false);
    }
}

//! Taking a node out of the cluster for ever.
//!
//! Its vote goes first, its place among the members then: from the latter on
//! nobody talks to it, and a majority could still need it. The leader does both
//! while nobody else changes the members. **Whoever asks again after an
//! interruption is answered as if for the first time.**

use crate::forward;
use crate::handover::{self, HandOverError};
use crate::parts::Parts;
use crate::propose::ProposeError;
use crate::types::NodeId;
use crate::wire;
use control::{CommandOutcome, leader};
use model::entry::{Action, Body, Command, Origin};
use model::member::NodeId as MemberId;
use openraft::ChangeMembers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Why a node was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The cluster does not allow it, or could not decide anything afterwards.
    #[error("{why}")]
    Refused {
        /// Why, with what would help.
        why: String,
    },
    /// It leads, and nobody else took over.
    #[error("the node leads the cluster, and the lead could not be handed over")]
    HandOver(#[from] HandOverError),
    /// It is not known whether it is removed; asking again tells.
    #[error("it is not known whether the node is removed ({why}); ask again")]
    Unknown {
        /// What happened.
        why: String,
    },
}

/// What the leader is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    actor: String,
    key: String,
    node: NodeId,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Refused(String),
    Unknown(String),
}

impl From<Answer> for Result<(), RemoveError> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done => Ok(()),
            Answer::Refused(why) => Err(RemoveError::Refused { why }),
            Answer::Unknown(why) => Err(RemoveError::Unknown { why }),
        }
    }
}

/// Removes a node. One that leads hands over first.
pub(crate) async fn remove(parts: &Parts, actor: &str, key: String, node: NodeId) -> Result<(), RemoveError> {
    if parts.leader() == Some(node) {
        may_remove(parts, node).map_err(|why| RemoveError::Refused { why })?;
        let voters = parts.voters().all();
        if let Some(heir) = voters.into_iter().find(|heir| *heir != node && parts.is_heard(*heir)) {
            handover::transfer(parts, heir).await?;
        }
    }
    let request = Request { actor: actor.to_owned(), key, node };
    match forward::some_leader(parts).await {
        Some(leader) if leader == parts.me => carry_out(parts, request).await.into(),
        Some(leader) => {
            let timeout = parts.timing.commit() * 4;
            let answer = parts.peers.call(leader, wire::REMOVE, wire::encode(&request), timeout).await;
            let unknown = |why: String| RemoveError::Unknown { why };
            if answer.is_err() && node == parts.me && hears_of_it(parts).await {
                return Ok(());
            }
            let answer = answer.map_err(|error| unknown(error.to_string()))?;
            wire::decode::<Answer>(&answer).map_err(|error| unknown(error.to_string()))?.into()
        }
        None => Err(RemoveError::Refused { why: ProposeError::NoQuorum.to_string() }),
    }
}

/// Whether this node hears that it was removed, after which nobody answers it.
async fn hears_of_it(parts: &Parts) -> bool {
    let mut applied = parts.shared.watch();
    let me = MemberId(parts.me);
    let heard = applied.wait_for(|_| parts.shared.state().removed_nodes().contains(&me));
    tokio::time::timeout(parts.timing.without_quorum(), heard).await.is_ok_and(|heard| heard.is_ok())
}

/// Answers a node that asks the leader.
pub(crate) async fn answer(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let request: Request = wire::decode(body).map_err(|error| error.to_string())?;
    Ok(wire::encode(&carry_out(parts, request).await))
}

async fn carry_out(parts: &Parts, request: Request) -> Answer {
    let _alone = parts.changes_members.lock().await;
    if !parts.is_leader() {
        return Answer::Unknown("the leader changed".to_owned());
    }
    let Request { actor, key, node } = request;
    if let Err(why) = may_remove(parts, node) {
        return Answer::Refused(why);
    }
    if parts.voters().contains(node) {
        if node == parts.me {
            return Answer::Refused("the node leads the cluster by now; ask again".to_owned());
        }
        // It stays a learner, so that it can hear that it is removed.
        let change = parts.raft.change_membership(ChangeMembers::RemoveVoters(BTreeSet::from([node])), true);
        match tokio::time::timeout(parts.timing.commit() * 2, change).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Answer::Unknown(error.to_string()),
            Err(_) => return Answer::Unknown("taking its vote takes long".to_owned()),
        }
    }
    let action = Action::RemoveMember { node: MemberId(node) };
    let command = Command { actor, origin: Origin::CommandLine, key, expected_revision: None, action };
    match forward::propose(parts, Body::Command(command)).await {
        Ok(proposed) => match proposed.applied.outcome {
            CommandOutcome::Accepted => Answer::Done,
            CommandOutcome::Refused(why) => Answer::Refused(why),
        },
        Err(error) => Answer::Unknown(error.to_string()),
    }
}

/// Whether a majority would be there without it, by what this node hears.
fn may_remove(parts: &Parts, node: NodeId) -> Result<(), String> {
    let voters: BTreeSet<MemberId> = parts.voters().all().into_iter().map(MemberId).collect();
    let reachable = parts.peers.nodes().into_iter().chain([parts.me]).filter(|node| parts.is_heard(*node));
    let reachable = reachable.map(MemberId).collect();
    leader::may_remove(&parts.shared.state(), MemberId(node), &voters, &reachable)
}

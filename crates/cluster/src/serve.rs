//! What this node answers to others.
//!
//! Every kind of request is met here and passed to the file that knows what it
//! means. **A node that has failed answers nothing**, whatever it is asked.

use crate::elector;
use crate::failure::Failure;
use crate::forward;
use crate::handover;
use crate::identity::ClusterId;
use crate::invite;
use crate::marks::Testimony;
use crate::net::{self, Caller, Handler, Hello};
use crate::parts::Parts;
use crate::pulse;
use crate::remove;
use crate::stored::StoredLogId;
use crate::types::NodeId;
use crate::wire::{self, AppendAnswer, SnapshotAnswer, VoteAnswer};
use futures_util::future::BoxFuture;
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{AppendEntriesResponse, VoteRequest};
use std::sync::{Arc, OnceLock, Weak};

/// Answers other nodes. It does not keep the node alive.
#[derive(Debug, Default)]
pub(crate) struct Server {
    parts: OnceLock<Weak<Parts>>,
}

/// Said when the node is being closed, or has failed.
const STOPPED: &str = "this node stops";

impl Server {
    pub(crate) fn new(parts: &Arc<Parts>) -> Self {
        Self { parts: OnceLock::from(Arc::downgrade(parts)) }
    }

    fn parts(&self) -> Result<Arc<Parts>, String> {
        let parts = self.parts.get().and_then(Weak::upgrade);
        parts.filter(|parts| !parts.has_failed()).ok_or_else(|| STOPPED.to_owned())
    }
}

impl Handler for Server {
    fn hello(&self) -> Hello {
        let Ok(parts) = self.parts() else {
            // No cluster and no node: the peer refuses it, which is right.
            let (cluster, marks) = (ClusterId::default(), Vec::new());
            return Hello { cluster, node: 0, incarnation: 0, nonce: 0, marks, protocol: wire::PROTOCOL };
        };
        Hello {
            cluster: parts.cluster,
            node: parts.me,
            incarnation: parts.guard.incarnation(),
            nonce: parts.guard.nonce(),
            marks: parts.guard.testimony().encode(),
            protocol: wire::PROTOCOL,
        }
    }

    fn admit(&self, peer: &Hello) -> Result<(), String> {
        let parts = self.parts()?;
        let said = Testimony::decode(&peer.marks).ok_or("this version cannot read the marks of the other node")?;
        parts.guard.admit(peer.node, &said)
    }

    fn handle(&self, from: Caller, kind: u16, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let parts = self.parts();
        Box::pin(async move {
            let parts = parts?;
            match from {
                Caller::Member(node) => answer(parts, node, kind, body).await,
                Caller::Stranger if kind == wire::JOIN => invite::let_in(&parts, &body).await,
                Caller::Stranger => Err("a stranger may only join".to_owned()),
            }
        })
    }

    fn heard(&self, from: NodeId) {
        if let Ok(parts) = self.parts() {
            parts.peers.heard(from);
        }
    }

    fn refused(&self, by: NodeId, why: &str) {
        // It is tried again and again.
        let Ok(parts) = self.parts() else { return };
        if parts.peers.refused(by, why) {
            tracing::warn!(node = by, why, "a node does not admit this one");
        }
        // A removal is committed and for ever, so one that has applied it is enough.
        if why == net::REMOVED {
            parts.failure.report(Failure::Removed { node: parts.me });
        }
    }
}

async fn answer(parts: Arc<Parts>, from: NodeId, kind: u16, body: Vec<u8>) -> Result<Vec<u8>, String> {
    match kind {
        wire::APPEND => append(&parts, &body).await,
        wire::VOTE => vote(&parts, &body).await,
        wire::SNAPSHOT => snapshot(&parts, &body).await,
        wire::STAND => {
            let last: Option<StoredLogId> = wire::decode(&body).map_err(unreadable)?;
            Ok(wire::encode(&elector::would_vote(&parts, last)))
        }
        wire::PULSE => pulse::answer(&parts, from, &body),
        wire::PROPOSE => forward::answer(&parts, &body).await,
        wire::READ => {
            let position = if parts.is_leader() { forward::confirmed_position(&parts).await } else { None };
            Ok(wire::encode(&position))
        }
        wire::JOIN => invite::let_in(&parts, &body).await,
        wire::TAKE_OVER => handover::take_over(&parts).await,
        wire::HAND_OVER => handover::answer(&parts, &body).await,
        wire::REMOVE => remove::answer(&parts, &body).await,
        wire::SERVICE => service(&parts, from, body).await,
        unknown => Err(format!("this version does not know requests of kind {unknown}")),
    }
}

async fn append(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let request = wire::read_append_request(body).map_err(unreadable)?;
    let (vote, last) = (request.vote, request.entries.last().map(|entry| entry.log_id));
    let is_known_leader = parts.store.view().vote() == Some(vote);
    if is_known_leader {
        // A flush can take long; the leader is alive all the same.
        parts.contact.heard();
    }
    let answer = match parts.raft.append_entries(request).await {
        Ok(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)) => {
            parts.contact.heard();
            if let Some(last) = last {
                parts.guard.acknowledged(vote.leader_id.node_id, vote.into(), Some(last.into()));
            }
            AppendAnswer::Taken
        }
        Ok(AppendEntriesResponse::Conflict) => {
            parts.contact.heard();
            AppendAnswer::Conflict
        }
        Ok(AppendEntriesResponse::HigherVote(vote)) => AppendAnswer::Later(vote.into()),
        Err(error) => return Err(error.to_string()),
    };
    Ok(wire::encode(&answer))
}

async fn vote(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let request: wire::VoteRequest = wire::decode(body).map_err(unreadable)?;
    let request = VoteRequest::new(request.vote.into(), request.last.map(Into::into));
    let answer = parts.raft.vote(request).await.map_err(|error| error.to_string())?;
    if answer.vote_granted {
        parts.contact.voted();
    }
    let last = answer.last_log_id.map(Into::into);
    Ok(wire::encode(&VoteAnswer { vote: answer.vote.into(), last, is_granted: answer.vote_granted }))
}

async fn snapshot(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let request = wire::read_snapshot_request(body).map_err(unreadable)?;
    let vote = request.vote;
    let answer = match parts.raft.install_snapshot(request).await {
        Ok(answer) => {
            if answer.vote <= vote {
                parts.contact.heard();
            }
            SnapshotAnswer::Vote(answer.vote.into())
        }
        Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(_))) => SnapshotAnswer::FromTheStart,
        Err(error @ RaftError::Fatal(_)) => return Err(error.to_string()),
    };
    Ok(wire::encode(&answer))
}

async fn service(parts: &Parts, from: NodeId, mut body: Vec<u8>) -> Result<Vec<u8>, String> {
    let Some(service) = parts.service.clone() else { return Err("this node answers no such requests".to_owned()) };
    // The kind travels behind the body, so that a large one need not be moved.
    let kind = body.pop().ok_or("a request without a kind")?;
    service.answer(model::member::NodeId(from), kind, body).await
}

fn unreadable(error: wire::WireError) -> String {
    error.to_string()
}

//! How openraft reaches other nodes.
//!
//! openraft waits for the answer to an append no longer than a heartbeat and
//! then asks again. A large entry, a slow line or a slow disk takes longer, and
//! sending it anew each time would never end. So **an append that is under way
//! is not sent twice**: who asks again waits for the first one, and meanwhile
//! the follower is shown that the leader is alive.
//!
//! It also sends one thing at a time, and after each commit tells the follower
//! so, which would cost every command a second round trip. So what carries no
//! entries is not waited for as long as the follower answers otherwise.

use crate::guard::Guard;
use crate::net::CallError;
use crate::peers::Peers;
use crate::timing::Timing;
use crate::types::{LogId, NodeId, Peer, TypeConfig, Vote};
use crate::wire::{self, AppendAnswer, SnapshotAnswer, VoteAnswer, WireError};
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory, SnapshotSegmentId};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{JoinHandle, JoinSet};

type Failed<E> = RPCError<NodeId, Peer, E>;

/// Makes links.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) peers: Arc<Peers>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) timing: Timing,
}

/// The way to one node.
pub(crate) struct Link {
    target: NodeId,
    links: Links,
    under_way: Option<UnderWay>,
    /// Empty appends that nobody waits for.
    shown: JoinSet<Option<(AppendAnswer, Instant)>>,
    /// When the last append was sent that was answered as it should be.
    answered: Option<Instant>,
}

/// Empty appends that may be on their way unwaited for; more wait.
const SHOWN_MAX: usize = 4;

/// An append that was sent and is not answered yet.
#[derive(Debug)]
struct UnderWay {
    vote: Vote,
    previous: Option<LogId>,
    last: Option<LogId>,
    sent: Instant,
    answer: JoinHandle<Result<Vec<u8>, CallError>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl UnderWay {
    /// Whether it is the beginning of what is asked for now.
    fn begins(&self, request: &AppendEntriesRequest<TypeConfig>) -> bool {
        let last = request.entries.last().map(|entry| entry.log_id);
        self.vote == request.vote && self.previous == request.prev_log_id && self.last <= last
    }
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    /// The address is looked up at each call, because it can change.
    async fn new_client(&mut self, target: NodeId, _node: &Peer) -> Link {
        Link { target, links: self.clone(), under_way: None, shown: JoinSet::new(), answered: None }
    }
}

impl RaftNetwork<TypeConfig> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed<RaftError<NodeId>>> {
        if let Some(answer) = self.collect() {
            return Ok(append_response(answer, AppendEntriesResponse::Success));
        }
        if request.entries.is_empty() {
            return self.show(&request, &option).await;
        }
        let last = request.entries.last().map(|entry| entry.log_id);
        let is_again = self.under_way.as_ref().is_some_and(|under_way| under_way.begins(&request));
        if !is_again {
            self.under_way = Some(self.send(&request));
        }
        let (answer, upto, sent) = self.answer(is_again, &option).await?;
        let answer = read(&answer)?;
        if answer == AppendAnswer::Taken {
            self.answered = self.answered.max(Some(sent));
            self.links.guard.acknowledged(self.target, request.vote.into(), upto.map(Into::into));
        }
        let taken =
            if upto == last { AppendEntriesResponse::Success } else { AppendEntriesResponse::PartialSuccess(upto) };
        Ok(append_response(answer, taken))
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<RaftError<NodeId, InstallSnapshotError>>> {
        let answer = self.call(wire::SNAPSHOT, wire::snapshot_request(&request), &option).await?;
        match read(&answer)? {
            SnapshotAnswer::Vote(vote) => Ok(InstallSnapshotResponse { vote: vote.into() }),
            SnapshotAnswer::FromTheStart => {
                let id = request.meta.snapshot_id;
                let segment = |offset| SnapshotSegmentId { id: id.clone(), offset };
                let mismatch = SnapshotMismatch { expect: segment(0), got: segment(request.offset) };
                let error = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.target, error)))
            }
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failed<RaftError<NodeId>>> {
        let request = wire::VoteRequest { vote: request.vote.into(), last: request.last_log_id.map(Into::into) };
        let answer: VoteAnswer = read(&self.call(wire::VOTE, wire::encode(&request), &option).await?)?;
        let vote = Vote::from(answer.vote);
        Ok(VoteResponse { vote, vote_granted: answer.is_granted, last_log_id: answer.last.map(Into::into) })
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.links.timing.heartbeat() * 2))
    }
}

impl Link {
    async fn call<E: std::error::Error>(
        &self,
        kind: u16,
        body: Vec<u8>,
        option: &RPCOption,
    ) -> Result<Vec<u8>, Failed<E>> {
        self.links.peers.call(self.target, kind, body, option.hard_ttl()).await.map_err(|error| failed(&error))
    }

    /// Sends an append without entries. It is waited for only if the follower
    /// did not answer within the last heartbeat, so that openraft's notion of
    /// when a majority answered is off by no more than that. Reads, for which
    /// that would be wrong, are confirmed over a link of their own.
    async fn show(
        &mut self,
        request: &AppendEntriesRequest<TypeConfig>,
        option: &RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed<RaftError<NodeId>>> {
        let (sent, body) = (Instant::now(), wire::append_request(request));
        let is_answering = self.answered.is_some_and(|at| at.elapsed() < self.links.timing.heartbeat());
        if is_answering && self.shown.len() < SHOWN_MAX {
            let (peers, target, timeout) = (Arc::clone(&self.links.peers), self.target, self.links.timing.append());
            self.shown.spawn(async move {
                let answer = peers.call(target, wire::APPEND, body, timeout).await.ok()?;
                wire::decode(&answer).ok().map(|answer| (answer, sent))
            });
            return Ok(AppendEntriesResponse::Success);
        }
        let answer = read(&self.call(wire::APPEND, body, option).await?)?;
        if answer == AppendAnswer::Taken {
            self.answered = self.answered.max(Some(sent));
        }
        Ok(append_response(answer, AppendEntriesResponse::Success))
    }

    /// Takes the answers that came to what was not waited for; the first that
    /// says something else than yes is the answer to what is sent next. One
    /// that lacks an earlier place in the log lacks the later ones too.
    fn collect(&mut self) -> Option<AppendAnswer> {
        while let Some(shown) = self.shown.try_join_next() {
            match shown {
                Ok(Some((AppendAnswer::Taken, sent))) => self.answered = self.answered.max(Some(sent)),
                Ok(Some((answer, _))) => return Some(answer),
                // The next one is waited for.
                Ok(None) | Err(_) => self.answered = None,
            }
        }
        None
    }

    fn send(&self, request: &AppendEntriesRequest<TypeConfig>) -> UnderWay {
        let (peers, target, timeout) = (Arc::clone(&self.links.peers), self.target, self.links.timing.append());
        let body = wire::append_request(request);
        UnderWay {
            vote: request.vote,
            previous: request.prev_log_id,
            last: request.entries.last().map(|entry| entry.log_id),
            sent: Instant::now(),
            answer: tokio::spawn(async move { peers.call(target, wire::APPEND, body, timeout).await }),
        }
    }

    /// Waits for the answer to what is under way; when this is dropped before
    /// it comes, it stays under way.
    async fn answer(
        &mut self,
        is_again: bool,
        option: &RPCOption,
    ) -> Result<(Vec<u8>, Option<LogId>, Instant), Failed<RaftError<NodeId>>> {
        let Some(under_way) = &mut self.under_way else { return Err(failed(&CallError::Closed)) };
        let (upto, sent) = (under_way.last, under_way.sent);
        let body = wire::append_request(&AppendEntriesRequest {
            vote: under_way.vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        });
        let peers = &self.links.peers;
        let show = async {
            if is_again {
                // Its answer is that of any heartbeat, and nobody waits for it.
                let _ = peers.call(self.target, wire::APPEND, body, option.hard_ttl()).await;
            }
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = &mut under_way.answer => answer,
            answer = show => answer,
        };
        self.under_way = None;
        match answer {
            Ok(Ok(bytes)) => Ok((bytes, upto, sent)),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(RPCError::Network(NetworkError::new(&error))),
        }
    }
}

fn append_response(answer: AppendAnswer, taken: AppendEntriesResponse<NodeId>) -> AppendEntriesResponse<NodeId> {
    match answer {
        AppendAnswer::Taken => taken,
        AppendAnswer::Conflict => AppendEntriesResponse::Conflict,
        AppendAnswer::Later(vote) => AppendEntriesResponse::HigherVote(vote.into()),
    }
}

fn read<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NetworkError> {
    wire::decode(bytes).map_err(|error: WireError| NetworkError::new(&error))
}

/// What openraft makes of a failed call: it pauses before it asks a node again
/// that cannot be reached or will not listen, and not after a broken or lost answer.
fn failed<E: std::error::Error>(error: &CallError) -> Failed<E> {
    match error {
        CallError::Unreachable { .. } | CallError::Refused { .. } | CallError::Answered(_) | CallError::Closed => {
            RPCError::Unreachable(Unreachable::new(error))
        }
        CallError::Broken { .. } | CallError::TimedOut { .. } | CallError::TooLarge { .. } => {
            RPCError::Network(NetworkError::new(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::StoredVote;

    #[test]
    fn a_later_vote_is_passed_on() {
        let vote = StoredVote::from(Vote::new(9, 3));
        let response = append_response(AppendAnswer::Later(vote), AppendEntriesResponse::Success);
        assert_eq!(response, AppendEntriesResponse::HigherVote(Vote::new(9, 3)));
    }
}

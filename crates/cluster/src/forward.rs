//! Proposals on any node: to the leader, wherever it is.
//!
//! A proposal is made here if this node leads, else it is passed on, and the
//! answer comes when *this* node has applied it, so that people read their own
//! writes. **What may have been taken once is never reported as refused**: it is
//! sent again only if a repetition does no harm.

use crate::parts::Parts;
use crate::propose::{self, Proposal, ProposeError, Proposed};
use crate::types::NodeId;
use crate::wire::{self, WireError};
use control::Applied;
use model::entry::{Body, Entry};
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The pause before somebody is asked again who cannot be reached, or who may
/// lead in a moment: a few round trips.
const AGAIN: Duration = Duration::from_millis(20);
/// What an answer may take on the way, beyond what the leader waits for.
const WAY: Duration = Duration::from_secs(1);

/// The answer to a proposal that was passed on.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done { index: u64, applied: Applied },
    NotTaken,
    TooLarge(u64),
    DiskFull,
    Unknown,
    Stopped,
}

/// Why an attempt came to nothing.
enum Failed {
    /// It is in no log; somebody else is to be asked, or the same one later.
    NotTaken,
    /// It may be in the log.
    Unknown,
    /// Asking again would bring the same.
    ForGood(ProposeError),
}

/// Proposes an entry wherever it can be.
pub(crate) async fn propose(parts: &Parts, body: Body) -> Result<Proposed, ProposeError> {
    let began = Instant::now();
    let mut may_be_there = false;
    loop {
        let error = match attempt(parts, &body).await {
            Ok(proposed) => return Ok(proposed),
            Err(error) => error,
        };
        may_be_there |= matches!(error, Failed::Unknown);
        // What may be there is asked after for longer: to know is worth a wait.
        let limit = if may_be_there { parts.timing.commit() } else { parts.timing.leaderless() };
        let is_late = began.elapsed() >= limit || is_cut_off(parts);
        match error {
            Failed::ForGood(_) if may_be_there => return Err(ProposeError::Unknown),
            Failed::ForGood(error) => return Err(error),
            Failed::Unknown if is_late || !can_be_repeated(&body) => return Err(ProposeError::Unknown),
            Failed::NotTaken if is_late && may_be_there => return Err(ProposeError::Unknown),
            Failed::NotTaken if is_late => return Err(ProposeError::NoQuorum),
            Failed::NotTaken | Failed::Unknown => {}
        }
        if parts.has_failed() {
            return Err(ProposeError::Stopped);
        }
        wait_for_change(parts).await;
    }
}

/// Whether this node has been without a majority for longer than an election takes.
fn is_cut_off(parts: &Parts) -> bool {
    parts.alone_for().is_some_and(|alone| alone > parts.timing.leaderless())
}

/// Who leads, waited for as long as a proposal is.
pub(crate) async fn some_leader(parts: &Parts) -> Option<NodeId> {
    let began = Instant::now();
    loop {
        let leader = parts.leader();
        if leader.is_some() || began.elapsed() >= parts.timing.leaderless() || is_cut_off(parts) {
            return leader;
        }
        wait_for_change(parts).await;
    }
}

/// Waits until somebody else seems to lead, or a moment.
async fn wait_for_change(parts: &Parts) {
    let mut server = parts.raft.server_metrics();
    server.borrow_and_update();
    // Who waits meets either a change or the end of the pause; both are fine.
    let _ = tokio::time::timeout(AGAIN, server.changed()).await;
}

async fn attempt(parts: &Parts, body: &Body) -> Result<Proposed, Failed> {
    match parts.leader() {
        Some(leader) if leader == parts.me => here(parts, body.clone()).await,
        Some(leader) => there(parts, leader, body).await,
        None => Err(Failed::NotTaken),
    }
}

/// Proposes on this node.
async fn here(parts: &Parts, body: Body) -> Result<Proposed, Failed> {
    // Asked here already: with no room at all the proposer waits for some.
    propose::admit(&body, parts.gauge.get())?;
    let (reply, answer) = oneshot::channel();
    let stopped = Failed::ForGood(ProposeError::Stopped);
    if parts.proposals.send(Proposal { body, reply }).await.is_err() {
        return Err(stopped);
    }
    match answer.await {
        Ok(Ok(proposed)) => Ok(proposed),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(stopped),
    }
}

impl From<ProposeError> for Failed {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NoQuorum => Self::NotTaken,
            ProposeError::Unknown => Self::Unknown,
            ProposeError::TooLarge { .. } | ProposeError::DiskFull | ProposeError::Stopped => Self::ForGood(error),
        }
    }
}

/// Has another node propose it.
async fn there(parts: &Parts, leader: NodeId, body: &Body) -> Result<Proposed, Failed> {
    // The stamp is the leader's; the form of an entry is the one that is versioned.
    let bytes = Entry { at: Timestamp::EPOCH, body: body.clone() }.encode();
    let call = parts.peers.call(leader, wire::PROPOSE, bytes, parts.timing.commit() + WAY);
    // A leader that stands still answers late or never; what can be repeated
    // does not wait for it when there is another one.
    let called = tokio::select! {
        called = call => called,
        () = another_leads(parts, leader), if can_be_repeated(body) => return Err(Failed::Unknown),
    };
    let answer = match called {
        Ok(bytes) => wire::decode::<Answer>(&bytes).map_err(|_: WireError| Failed::Unknown)?,
        Err(error) if error.is_perhaps_done() => return Err(Failed::Unknown),
        Err(_) => return Err(Failed::NotTaken),
    };
    match answer {
        Answer::Done { index, applied } => {
            let mut watch = parts.shared.watch();
            // It is decided either way. A node that has lost touch meanwhile
            // must not make its caller believe that it is not.
            let _ = tokio::time::timeout(parts.timing.commit(), watch.wait_for(|applied| *applied >= index)).await;
            Ok(Proposed { index, applied })
        }
        Answer::NotTaken => Err(Failed::NotTaken),
        Answer::Unknown => Err(Failed::Unknown),
        Answer::TooLarge(bytes) => {
            Err(Failed::ForGood(ProposeError::TooLarge { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }))
        }
        Answer::DiskFull => Err(Failed::ForGood(ProposeError::DiskFull)),
        // It stops; the next leader may know more.
        Answer::Stopped => Err(Failed::Unknown),
    }
}

/// Waits until another node leads than the one that is asked.
async fn another_leads(parts: &Parts, asked: NodeId) {
    let mut server = parts.raft.server_metrics();
    let is_another = |leader: Option<NodeId>| leader.is_some_and(|leader| leader != asked);
    // It cannot end while the node runs.
    if server.wait_for(|metrics| is_another(metrics.current_leader)).await.is_err() {
        std::future::pending().await
    }
}

/// Answers a proposal that another node passed on.
pub(crate) async fn answer(parts: &Parts, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let entry = Entry::decode(bytes).map_err(|error| format!("cannot read the proposal: {error}"))?;
    if !parts.is_leader() {
        return Ok(wire::encode(&Answer::NotTaken));
    }
    let answer = match here(parts, entry.body).await {
        Ok(Proposed { index, applied }) => Answer::Done { index, applied },
        Err(Failed::NotTaken) => Answer::NotTaken,
        Err(Failed::Unknown) => Answer::Unknown,
        Err(Failed::ForGood(ProposeError::TooLarge { bytes })) => {
            Answer::TooLarge(u64::try_from(bytes).unwrap_or(u64::MAX))
        }
        Err(Failed::ForGood(ProposeError::DiskFull)) => Answer::DiskFull,
        Err(Failed::ForGood(ProposeError::Stopped | ProposeError::NoQuorum | ProposeError::Unknown)) => Answer::Stopped,
    };
    Ok(wire::encode(&answer))
}

/// Whether an entry may be in the log twice: the machine knows a command by its
/// key and a batch by its number, and the rest says how things are.
fn can_be_repeated(body: &Body) -> bool {
    match body {
        Body::Command(command) => !command.key.is_empty(),
        Body::Results(_) | Body::Tick | Body::Condition(_) | Body::Presence { .. } | Body::Egress { .. } => true,
        // A second beginning would be refused although the first is in the
        // log, and a second end counted as another failure.
        Body::AttemptBegins { .. } | Body::AttemptEnded { .. } => false,
    }
}

/// Waits until this node has applied everything that was acknowledged, by any
/// node, before the call.
pub(crate) async fn read_barrier(parts: &Parts) -> Result<(), ReadError> {
    let all = async {
        loop {
            match read_position(parts).await {
                Some(position) => {
                    parts.shared.reach(position).await;
                    return;
                }
                None => wait_for_change(parts).await,
            }
        }
    };
    tokio::select! {
        done = tokio::time::timeout(parts.timing.read(), all) => done.map_err(|_| ReadError::NoQuorum),
        _ = parts.failure.wait() => Err(ReadError::Stopped),
    }
}

/// Why nothing can be read as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No majority answered in time.
    #[error("no majority of the nodes can be reached; what this node knows may be out of date")]
    NoQuorum,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// The position up to which everything that was acknowledged lies.
async fn read_position(parts: &Parts) -> Option<u64> {
    let leader = parts.leader()?;
    if leader == parts.me {
        return confirmed_position(parts).await;
    }
    let call = parts.peers.call(leader, wire::READ, Vec::new(), parts.timing.read());
    let answer = tokio::select! {
        answer = call => answer.ok()?,
        () = another_leads(parts, leader) => return None,
    };
    wire::decode::<Option<u64>>(&answer).ok()?
}

/// The same on the leader: confirmed by a majority that it still is one.
pub(crate) async fn confirmed_position(parts: &Parts) -> Option<u64> {
    if *parts.hands_over.borrow() {
        // Being confirmed would renew the lease that is to end.
        return None;
    }
    let (position, _) = parts.raft.get_read_log_id().await.ok()?;
    position.map(|id| id.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::entry::{Action, Command, Origin};
    use model::member::NodeId;

    #[test]
    fn only_what_is_known_by_its_key_is_sent_again() {
        let command = |key: &str| {
            Body::Command(Command {
                actor: "a".into(),
                origin: Origin::Api,
                key: key.into(),
                expected_revision: None,
                action: Action::TestReceivers,
            })
        };
        assert!(can_be_repeated(&command("k")) && !can_be_repeated(&command("")));
        assert!(!can_be_repeated(&Body::AttemptBegins { key: "d".into(), attempt: 1, node: NodeId(1) }));
        assert!(can_be_repeated(&Body::Tick));
    }
}

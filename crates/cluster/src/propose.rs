//! From many proposers to one log: stamps entries and joins what waits.
//!
//! One task takes proposals from a bounded queue. While one group is on its
//! way to the disk the next one gathers, so proposers share flushes without
//! anybody waiting for company. **Stamps are given in the order of the log.**

use crate::clock::{self, ClockEvent, ClockModel};
use crate::machine::Shared;
use crate::room::{Room, RoomGauge};
use crate::types::{Group, NodeId, Raft};
use control::Applied;
use model::entry::{Body, Entry};
use model::limits::ENTRY_BYTES_MAX;
use openraft::error::{ClientWriteError, RaftError};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Proposals that may wait; whoever finds the queue full waits for a place.
pub(crate) const QUEUE_LENGTH: usize = 1024;
/// Entries in one group: enough to share a slow disk's flush among a storm of
/// deliveries, few enough to be applied within milliseconds.
const GROUP_ENTRIES_MAX: usize = 256;
/// A group is closed from this size on; its last entry may go beyond.
const GROUP_BYTES: usize = 1 << 20;

/// An entry that is on disk and applied.
#[derive(Debug)]
pub struct Proposed {
    /// Its index.
    pub index: u64,
    /// What applying it gave.
    pub applied: Applied,
}

/// Why an entry was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It is larger than an entry may be. It is not in the log.
    #[error("the entry has {bytes} bytes, at most {ENTRY_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The disk is full. It is not in the log; it will be taken when there is room.
    #[error("the disk of the data directory is full; commands are taken again when there is room")]
    DiskFull,
    /// Another node leads, or none does. It is not in the log.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, if that is known.
        leader: Option<NodeId>,
    },
    /// The node has stopped. Whether the entry is in the log is not known; a
    /// command is repeated with the same key.
    #[error("the node has stopped; it is not known whether the entry was stored")]
    Stopped,
}

/// An entry to be, with the way to answer.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) body: Body,
    pub(crate) reply: oneshot::Sender<Result<Proposed, ProposeError>>,
}

/// Whether there is room for a body. Without the reserve only what keeps
/// watching and telling alive is taken.
pub(crate) fn admit(body: &Body, room: Room) -> Result<(), ProposeError> {
    match (room, body) {
        (Room::Ample, _) => Ok(()),
        (Room::Exhausted, _) | (Room::Tight, Body::Command(_)) => Err(ProposeError::DiskFull),
        (
            Room::Tight,
            Body::Tick | Body::Results(_) | Body::AttemptBegins { .. } | Body::AttemptEnded { .. } | Body::Condition(_),
        ) => Ok(()),
    }
}

/// The task that makes groups of proposals.
pub(crate) struct Proposer {
    pub(crate) raft: Raft,
    pub(crate) shared: Arc<Shared>,
    pub(crate) gauge: Arc<RoomGauge>,
    pub(crate) clock: ClockModel,
    pub(crate) ahead: Arc<clock::Ahead>,
    pub(crate) clock_events: mpsc::Sender<ClockEvent>,
}

impl Proposer {
    /// Runs until the node closes; what waits by then is still carried out.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Proposal>, mut closing: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                _ = closing.wait_for(|is_closing| *is_closing), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                next = queue.recv() => next,
            };
            let Some(first) = first else { return };
            // Those who were answered just now run first and join this group.
            tokio::task::yield_now().await;
            let (group, replies) = self.gather(first, &mut queue);
            self.write(group, replies).await;
        }
    }

    fn gather(&mut self, first: Proposal, queue: &mut mpsc::Receiver<Proposal>) -> (Group, Vec<Reply>) {
        let mut entries = Vec::new();
        let mut replies = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(Proposal { body, reply }) = next {
            match self.encode(body) {
                Ok((entry, encoded)) => {
                    bytes += encoded.len();
                    entries.push((entry, encoded));
                    replies.push(reply);
                }
                // Whoever proposed may have gone.
                Err(error) => drop(reply.send(Err(error))),
            }
            let is_full = entries.len() >= GROUP_ENTRIES_MAX || bytes >= GROUP_BYTES;
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        (Group::new(entries), replies)
    }

    fn encode(&mut self, body: Body) -> Result<(Arc<Entry>, Vec<u8>), ProposeError> {
        admit(&body, self.gauge.get())?;
        self.clock.raise(self.shared.now());
        let (wall, boot) = clock::read();
        let (at, event) = self.clock.stamp(wall, boot);
        self.ahead.follow(&self.clock);
        if let Some(event) = event {
            tracing::warn!(%event, "clock");
            // Nobody may listen; the log line above is there all the same.
            let _ = self.clock_events.try_send(event);
        }
        let entry = Entry { at, body };
        let encoded = entry.encode();
        if encoded.len() > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: encoded.len() });
        }
        Ok((Arc::new(entry), encoded))
    }

    async fn write(&self, group: Group, replies: Vec<Reply>) {
        if replies.is_empty() {
            return;
        }
        let error = match self.raft.client_write(group).await {
            Ok(written) => {
                let first = written.data.first;
                let answers = (first..).zip(written.data.applied);
                for (reply, (index, applied)) in replies.into_iter().zip(answers) {
                    let _ = reply.send(Ok(Proposed { index, applied }));
                }
                return;
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                ProposeError::NotLeader { leader: forward.leader_id }
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(_)) | RaftError::Fatal(_)) => {
                ProposeError::Stopped
            }
        };
        for reply in replies {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

type Reply = oneshot::Sender<Result<Proposed, ProposeError>>;

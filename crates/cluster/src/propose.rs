//! From many proposers to one log: stamps entries and joins what waits.
//!
//! One task takes proposals from a bounded queue. While one group is on its
//! way to the disk the next one gathers, so proposers share flushes without
//! anybody waiting for company. **Stamps are given in the order of the log.**

use crate::clock::{self, ClockEvent, ClockModel};
use crate::parts::Parts;
use crate::room::Room;
use crate::types::{Answers, Group};
use control::Applied;
use model::entry::{Body, Entry};
use model::limits::ENTRY_BYTES_MAX;
use openraft::error::ClientWriteError;
use std::sync::Arc;
use std::time::Instant;
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
    /// No majority of the nodes can be reached, so nobody leads. It is not in
    /// the log and never will be.
    #[error("no majority of the nodes can be reached; nothing is stored until one is there again")]
    NoQuorum,
    /// It was sent and nobody knows what became of it: the leader went, or
    /// lost its majority, at that moment. It may be in the log, or come into it
    /// yet; a command is repeated with the same key.
    #[error("it is not known whether the entry was stored: the nodes lost touch at that moment")]
    Unknown,
    /// The node has stopped. Whether the entry is in the log is not known; a
    /// command is repeated with the same key.
    #[error("the node has stopped; it is not known whether the entry was stored")]
    Stopped,
}

impl ProposeError {
    /// Whether the entry may be in the log all the same.
    pub fn is_perhaps_stored(&self) -> bool {
        match self {
            Self::Unknown | Self::Stopped => true,
            Self::TooLarge { .. } | Self::DiskFull | Self::NoQuorum => false,
        }
    }
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
            Body::Tick
            | Body::Results(_)
            | Body::AttemptBegins { .. }
            | Body::AttemptEnded { .. }
            | Body::Condition(_)
            | Body::Presence { .. }
            | Body::Egress { .. },
        ) => Ok(()),
    }
}

/// The task that makes groups of proposals.
pub(crate) struct Proposer {
    pub(crate) parts: Arc<Parts>,
    pub(crate) clock: ClockModel,
    pub(crate) ahead: Arc<clock::Ahead>,
    pub(crate) clock_events: mpsc::Sender<ClockEvent>,
    /// Since when a group waits for a majority that does not answer.
    pub(crate) stuck_since: Option<Instant>,
}

impl Proposer {
    /// Runs until the node closes; what waits by then is still carried out.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Proposal>, mut closing: watch::Receiver<bool>) {
        let mut hands_over = self.parts.hands_over.subscribe();
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
            // The next leader must have all there is; what comes now is for it.
            let _ = hands_over.wait_for(|hands_over| !hands_over).await;
            // Those who were answered just now run first and join this group.
            tokio::task::yield_now().await;
            let parts = Arc::clone(&self.parts);
            let _writing = parts.writes.lock().await;
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
        admit(&body, self.parts.gauge.get())?;
        self.check_majority()?;
        self.clock.raise(self.parts.shared.now());
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

    /// Refuses at once what would only wait. A leader that lost its majority
    /// goes on to lead, because openraft 0.9 leaves it to others to depose it.
    fn check_majority(&mut self) -> Result<(), ProposeError> {
        if !self.parts.is_leader() {
            // openraft says the same, and knows better.
            return Ok(());
        }
        let quorum = self.parts.quorum();
        let has_answered = |stuck: Instant| quorum.since.is_some_and(|since| since < stuck.elapsed());
        if quorum.is_there && self.stuck_since.is_none_or(has_answered) {
            self.stuck_since = None;
            return Ok(());
        }
        Err(ProposeError::NoQuorum)
    }

    async fn write(&mut self, group: Group, replies: Vec<Reply>) {
        if replies.is_empty() {
            return;
        }
        let error = match self.commit(group).await {
            Ok(written) => {
                let answers = (written.first..).zip(written.applied);
                for (reply, (index, applied)) in replies.into_iter().zip(answers) {
                    // Whoever proposed may have gone.
                    let _ = reply.send(Ok(Proposed { index, applied }));
                }
                return;
            }
            Err(error) => error,
        };
        for reply in replies {
            let _ = reply.send(Err(error.clone()));
        }
    }

    async fn commit(&mut self, group: Group) -> Result<Answers, ProposeError> {
        let parts = &self.parts;
        let written = parts.raft.client_write_ff(group.clone()).await.map_err(|_| ProposeError::Stopped)?;
        let written = if parts.voters().is_only(parts.me) {
            // There is nobody to lose touch with; a disk that is full is waited for.
            written.await
        } else {
            match tokio::time::timeout(parts.timing.commit(), written).await {
                Ok(written) => written,
                Err(_) => {
                    self.stuck_since = Some(Instant::now());
                    return Err(ProposeError::Unknown);
                }
            }
        };
        match written {
            Ok(Ok(written)) => Ok(written.data),
            Ok(Err(ClientWriteError::ForwardToLeader(_))) if group.is_taken() => Err(ProposeError::Unknown),
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => Err(ProposeError::NoQuorum),
            Ok(Err(ClientWriteError::ChangeMembershipError(_))) | Err(_) => Err(ProposeError::Stopped),
        }
    }
}

type Reply = oneshot::Sender<Result<Proposed, ProposeError>>;

//! Keeps the marks of all nodes, and judges by them; what they are and why is
//! said in [`crate::marks`].
//!
//! A node that finds itself behind what others say of it stops: **it has
//! forgotten something it may have promised.**

use crate::change::Change;
use crate::failure::{Failure, FailureSlot};
use crate::marks::{self, Mark, Shown, Testimony};
use crate::room::{Room, RoomGauge};
use crate::store::LogStore;
use crate::stored::{StoredLogId, StoredVote};
use crate::types::NodeId;
use crate::writer::Job;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often places in the log are written down when nothing else has changed:
/// a page of the write-ahead log each time.
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// The marks of one node.
#[derive(Debug)]
pub(crate) struct Guard {
    me: NodeId,
    incarnation: u64,
    /// Drawn at this start.
    nonce: u64,
    store: LogStore,
    gauge: Arc<RoomGauge>,
    failure: FailureSlot,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    marks: BTreeMap<NodeId, Mark>,
    is_written: bool,
    written_at: Instant,
}

impl Guard {
    pub(crate) fn new(
        me: NodeId,
        nonce: u64,
        store: LogStore,
        marks: BTreeMap<NodeId, Mark>,
        gauge: Arc<RoomGauge>,
        failure: FailureSlot,
    ) -> Self {
        let incarnation = store.writer().durable().incarnation;
        let seen = Mutex::new(Seen { marks, is_written: true, written_at: Instant::now() });
        Self { me, incarnation, nonce, store, gauge, failure, seen }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// How far this node is, as far as it is on the disk.
    pub(crate) fn shown(&self) -> Shown {
        let committed = self.store.view().committed().map(StoredLogId::from);
        let durable = self.store.writer().durable();
        let mark = Mark {
            incarnation: self.incarnation,
            nonce: self.nonce,
            vote: durable.vote.map(StoredVote::candidate),
            acknowledged: None,
            committed,
        };
        Shown { mark, last: durable.last }
    }

    /// What this node says about itself and others.
    pub(crate) fn testimony(&self) -> Testimony {
        Testimony { shown: self.shown(), seen: self.lock().marks.clone() }
    }

    /// Judges a node at the beginning of a connection. Blocks: a start that was
    /// not seen before is on this node's disk before it is answered, because
    /// this node may be the only one to remember it.
    ///
    /// # Errors
    /// The sentence for the other side.
    pub(crate) fn admit(&self, peer: NodeId, said: &Testimony) -> Result<(), String> {
        self.judge_self(peer, said)?;
        let known = self.lock().marks.get(&peer).copied().unwrap_or_default();
        if let Err(behind) = known.judge_peer(&said.shown) {
            tracing::error!(node = peer, %behind, "a node was rolled back and is refused");
            return Err(format!("node {peer} was rolled back or copied: {behind}; replace it by a new node"));
        }
        let is_new_start = said.shown.mark.incarnation > known.incarnation;
        self.take(peer, said);
        if is_new_start && self.gauge.get() != Room::Exhausted {
            let marks = marks::encode(&self.lock().marks);
            // The log is closed: this node ends, and answers nobody.
            self.store.writer().change_now(Change::Marks(marks)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Hears what another node says between greetings.
    ///
    /// # Errors
    /// The sentence for the other side.
    pub(crate) fn hear(&self, peer: NodeId, said: &Testimony) -> Result<(), String> {
        self.judge_self(peer, said)?;
        self.take(peer, said);
        Ok(())
    }

    /// A node has acknowledged the log up to a place to the leader of a vote,
    /// or, being that leader, has it itself.
    pub(crate) fn acknowledged(&self, node: NodeId, vote: StoredVote, place: Option<StoredLogId>) {
        let mut seen = self.lock();
        // Without a start it is not known to be what a greeting has shown.
        let Some(known) = seen.marks.get_mut(&node) else { return };
        let had_vote = known.vote;
        let mark = Mark { vote: Some(vote.candidate()), acknowledged: place, ..Mark::default() };
        if known.raise(&mark) {
            let is_new_vote = known.vote != had_vote;
            self.write(&mut seen, is_new_vote);
        }
    }

    /// Forgets all but these nodes.
    pub(crate) fn retain(&self, nodes: &BTreeSet<NodeId>) {
        let mut seen = self.lock();
        let count = seen.marks.len();
        seen.marks.retain(|node, _| nodes.contains(node));
        if seen.marks.len() < count {
            self.write(&mut seen, true);
        }
    }

    /// Writes down what was put off.
    pub(crate) fn settle(&self) {
        let mut seen = self.lock();
        if !seen.is_written {
            self.write(&mut seen, true);
        }
    }

    fn judge_self(&self, peer: NodeId, said: &Testimony) -> Result<(), String> {
        let Some(mark) = said.seen.get(&self.me) else { return Ok(()) };
        // Read after the message came, so what it says is of the past.
        let behind = match mark.judge_self(&self.shown()) {
            Ok(()) => return Ok(()),
            Err(behind) => behind,
        };
        self.failure.report(Failure::RolledBack { node: self.me, by: peer, behind });
        Err(format!("node {} was rolled back or copied and stops: {behind}", self.me))
    }

    fn take(&self, peer: NodeId, said: &Testimony) {
        let mut seen = self.lock();
        let others = said.seen.iter().filter(|(node, _)| **node != self.me && **node != peer);
        let mut is_urgent = false;
        let mut is_news = false;
        for (node, mark) in others.chain([(&peer, &said.shown.mark)]) {
            let known = seen.marks.entry(*node).or_default();
            let before = (known.incarnation, known.vote);
            is_news |= known.raise(mark);
            is_urgent |= before != (known.incarnation, known.vote);
        }
        if is_news {
            self.write(&mut seen, is_urgent);
        }
    }

    /// Has the log carry the marks along with its next transaction.
    fn write(&self, seen: &mut Seen, is_urgent: bool) {
        seen.is_written = false;
        if !is_urgent && seen.written_at.elapsed() < WRITE_EVERY {
            return;
        }
        // A queue that is full is tried again with the next news, or by `settle`.
        if self.store.writer().try_send(Job::Marks(marks::encode(&seen.marks))) {
            seen.is_written = true;
            seen.written_at = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic while it is held")
    }
}

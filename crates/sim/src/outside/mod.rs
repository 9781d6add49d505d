//! Everything outside of the nodes: time, lines, targets, receivers, chance,
//! and the record of what really happened.
//!
//! Nothing happens by itself: everything waits as an event for its virtual
//! millisecond, and of two for the same one the earlier planned comes first.
//! **All chance comes from one stream**, so a seed always gives the same run.

pub(crate) mod network;
pub(crate) mod receivers;
pub(crate) mod targets;
pub(crate) mod trace;

use crate::clock;
use crate::log::Word;
use crate::node::history::Chunk;
use crate::node::propose::Fate;
use crate::people::Deed;
use crate::plan::Plan;
use crate::random::Random;
use crate::record::Record;
use model::check::Check;
use model::entry::{Answer, Body};
use model::id::CheckSlot;
use model::member::NodeId;
use model::message::Message as Told;
use model::observation::Outcome;
use model::time::Timestamp;
use network::Network;
use receivers::Receivers;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use targets::Targets;
use trace::Trace;

/// Everything that is no node.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Virtual milliseconds since the run began.
    pub(crate) now: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) targets: Targets,
    pub(crate) receivers: Receivers,
    pub(crate) record: Record,
    pub(crate) trace: Trace,
}

/// Something that will happen.
#[derive(Debug)]
struct Planned {
    at_ms: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}

/// What can happen. What belongs to one life of a node names it, and is nothing once that is over.
#[derive(Debug)]
pub(crate) enum Event {
    /// The loops of a node look around.
    Turn { node: NodeId, life: u64 },
    /// A message comes.
    Comes { from: NodeId, to: NodeId, message: Message },
    /// What a node wrote is on its disk.
    Flushed { node: NodeId, life: u64, term: u64, upto: u64 },
    /// A round of a check has ended.
    Looked { node: NodeId, life: u64, round: Round },
    /// A message to people comes to its receiver.
    Reaches { node: NodeId, life: u64, told: Box<Attempt> },
    /// The receiver's answer, or that there is none, is known to the node.
    Answered { node: NodeId, life: u64, told: Box<Attempt>, answer: Answer },
    /// Somebody or something outside acts.
    Acts(Deed),
}

/// What nodes send each other.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// About the log.
    Log(Word),
    /// A body for the leader to propose.
    Forward { ticket: u64, body: Arc<Body> },
    /// What became of it.
    Fate { ticket: u64, fate: Fate },
    /// Asks for the results that a peer has in a window; the checksum is of what the asker has.
    AskHistory { window: i64, checksum: u64 },
    /// What the peer has.
    GiveHistory(Arc<Chunk>),
}

/// A round of a check that a node makes.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) slot: CheckSlot,
    pub(crate) check: Arc<Check>,
    pub(crate) scheduled: Timestamp,
    pub(crate) outcome: Outcome,
}

/// An attempt to tell somebody something.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) receiver: model::id::ReceiverId,
    pub(crate) message: Arc<Told>,
    /// Which attempt, from 1; what a node tells on its own account is not counted.
    pub(crate) number: Option<u32>,
    pub(crate) is_possibly_double: bool,
}

impl Outside {
    pub(crate) fn new(plan: &Plan, random: Random, trace: Trace) -> Self {
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            planned: 0,
            random,
            network: Network::new(),
            targets: Targets::default(),
            receivers: Receivers::default(),
            record: Record::new(plan),
            trace,
        }
    }

    /// Plans something.
    pub(crate) fn after(&mut self, milliseconds: u64, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse(Planned { at_ms: self.now + milliseconds, number: self.planned, event }));
    }

    /// The next that happens, if it does before `until`; time goes on to it.
    pub(crate) fn next(&mut self, until_ms: u64) -> Option<Event> {
        if self.queue.peek().is_none_or(|Reverse(planned)| planned.at_ms > until_ms) {
            return None;
        }
        let Reverse(planned) = self.queue.pop()?;
        self.now = planned.at_ms;
        self.record.pass(self.now);
        Some(planned.event)
    }

    /// Sends a message; what becomes of it is the network's matter.
    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        if !self.network.leads(from, to) {
            return;
        }
        let delays = self.network.delays(&mut self.random);
        for delay_ms in delays.into_iter().flatten() {
            self.after(delay_ms, Event::Comes { from, to, message: message.clone() });
        }
    }

    /// What an ideal clock shows.
    pub(crate) const fn ideal(&self) -> Timestamp {
        clock::ideal(self.now)
    }

    /// Adds a line to the story, if anybody reads it.
    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        self.trace.add(self.now, line);
    }
}

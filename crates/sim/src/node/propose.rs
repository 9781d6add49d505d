//! Proposals: what a node wants in the log, by whatever way leads there.
//!
//! A leader writes; any other node sends to the leader it knows, and takes a
//! thing as done when its own state has applied it, so that people read their
//! own writes. **What became of a proposal is either known or said to be
//! unknown**; unknown is never said to be refused.

use super::Node;
use crate::log::{Role, What};
use crate::outside::{Message, Outside};
use crate::people::Deed;
use control::state::CommandOutcome;
use model::entry::{Body, Entry};
use model::id::CheckId;
use model::member::NodeId;
use model::observation::Batch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long a proposer waits to hear what became of it.
const WAITED_MS: u64 = 5_000;

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the log for ever and applied here.
    Taken { index: u64, outcome: CommandOutcome },
    /// It is not in the log and will not be.
    NotTaken,
    /// Nobody knows.
    Unknown,
}

/// Why something was proposed, and what is done when its fate is known.
#[derive(Debug)]
pub(crate) enum Wish {
    /// To hand a batch in; the senders of heartbeats in it wait for an answer.
    HandIn { batch: Batch, is_kept: bool, beats: Vec<CheckId> },
    /// To begin an attempt.
    Begin { key: String, attempt: u32 },
    /// To say how it ended.
    End { key: String },
    /// To say something that is found out again if it gets lost.
    Note,
    /// Somebody's command.
    Command { client: usize, asked: u64 },
    /// A part of the configuration file, or its activation.
    Offer,
    /// To log that a member is removed whose vote is gone.
    Remove { client: usize, asked: u64 },
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    tickets: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Who waits for which entry of this leader's log, and the entry's term.
    at: BTreeMap<u64, (u64, Asker)>,
    settled: VecDeque<(Wish, Fate)>,
}

#[derive(Debug)]
struct Waiting {
    wish: Wish,
    until_ms: u64,
    /// Where it was taken; it counts when it is applied here.
    taken: Option<(u64, CommandOutcome)>,
}

#[derive(Debug, Clone, Copy)]
enum Asker {
    Here(u64),
    There(NodeId, u64),
}

impl Node {
    /// Proposes; what becomes of it is handled when it is known.
    pub(crate) fn propose(&mut self, wish: Wish, body: Body, outside: &mut Outside) {
        let until_ms = outside.now + WAITED_MS;
        let leads = self.life_mut().raft.leading().is_some();
        let leader = self.life_mut().raft.leader;
        let has_room = self.takes_more();
        let proposals = &mut self.life_mut().proposals;
        proposals.tickets += 1;
        let ticket = proposals.tickets;
        match leader {
            _ if leads && has_room => {
                proposals.waiting.insert(ticket, Waiting { wish, until_ms, taken: None });
                self.write_for(Asker::Here(ticket), &body, outside);
            }
            Some(leader) if !leads => {
                proposals.waiting.insert(ticket, Waiting { wish, until_ms, taken: None });
                outside.send(self.id, leader, Message::Forward { ticket, body: Arc::new(body) });
            }
            Some(_) | None => proposals.settled.push_back((wish, Fate::NotTaken)),
        }
    }

    /// Another node asks this one, which it takes for the leader.
    pub(super) fn propose_for(&mut self, from: NodeId, ticket: u64, body: &Body, outside: &mut Outside) {
        let leads = matches!(self.life_mut().raft.role, Role::Leader(_));
        if leads && self.takes_more() {
            self.write_for(Asker::There(from, ticket), body, outside);
        } else {
            outside.send(self.id, from, Message::Fate { ticket, fate: Fate::NotTaken });
        }
    }

    /// Stamps an entry and writes it. **Stamps are given in the order of the log.**
    fn write_for(&mut self, asker: Asker, body: &Body, outside: &mut Outside) {
        let (term, now) = (self.disk.term, self.now(outside));
        let life = self.life_mut();
        life.stamped = life.stamped.max(life.state.now()).max(now);
        let entry = Entry { at: life.stamped, body: body.clone() };
        let index = self.write(What::Entry(Arc::new(entry.encode())), outside);
        self.life_mut().proposals.at.insert(index, (term, asker));
    }

    /// The leader has answered.
    pub(super) fn learn_fate(&mut self, ticket: u64, fate: Fate, outside: &mut Outside) {
        let life = self.life_mut();
        let applied = life.applied;
        let Some(waiting) = life.proposals.waiting.get_mut(&ticket) else { return };
        match fate {
            Fate::Taken { index, outcome } if index > applied => waiting.taken = Some((index, outcome)),
            Fate::Taken { .. } | Fate::NotTaken | Fate::Unknown => self.settle(ticket, fate),
        }
        self.answer_settled(outside);
    }

    /// An entry was applied here: whoever waited for that has an answer.
    pub(super) fn answer_applied(&mut self, index: u64, term: u64, outcome: &CommandOutcome, outside: &mut Outside) {
        let asker = self.life_mut().proposals.at.remove(&index);
        if let Some((asked_term, asker)) = asker {
            // Another leader's entry may have taken the place.
            let taken = Fate::Taken { index, outcome: outcome.clone() };
            let fate = if asked_term == term { taken } else { Fate::Unknown };
            match asker {
                Asker::Here(ticket) => self.settle(ticket, fate),
                Asker::There(node, ticket) => outside.send(self.id, node, Message::Fate { ticket, fate }),
            }
        }
        self.settle_upto(index);
    }

    /// Whoever waits for something that this node has applied by now has an answer.
    pub(super) fn settle_upto(&mut self, index: u64) {
        let waiting = &self.life_mut().proposals.waiting;
        let is_here = |waiting: &Waiting| waiting.taken.as_ref().is_some_and(|(taken, _)| *taken <= index);
        let here: Vec<u64> =
            waiting.iter().filter(|(_, waiting)| is_here(waiting)).map(|(ticket, _)| *ticket).collect();
        for ticket in here {
            let taken = self.life_mut().proposals.waiting.get(&ticket).and_then(|waiting| waiting.taken.clone());
            if let Some((index, outcome)) = taken {
                self.settle(ticket, Fate::Taken { index, outcome });
            }
        }
    }

    /// A leader that leads no longer knows nothing of what it had proposed.
    pub(crate) fn give_up_proposals(&mut self, outside: &mut Outside) {
        for (_, (_, asker)) in std::mem::take(&mut self.life_mut().proposals.at) {
            match asker {
                Asker::Here(ticket) => self.settle(ticket, Fate::Unknown),
                Asker::There(node, ticket) => {
                    outside.send(self.id, node, Message::Fate { ticket, fate: Fate::Unknown });
                }
            }
        }
    }

    /// Nobody waits for ever.
    pub(super) fn expire_proposals(&mut self, outside: &mut Outside) {
        let now = outside.now;
        let waiting = &self.life_mut().proposals.waiting;
        let over: Vec<u64> =
            waiting.iter().filter(|(_, waiting)| waiting.until_ms <= now).map(|(ticket, _)| *ticket).collect();
        over.into_iter().for_each(|ticket| self.settle(ticket, Fate::Unknown));
        self.answer_settled(outside);
    }

    fn settle(&mut self, ticket: u64, fate: Fate) {
        let proposals = &mut self.life_mut().proposals;
        if let Some(waiting) = proposals.waiting.remove(&ticket) {
            proposals.settled.push_back((waiting.wish, fate));
        }
    }

    /// Does what is to be done about all fates that are known by now.
    pub(crate) fn answer_settled(&mut self, outside: &mut Outside) {
        while let Some((wish, fate)) = self.life.as_mut().and_then(|life| life.proposals.settled.pop_front()) {
            match wish {
                Wish::HandIn { batch, is_kept, beats } => self.handed_in(batch, is_kept, beats, &fate, outside),
                Wish::Begin { key, attempt } => self.begun(key, attempt, &fate, outside),
                Wish::End { key } => self.ended(&key),
                Wish::Note => {}
                Wish::Command { client, asked } => {
                    outside.after(0, crate::outside::Event::Acts(Deed::Answered { client, asked, fate }));
                }
                Wish::Offer => self.offered(&fate),
                Wish::Remove { client, asked } => self.removed(client, asked, fate, outside),
            }
        }
    }
}

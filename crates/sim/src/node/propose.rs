//! Proposals: what a node wants in the log, by whatever way leads there.
//!
//! A leader writes; any other node sends to the leader it knows, and takes a
//! thing as done when its own state has applied it, so that people read their
//! own writes. What was not taken is asked for again for a while, and so is
//! what may have been taken if a repetition does no harm. **What became of a
//! proposal is either known or said to be unknown**; unknown is never said to
//! be refused.

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

/// How long is waited for a leader that takes a proposal.
const LEADERLESS_MS: u64 = 2_000;
/// How long is asked after what may have been taken.
const COMMIT_MS: u64 = 4_000;
/// How long one question may take.
const ANSWERED_MS: u64 = COMMIT_MS + 1_000;

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
    body: Arc<Body>,
    began_ms: u64,
    /// When somebody was asked who has not answered yet.
    asked_ms: Option<u64>,
    may_be_there: bool,
    /// Where it was taken, and when that was heard; it counts when it is applied here.
    taken: Option<(u64, CommandOutcome, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Asker {
    Here(u64),
    There(NodeId, u64),
}

impl Node {
    /// Proposes; what becomes of it is handled when it is known.
    pub(crate) fn propose(&mut self, wish: Wish, body: Body, outside: &mut Outside) {
        let (body, began_ms) = (Arc::new(body), outside.now);
        let proposals = &mut self.life_mut().proposals;
        proposals.tickets += 1;
        let ticket = proposals.tickets;
        let waiting = Waiting { wish, body, began_ms, asked_ms: None, may_be_there: false, taken: None };
        proposals.waiting.insert(ticket, waiting);
        self.ask_leader(ticket, outside);
    }

    /// Asks whoever leads, if somebody does as far as this node knows.
    fn ask_leader(&mut self, ticket: u64, outside: &mut Outside) {
        let (id, has_room) = (self.id, self.takes_more());
        let life = self.life_mut();
        let (leads, leader) = (life.raft.leading().is_some(), life.raft.leader);
        let Some(waiting) = life.proposals.waiting.get_mut(&ticket) else { return };
        let body = Arc::clone(&waiting.body);
        match leader {
            _ if leads && has_room => {
                waiting.asked_ms = Some(outside.now);
                self.write_for(Asker::Here(ticket), &body, outside);
            }
            Some(leader) if !leads => {
                waiting.asked_ms = Some(outside.now);
                outside.send(id, leader, Message::Forward { ticket, body });
            }
            Some(_) | None => {}
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
            Fate::Taken { index, outcome } if index > applied => waiting.taken = Some((index, outcome, outside.now)),
            Fate::Taken { .. } => self.settle(ticket, fate),
            Fate::NotTaken => waiting.asked_ms = None,
            Fate::Unknown => self.doubt(ticket),
        }
        self.answer_settled(outside);
    }

    /// It may be in the log, or not: it is asked for again only if that does no harm.
    fn doubt(&mut self, ticket: u64) {
        let Some(waiting) = self.life_mut().proposals.waiting.get_mut(&ticket) else { return };
        (waiting.asked_ms, waiting.may_be_there) = (None, true);
        if !can_be_repeated(&waiting.body) {
            self.settle(ticket, Fate::Unknown);
        }
    }

    /// An entry was applied here: whoever waited for that has an answer.
    pub(super) fn answer_applied(&mut self, index: u64, term: u64, outcome: &CommandOutcome, outside: &mut Outside) {
        let asker = self.life_mut().proposals.at.remove(&index);
        if let Some((asked_term, asker)) = asker {
            // Another leader's entry may have taken the place.
            let taken = Fate::Taken { index, outcome: outcome.clone() };
            let fate = if asked_term == term { taken } else { Fate::Unknown };
            match asker {
                Asker::Here(ticket) if fate == Fate::Unknown => self.doubt(ticket),
                Asker::Here(ticket) => self.settle(ticket, fate),
                Asker::There(node, ticket) => outside.send(self.id, node, Message::Fate { ticket, fate }),
            }
        }
        self.settle_upto(index);
    }

    /// Whoever waits for something that this node has applied by now has an answer.
    pub(super) fn settle_upto(&mut self, index: u64) {
        let waiting = &self.life_mut().proposals.waiting;
        let is_here = |waiting: &Waiting| waiting.taken.as_ref().is_some_and(|(taken, ..)| *taken <= index);
        let here: Vec<u64> =
            waiting.iter().filter(|(_, waiting)| is_here(waiting)).map(|(ticket, _)| *ticket).collect();
        for ticket in here {
            let taken = self.life_mut().proposals.waiting.get(&ticket).and_then(|waiting| waiting.taken.clone());
            if let Some((index, outcome, _)) = taken {
                self.settle(ticket, Fate::Taken { index, outcome });
            }
        }
    }

    /// A leader that leads no longer knows nothing of what it had proposed.
    pub(crate) fn give_up_proposals(&mut self, outside: &mut Outside) {
        for (_, (_, asker)) in std::mem::take(&mut self.life_mut().proposals.at) {
            match asker {
                Asker::Here(ticket) => self.doubt(ticket),
                Asker::There(node, ticket) => {
                    outside.send(self.id, node, Message::Fate { ticket, fate: Fate::Unknown });
                }
            }
        }
    }

    /// Asks again for what was not taken. Nobody waits for ever.
    pub(super) fn ask_again(&mut self, outside: &mut Outside) {
        let tickets: Vec<u64> = self.life_mut().proposals.waiting.keys().copied().collect();
        for ticket in tickets {
            self.wait_on(ticket, outside);
        }
        self.answer_settled(outside);
    }

    fn wait_on(&mut self, ticket: u64, outside: &mut Outside) {
        let now = outside.now;
        let Some(waiting) = self.life_mut().proposals.waiting.get_mut(&ticket) else { return };
        if let Some((index, outcome, heard_ms)) = &waiting.taken {
            // It is decided, although this node is too far behind to see it.
            if now >= heard_ms + COMMIT_MS {
                let fate = Fate::Taken { index: *index, outcome: outcome.clone() };
                self.settle(ticket, fate);
            }
            return;
        }
        let limit_ms = if waiting.may_be_there { COMMIT_MS } else { LEADERLESS_MS };
        match waiting.asked_ms {
            Some(asked_ms) if now >= asked_ms + ANSWERED_MS => self.doubt(ticket),
            Some(_) => {}
            None if now < waiting.began_ms + limit_ms => self.ask_leader(ticket, outside),
            None => {
                let fate = if waiting.may_be_there { Fate::Unknown } else { Fate::NotTaken };
                self.settle(ticket, fate);
            }
        }
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

/// Whether an entry may be in the log twice: the machine knows a command by its
/// key and a batch by its number, and the rest says how things are.
const fn can_be_repeated(body: &Body) -> bool {
    match body {
        Body::Command(command) => !command.key.is_empty(),
        Body::Results(_) | Body::Tick | Body::Condition(_) | Body::Presence { .. } | Body::Egress { .. } => true,
        Body::AttemptBegins { .. } | Body::AttemptEnded { .. } => false,
    }
}

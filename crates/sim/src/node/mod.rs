//! One node: its disk, which survives, and its life, which a crash ends.
//!
//! Everything that decides is the real code of `control`; the loops around it
//! do what those of the front door do, in virtual time. Each loop is one file.
//!
//! Reading order: here, [`propose`], `apply`, `look`, `collect`, `deliver`,
//! `leadership`, `offer`, `alone`, [`history`].

mod alone;
mod apply;
mod collect;
mod deliver;
pub(crate) mod history;
mod leadership;
mod look;
mod offer;
pub(crate) mod propose;

use crate::clock::Clock;
use crate::log::{Log, Raft, Voters};
use crate::outside::{Event, Message, Outside};
use alone::Alone;
use collect::Desk;
use control::State;
use deliver::Delivering;
use history::History;
use leadership::Leadership;
pub(crate) use leadership::removal_key;
use look::Look;
use model::id::{CheckId, LocationId};
use model::member::{NodeId, Role};
use model::observation::{Batch, Observation, Outcome};
use model::time::Timestamp;
pub(crate) use offer::File;
use offer::Offering;
use propose::Proposals;
use std::collections::VecDeque;
use std::sync::Arc;

/// How often a node's loops look around.
const TURN_MS: u64 = 500;

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) location: LocationId,
    pub(crate) role: Role,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) life: Option<Life>,
    lives: u64,
    /// Until when the machine stands still without knowing it.
    pub(crate) paused_until_ms: u64,
    /// Whether it has addresses by which it tries its own way out.
    pub(crate) watches_way_out: bool,
}

/// What survives a crash.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) term: u64,
    pub(crate) log: Log,
    /// How far the log was committed when that was last written down.
    pub(crate) committed: u64,
    pub(crate) spool: VecDeque<Batch>,
    pub(crate) history: History,
    /// Since when it is cut off by what it has told.
    told_cut_off: Option<Timestamp>,
    /// The configuration file; `None` if the file concerns only the node.
    pub(crate) file: Option<Arc<File>>,
    /// Whether there is no room for results.
    pub(crate) is_full: bool,
}

/// What a crash ends.
#[derive(Debug)]
pub(crate) struct Life {
    number: u64,
    pub(crate) raft: Raft,
    pub(crate) state: State,
    /// The last index of the log that the state holds.
    pub(crate) applied: u64,
    applies_later: bool,
    stamped: Timestamp,
    proposals: Proposals,
    pub(crate) look: Look,
    desk: Desk,
    delivering: Delivering,
    leadership: Leadership,
    offering: Offering,
    alone: Alone,
}

impl Disk {
    fn new(file: Option<Arc<File>>) -> Self {
        Self {
            term: 0,
            log: Log::new(),
            committed: 0,
            spool: VecDeque::new(),
            history: History::default(),
            told_cut_off: None,
            file,
            is_full: false,
        }
    }
}

impl Node {
    /// A node with an empty disk, not started yet.
    pub(crate) fn new(id: NodeId, location: LocationId, role: Role, clock: Clock, file: Option<Arc<File>>) -> Self {
        Self {
            id,
            location,
            role,
            disk: Disk::new(file),
            clock,
            life: None,
            lives: 0,
            paused_until_ms: 0,
            watches_way_out: true,
        }
    }

    /// Makes an empty disk the first of a new cluster.
    pub(crate) fn found(&mut self) {
        let voters = Voters { voting: [self.id].into(), ..Voters::default() };
        self.disk.log = Log::founded(voters);
    }

    /// What its clock shows.
    pub(crate) fn now(&self, outside: &Outside) -> Timestamp {
        self.clock.read(outside.now)
    }

    pub(crate) const fn is_paused(&self, now_ms: u64) -> bool {
        self.paused_until_ms > now_ms
    }

    pub(crate) fn life_mut(&mut self) -> &mut Life {
        self.life.as_mut().expect("only living nodes act")
    }

    pub(crate) const fn life_number(&self) -> u64 {
        self.lives
    }

    /// Starts the process with what is on its disk.
    pub(crate) fn start(&mut self, outside: &mut Outside) {
        let id = self.id;
        outside.trace(|| format!("{id} starts"));
        self.lives += 1;
        let snapshot = Arc::clone(self.disk.log.snapshot());
        let state = State::decode(&snapshot.state).expect("a snapshot is a state");
        let committed = self.disk.committed.min(self.disk.log.last()).max(snapshot.index);
        self.clock.start(outside.now, state.now());
        let began = self.now(outside);
        self.life = Some(Life {
            number: self.lives,
            raft: Raft::new(committed, outside.now),
            applied: snapshot.index,
            applies_later: false,
            stamped: began,
            proposals: Proposals::default(),
            look: Look::new(began),
            desk: Desk::new(self, began, outside.now),
            delivering: Delivering::default(),
            leadership: Leadership::default(),
            offering: Offering::default(),
            alone: Alone::new(self.disk.told_cut_off),
            state,
        });
        self.apply_all(outside);
        let first_turn_ms = outside.random.between(1, TURN_MS);
        outside.after(first_turn_ms, Event::Turn { node: id, life: self.lives });
    }

    /// The process ends without warning.
    pub(crate) fn crash(&mut self, outside: &mut Outside) {
        if self.life.take().is_some() {
            let id = self.id;
            outside.trace(|| format!("{id} dies"));
            outside.record.story.deaths += 1;
            self.disk.log.tear(&mut outside.random);
            self.paused_until_ms = 0;
        }
    }

    /// Whether something that belongs to a life still concerns this one.
    pub(crate) fn is_life(&self, life: u64) -> bool {
        self.life.as_ref().is_some_and(|known| known.number == life)
    }

    /// A heartbeat comes to this node; its sender waits for an answer.
    pub(crate) fn take_beat(&mut self, beat: CheckId, outside: &mut Outside) {
        let now = self.now(outside);
        let state = &self.life_mut().state;
        // What is not configured any more is not found.
        let Some(slot) = state.slot(&beat).filter(|slot| state.target(*slot).is_some()) else { return };
        let observation = Observation { slot, scheduled: now, outcome: Outcome::Pass, latency_us: 0, detail: None };
        self.collect(observation, true, Some(beat), outside);
        self.answer_settled(outside);
    }

    /// All loops look around once.
    pub(crate) fn turn(&mut self, outside: &mut Outside) {
        self.ask_again(outside);
        self.send_again(outside);
        self.apply_all(outside);
        self.lead_on(outside);
        self.offer(outside);
        self.look(outside);
        self.hand_in(outside);
        self.deliver(outside);
        self.be_alone(outside);
        self.say_about_disk(outside);
        self.ask_for_history(outside);
        self.disk.committed = self.life_mut().raft.committed;
        let event = Event::Turn { node: self.id, life: self.lives };
        outside.after(TURN_MS, event);
    }

    /// A message from another node.
    pub(crate) fn receive(&mut self, from: NodeId, message: Message, outside: &mut Outside) {
        // A node that was removed is not talked to any more.
        if self.life_mut().state.removed_nodes().contains(&from) {
            return;
        }
        match message {
            Message::Log(word) => self.hear(from, word, outside),
            Message::Forward { ticket, body } => self.propose_for(from, ticket, &body, outside),
            Message::Fate { ticket, fate } => self.learn_fate(ticket, fate, outside),
            Message::AskHistory { window, checksum } => self.give_history(from, window, checksum, outside),
            Message::GiveHistory(chunk) => self.disk.history.merge(&chunk),
        }
    }

    /// Whether this node leads a majority, or hears a leader that says it does.
    pub(crate) fn has_quorum(&self, now_ms: u64) -> bool {
        const LOST_AFTER_MS: u64 = 5_000;
        self.life
            .as_ref()
            .is_some_and(|life| life.raft.leader.is_some() && now_ms < life.raft.majority_ms + LOST_AFTER_MS)
    }
}

//! A leader writes, sends, and counts who has it.

use super::follow::flush_ms;
use super::{
    ENTRIES_SENT_MAX, Leading, Peer, Raft, Role, SNAPSHOT_AGAIN_MS, Stored, UNCOMMITTED_MAX, Voters, What, Word,
};
use crate::node::Node;
use crate::outside::{Event, Message, Outside};
use model::member::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Node {
    /// Begins to lead in a term that a majority has just given to it.
    pub(super) fn lead(&mut self, outside: &mut Outside) {
        let first = self.disk.log.last() + 1;
        let (id, term) = (self.id, self.disk.term);
        outside.trace(|| format!("{id} leads term {term} from {first} on"));
        outside.record.story.elections += 1;
        let raft = &mut self.life_mut().raft;
        raft.leader = Some(id);
        raft.heard_ms = outside.now;
        raft.role = Role::Leader(Leading { first, since_ms: outside.now, peers: BTreeMap::new() });
        self.write(What::Blank, outside);
    }

    /// Whether a leader has room for one more proposal.
    pub(crate) fn takes_more(&self) -> bool {
        let committed = self.life.as_ref().map_or(0, |life| life.raft.committed);
        self.disk.log.last() - committed < UNCOMMITTED_MAX
    }

    /// A leader writes an entry; returns its index.
    pub(crate) fn write(&mut self, what: What, outside: &mut Outside) -> u64 {
        let term = self.disk.term;
        let index = self.disk.log.append(Stored { term, what });
        let event = Event::Flushed { node: self.id, life: self.life_number(), term, upto: index };
        let after_ms = flush_ms(outside);
        outside.after(after_ms, event);
        self.send_new(outside);
        index
    }

    /// Brings the list of those to whom the log goes up to date, and sends what they lack.
    pub(crate) fn send_new(&mut self, outside: &mut Outside) {
        let (known, last) = (self.known(), self.disk.log.last());
        let Role::Leader(leading) = &mut self.life_mut().raft.role else { return };
        leading.peers.retain(|node, _| known.contains(node));
        let unheard = Peer { flushed: 0, next: last, heard_ms: None, snapshot_sent_ms: None };
        for node in &known {
            leading.peers.entry(*node).or_insert_with(|| unheard.clone());
        }
        for node in known {
            self.send_to(node, outside);
        }
    }

    /// Sends again what was not acknowledged, and a sign of life to all.
    pub(crate) fn send_again(&mut self, outside: &mut Outside) {
        self.note_majority(outside);
        if let Role::Leader(leading) = &mut self.life_mut().raft.role {
            for peer in leading.peers.values_mut().filter(|peer| peer.flushed > 0) {
                peer.next = peer.flushed + 1;
            }
            self.send_new(outside);
        }
    }

    /// All others that have a copy of the log, by the newest word on that, and
    /// until that is committed by the one before.
    fn known(&self) -> BTreeSet<NodeId> {
        let committed = self.life.as_ref().map_or(0, |life| life.raft.committed);
        let (before, newest) = (self.disk.log.voters_at(committed), &self.disk.log.newest_voters().1);
        let all = [before, newest].into_iter().flat_map(|voters| voters.voting.union(&voters.learning));
        all.copied().filter(|node| *node != self.id).collect()
    }

    fn send_to(&mut self, to: NodeId, outside: &mut Outside) {
        let (id, term) = (self.id, self.disk.term);
        let log = &self.disk.log;
        let Some(life) = &mut self.life else { return };
        let committed = life.raft.committed;
        let is_vain = outside.now > life.raft.heard_ms + super::LEASE_MS;
        let Role::Leader(leading) = &mut life.raft.role else { return };
        let Some(peer) = leading.peers.get_mut(&to) else { return };
        if peer.next <= log.gone() {
            if peer.snapshot_sent_ms.is_some_and(|sent| outside.now < sent + SNAPSHOT_AGAIN_MS) {
                return;
            }
            peer.snapshot_sent_ms = Some(outside.now);
            let word = Word::Install { term, snapshot: Arc::clone(log.snapshot()) };
            return outside.send(id, to, Message::Log(word));
        }
        let before = peer.next - 1;
        let before_term = log.term_at(before).expect("what is not gone is there");
        let entries = log.behind(before, ENTRIES_SENT_MAX);
        peer.next = before + entries.len() as u64 + 1;
        outside.send(id, to, Message::Log(Word::Append { term, before, before_term, entries, committed, is_vain }));
    }

    /// Another node has flushed, or says that what it was sent does not fit.
    pub(super) fn flushed_there(&mut self, from: NodeId, term: u64, fits: bool, upto: u64, outside: &mut Outside) {
        let current = self.disk.term;
        let Role::Leader(leading) = &mut self.life_mut().raft.role else { return };
        let Some(peer) = leading.peers.get_mut(&from).filter(|_| term == current) else { return };
        peer.heard_ms = Some(outside.now);
        if !fits {
            peer.next = upto + 1;
            return self.send_to(from, outside);
        }
        if upto > peer.flushed {
            peer.flushed = upto;
            peer.next = peer.next.max(upto + 1);
            peer.snapshot_sent_ms = None;
            self.commit(outside);
        }
        self.note_majority(outside);
    }

    /// Commits what a majority has flushed, if it is of this term.
    pub(super) fn commit(&mut self, outside: &mut Outside) {
        let (id, term) = (self.id, self.disk.term);
        let log = &self.disk.log;
        let Some(life) = &mut self.life else { return };
        let Raft { role: Role::Leader(leading), committed, .. } = &mut life.raft else { return };
        let (before, newest) = (log.voters_at(*committed), &log.newest_voters().1);
        let found = (*committed + 1..=log.last()).rev().take_while(|index| log.term_at(*index) == Some(term));
        let has = |node: NodeId, index: u64| {
            if node == id {
                log.flushed() >= index
            } else {
                leading.peers.get(&node).is_some_and(|peer| peer.flushed >= index)
            }
        };
        let is_held = |voters: &Voters, index: u64| voters.is_majority(|node| has(node, index));
        let mut found = found.filter(|index| is_held(before, *index) && is_held(newest, *index));
        let Some(index) = found.next() else { return };
        *committed = index;
        self.apply_soon(outside);
        self.leave_if_told(outside);
    }

    /// Keeps in mind when a majority was heard.
    fn note_majority(&mut self, outside: &Outside) {
        let (id, now) = (self.id, outside.now);
        let log = &self.disk.log;
        let Some(life) = &mut self.life else { return };
        let Raft { role: Role::Leader(leading), heard_ms, majority_ms, committed, .. } = &mut life.raft else { return };
        let lately = |heard_ms: u64| now.saturating_sub(heard_ms) <= super::LEASE_MS;
        let is_heard =
            |node: NodeId| node == id || leading.peers.get(&node).is_some_and(|peer| peer.heard_ms.is_some_and(lately));
        let (before, newest) = (log.voters_at(*committed), &log.newest_voters().1);
        if before.is_majority(is_heard) && newest.is_majority(is_heard) {
            (*heard_ms, *majority_ms) = (now, now);
        }
    }

    /// A leader that votes no more, and has that committed, leads no more.
    fn leave_if_told(&mut self, outside: &mut Outside) {
        let Some(life) = &self.life else { return };
        let (since, newest) = self.disk.log.newest_voters();
        if *since <= life.raft.committed && !newest.voting.contains(&self.id) {
            self.step_down(outside);
        }
    }

    /// A leader changes who votes; false while the change before is not committed.
    pub(crate) fn set_voters(&mut self, voters: Voters, outside: &mut Outside) -> bool {
        let Some(life) = &self.life else { return false };
        let Some(leading) = life.raft.leading() else { return false };
        let committed = life.raft.committed;
        let (since, newest) = self.disk.log.newest_voters();
        if *since > committed || leading.first > committed || **newest == voters {
            return false;
        }
        let id = self.id;
        outside.trace(|| format!("{id} wants {:?} to vote and {:?} to learn", voters.voting, voters.learning));
        self.write(What::Voters(Arc::new(voters)), outside);
        true
    }
}

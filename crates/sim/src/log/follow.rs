//! A node takes what a leader sends.

use super::{Log, Raft, Role, Snapshot, Stored, Word};
use crate::node::Node;
use crate::outside::{Event, Message, Outside};
use control::State;
use model::member::NodeId;
use std::sync::Arc;

impl Node {
    /// Takes a word about the log from another node.
    pub(crate) fn hear(&mut self, from: NodeId, word: Word, outside: &mut Outside) {
        let (Word::Append { term, .. } | Word::Install { term, .. } | Word::Flushed { term, .. }) = &word;
        let term = *term;
        if term > self.disk.term {
            self.disk.term = term;
            self.step_down(outside);
        }
        match word {
            Word::Append { before, before_term, entries, committed, is_vain, .. } => {
                if self.accepts(from, term, outside) {
                    if !is_vain {
                        self.life_mut().raft.majority_ms = outside.now;
                    }
                    self.take(from, (before, before_term), entries, committed, outside);
                }
            }
            Word::Install { snapshot, .. } => {
                if self.accepts(from, term, outside) {
                    self.install(from, &snapshot, outside);
                }
            }
            Word::Flushed { fits, upto, .. } => self.flushed_there(from, term, fits, upto, outside),
        }
    }

    /// Whether the sender is the leader of this node's term. Who was a leader once is told the term.
    fn accepts(&mut self, from: NodeId, term: u64, outside: &mut Outside) -> bool {
        if term < self.disk.term {
            self.tell(from, false, 0, outside);
            return false;
        }
        let raft = &mut self.life_mut().raft;
        assert!(matches!(raft.role, Role::Follower), "a term has one leader");
        raft.leader = Some(from);
        raft.heard_ms = outside.now;
        true
    }

    fn take(&mut self, from: NodeId, before: (u64, u64), entries: Vec<Stored>, committed: u64, outside: &mut Outside) {
        let log = &mut self.disk.log;
        let known_upto = self.life.as_ref().map_or(0, |life| life.raft.committed);
        let (mut at, before_term) = before;
        // What is gone here was committed, so it agrees.
        if at >= log.gone() && log.term_at(at) != Some(before_term) {
            return self.tell(from, false, known_upto, outside);
        }
        for stored in entries {
            at += 1;
            if at <= log.gone() || log.term_at(at) == Some(stored.term) {
                continue;
            }
            if at <= log.last() {
                assert!(at > known_upto, "what is committed is never cut off");
                log.cut(at);
            }
            log.append(stored);
        }
        if at > log.flushed() {
            let event = Event::Flushed { node: self.id, life: self.life_number(), term: self.disk.term, upto: at };
            let after_ms = flush_ms(outside);
            outside.after(after_ms, event);
        } else {
            self.tell(from, true, at, outside);
        }
        let raft = &mut self.life_mut().raft;
        raft.committed = raft.committed.max(committed.min(at));
        self.apply_soon(outside);
    }

    fn install(&mut self, from: NodeId, snapshot: &Arc<Snapshot>, outside: &mut Outside) {
        let id = self.id;
        if snapshot.index > self.life_mut().raft.committed {
            outside.trace(|| format!("{id} takes a snapshot of everything up to {}", snapshot.index));
            outside.record.story.snapshots_taken += 1;
            // Entries behind it that were not committed are written again.
            self.disk.log = Log::from(Arc::clone(snapshot));
            self.disk.committed = snapshot.index;
            let state = State::decode(&snapshot.state).expect("a snapshot is a state");
            self.life_mut().raft.committed = snapshot.index;
            self.replace_state(state, snapshot.index, outside);
        }
        self.tell(from, true, snapshot.index, outside);
    }

    /// What was written is on disk.
    pub(crate) fn flushed_here(&mut self, term: u64, upto: u64, outside: &mut Outside) {
        // A later leader may have cut off what this was about.
        if term != self.disk.term {
            return;
        }
        self.disk.log.flush(upto);
        let Raft { role, leader, .. } = &self.life_mut().raft;
        match (role, *leader) {
            (Role::Leader(_), _) => self.commit(outside),
            (Role::Follower, Some(leader)) => self.tell(leader, true, upto, outside),
            (Role::Follower, None) => {}
        }
    }

    fn tell(&self, to: NodeId, fits: bool, upto: u64, outside: &mut Outside) {
        let word = Word::Flushed { term: self.disk.term, fits, upto };
        outside.send(self.id, to, Message::Log(word));
    }

    /// Leads no longer, if it did. What it had proposed may still come about.
    pub(crate) fn step_down(&mut self, outside: &mut Outside) {
        let Some(life) = &mut self.life else { return };
        life.raft.leader = None;
        if matches!(life.raft.role, Role::Leader(_)) {
            let id = self.id;
            outside.trace(|| format!("{id} leads no longer"));
            life.raft.role = Role::Follower;
            life.raft.heard_ms = outside.now;
            self.give_up_proposals(outside);
        }
    }
}

/// How long the disk takes.
pub(super) fn flush_ms(outside: &mut Outside) -> u64 {
    outside.random.between(1, 12)
}

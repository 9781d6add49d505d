//! Applies what is committed, and follows each entry to the loops that have something to do.

use super::Node;
use crate::log::What;
use crate::outside::Outside;
use control::{Applied, Effect, State};
use model::entry::{Body, Entry};
use model::member::Role;

/// How often of a thousand times a node applies only in its next turn what it could apply at once.
const LATE_PER_MILLE: u64 = 150;

impl Node {
    /// Applies what is committed, at once or a little later.
    pub(crate) fn apply_soon(&mut self, outside: &mut Outside) {
        let is_late = outside.random.happens(LATE_PER_MILLE);
        let life = self.life_mut();
        life.applies_later |= is_late;
        if !life.applies_later {
            self.apply_all(outside);
        }
    }

    /// Applies everything that is committed.
    pub(crate) fn apply_all(&mut self, outside: &mut Outside) {
        self.life_mut().applies_later = false;
        loop {
            let Some(life) = &mut self.life else { return };
            let index = life.applied + 1;
            if index > life.raft.committed {
                break;
            }
            let Some(stored) = self.disk.log.get(index).cloned() else { break };
            life.applied = index;
            match &stored.what {
                What::Blank | What::Voters(_) => {}
                What::Entry(bytes) => self.apply(index, stored.term, bytes, outside),
            }
        }
        self.compact(outside);
        self.answer_settled(outside);
    }

    fn apply(&mut self, index: u64, term: u64, bytes: &[u8], outside: &mut Outside) {
        let id = self.id;
        let entry = Entry::decode(bytes).expect("what was encoded can be decoded");
        let life = self.life_mut();
        let applied = life.state.apply(index, &entry);
        let Some(life) = &self.life else { return };
        if outside.record.applied(id, index, bytes, &entry, &applied, &life.state) {
            outside.trace.entry(outside.now, index, &entry, &applied, &life.state);
        }
        self.follow(index, &entry, &applied);
        self.answer_applied(index, term, &applied.outcome, outside);
    }

    /// What the front door does when an entry was applied.
    fn follow(&mut self, index: u64, entry: &Entry, applied: &Applied) {
        let id = self.id;
        if let Body::Results(batch) = &entry.body
            && !self.disk.is_full
            && self.role == Role::Full
        {
            self.disk.history.keep(index, batch);
        }
        let life = self.life_mut();
        for effect in &applied.effects {
            match (effect, &entry.body) {
                // What a node has just seen itself it looks at again in its own time.
                (Effect::LookNow(_), Body::Results(batch)) if batch.node == id => {}
                (Effect::LookNow(slot), _) => life.look.at_once.push(*slot),
                (Effect::Reconfigure, _) => {
                    life.look.shares_anew = true;
                    life.raft.ordinal = life.state.member(id).map_or(0, |known| known.member.ordinal);
                }
                (Effect::Deliver | Effect::Publish, _) => {}
            }
        }
    }

    /// Takes over another node's state.
    pub(crate) fn replace_state(&mut self, state: State, index: u64, outside: &mut Outside) {
        let id = self.id;
        let life = self.life_mut();
        (life.state, life.applied) = (state, index);
        life.look.shares_anew = true;
        let Some(life) = &self.life else { return };
        outside.record.replaced(id, index, &life.state);
        self.disk.history.misses_upto(index);
        self.settle_upto(index);
        self.answer_settled(outside);
    }

    fn compact(&mut self, outside: &mut Outside) {
        let Some(life) = &self.life else { return };
        if life.applied >= self.disk.log.snapshot().index + outside.record.plan.snapshot_every {
            self.disk.log.compact(&life.state, life.applied);
            outside.record.stored(&life.state, &self.disk.log.snapshot().state);
        }
    }
}

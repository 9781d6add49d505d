//! A node's copy of the log on its disk: a snapshot, and entries from some way
//! before it, so that who lacks little needs no snapshot.

use super::{Snapshot, Stored, Voters, What};
use crate::random::Random;
use control::State;
use std::collections::VecDeque;
use std::sync::Arc;

/// Entries kept behind a snapshot.
const KEPT_BEHIND: u64 = 40;

/// The copy.
#[derive(Debug)]
pub(crate) struct Log {
    snapshot: Arc<Snapshot>,
    /// Index and term of the last entry that is gone.
    gone: (u64, u64),
    entries: VecDeque<Stored>,
    /// Who votes from which index on; the first of them by what is gone.
    voters: Vec<(u64, Arc<Voters>)>,
    flushed: u64,
}

impl Log {
    /// An empty log of a node that nobody has told who votes.
    pub(crate) fn new() -> Self {
        let state = State::default().encode();
        Self::from(Arc::new(Snapshot { index: 0, term: 0, voters: Arc::default(), state }))
    }

    /// The empty log of a new cluster.
    pub(crate) fn founded(voters: Voters) -> Self {
        let state = State::default().encode();
        Self::from(Arc::new(Snapshot { index: 0, term: 0, voters: Arc::new(voters), state }))
    }

    /// A log that goes on behind a snapshot.
    pub(crate) fn from(snapshot: Arc<Snapshot>) -> Self {
        Self {
            gone: (snapshot.index, snapshot.term),
            entries: VecDeque::new(),
            voters: vec![(snapshot.index, Arc::clone(&snapshot.voters))],
            flushed: snapshot.index,
            snapshot,
        }
    }

    pub(crate) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The last index of which the entry is gone.
    pub(crate) const fn gone(&self) -> u64 {
        self.gone.0
    }

    pub(crate) fn last(&self) -> u64 {
        self.gone.0 + self.entries.len() as u64
    }

    /// Term and index of the last entry: of two logs the one with more of that is newer.
    pub(crate) fn age(&self) -> (u64, u64) {
        (self.term_at(self.last()).expect("the last place is there"), self.last())
    }

    pub(crate) const fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Everything up to there is on disk.
    pub(crate) fn flush(&mut self, upto: u64) {
        self.flushed = self.flushed.max(upto.min(self.last()));
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Stored> {
        self.entries.get(usize::try_from(index.checked_sub(self.gone.0 + 1)?).ok()?)
    }

    /// In which term a place was written; `None` if it is not there (any more).
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.gone.0 { Some(self.gone.1) } else { self.get(index).map(|stored| stored.term) }
    }

    /// Entries behind an index, at most so many.
    pub(crate) fn behind(&self, index: u64, count: usize) -> Vec<Stored> {
        let skipped = usize::try_from(index.saturating_sub(self.gone.0)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take(count).cloned().collect()
    }

    pub(crate) fn append(&mut self, stored: Stored) -> u64 {
        let index = self.last() + 1;
        if let What::Voters(voters) = &stored.what {
            self.voters.push((index, Arc::clone(voters)));
        }
        self.entries.push_back(stored);
        index
    }

    /// Cuts off everything from `index` on.
    pub(crate) fn cut(&mut self, index: u64) {
        assert!(index > self.gone.0, "what is gone cannot be cut off");
        self.entries.truncate(usize::try_from(index - self.gone.0 - 1).unwrap_or(usize::MAX));
        let gone = self.gone.0;
        self.voters.retain(|(since, _)| *since < index || *since <= gone);
        self.flushed = self.flushed.min(self.last());
    }

    /// A crash tears off some of what was not flushed.
    pub(crate) fn tear(&mut self, random: &mut Random) {
        let kept = random.between(self.flushed, self.last() + 1);
        self.cut(kept + 1);
        self.flushed = self.last();
    }

    /// Who votes by the last entry that says so, and its index.
    pub(crate) fn newest_voters(&self) -> &(u64, Arc<Voters>) {
        self.voters.last().expect("a snapshot says who votes")
    }

    /// Who votes by what is committed up to there.
    pub(crate) fn voters_at(&self, committed: u64) -> &Arc<Voters> {
        let known = self.voters.iter().rev().find(|(since, _)| *since <= committed);
        &known.unwrap_or(&self.voters[0]).1
    }

    /// Makes a snapshot of the state, which has applied everything up to
    /// `index`, and lets most of what it stands for go.
    pub(crate) fn compact(&mut self, state: &State, index: u64) {
        let Some(term) = self.term_at(index) else { return };
        let voters = Arc::clone(self.voters_at(index));
        self.snapshot = Arc::new(Snapshot { index, term, voters, state: state.encode() });
        while self.gone.0 + KEPT_BEHIND < index {
            let Some(stored) = self.entries.pop_front() else { return };
            self.gone = (self.gone.0 + 1, stored.term);
        }
        let before = Arc::clone(self.voters_at(self.gone.0));
        let gone = self.gone.0;
        self.voters.retain(|(since, _)| *since > gone);
        self.voters.insert(0, (gone, before));
    }
}

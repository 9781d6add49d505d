//! Which batches were taken already, so that one that is sent again counts once.
//!
//! A node sends its batches in order, but one whose fate it does not know it
//! sends again later, perhaps after the next, and those that it kept on disk
//! while it was cut off belong to an earlier start. **A batch counts once, and
//! one that was overtaken still counts.**

use model::member::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Starts of a node whose batches are told apart: the one that runs and those
/// whose batches still wait on its disk. An older one was long handed in.
const INCARNATIONS_MAX: usize = 4;
/// Batches of one start that may be under way while later ones are taken
/// already: far more than a node sends at a time.
const MISSING_MAX: usize = 256;

/// What was taken of each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sources {
    nodes: BTreeMap<NodeId, BTreeMap<u64, Taken>>,
}

/// What was taken of one start of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    upto: u64,
    missing: BTreeSet<u64>,
}

impl Sources {
    /// Takes a batch; false if it was taken before, or is too old to tell.
    pub(crate) fn take(&mut self, node: NodeId, incarnation: u64, sequence: u64) -> bool {
        let known = self.nodes.entry(node).or_default();
        if !known.contains_key(&incarnation) && known.len() >= INCARNATIONS_MAX {
            let oldest = known.keys().next().copied();
            if oldest.is_some_and(|oldest| incarnation < oldest) {
                return false;
            }
            known.pop_first();
        }
        known.entry(incarnation).or_default().take(sequence)
    }

    /// Forgets a node that will not come back.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }
}

impl Taken {
    fn take(&mut self, sequence: u64) -> bool {
        if sequence <= self.upto {
            return self.missing.remove(&sequence);
        }
        let first = (self.upto + 1).max(sequence.saturating_sub(MISSING_MAX as u64));
        self.missing.extend(first..sequence);
        while self.missing.len() > MISSING_MAX {
            self.missing.pop_first();
        }
        self.upto = sequence;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_once_in_whatever_order_it_comes() {
        let mut sources = Sources::default();
        let mut take = |incarnation, sequence| sources.take(NodeId(1), incarnation, sequence);
        assert!(take(1, 1) && take(1, 4), "2 and 3 were overtaken");
        assert!(take(1, 3) && !take(1, 3) && !take(1, 4) && take(1, 2) && !take(1, 1));
        assert!(take(2, 1), "the next start counts anew");
        assert!(take(1, 5) && !take(1, 5), "what waited on disk comes after the next start has begun");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sources = Sources::default();
        assert!(sources.take(NodeId(1), 1, u64::MAX));
        assert!((2..=9).all(|incarnation| sources.take(NodeId(1), incarnation, 1_000)));
        assert!(!sources.take(NodeId(1), 1, 7), "that start was long ago");
        let known = &sources.nodes[&NodeId(1)];
        assert_eq!(known.len(), INCARNATIONS_MAX);
        assert!(known.values().all(|taken| taken.missing.len() <= MISSING_MAX));
    }
}

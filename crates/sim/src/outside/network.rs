//! The lines between the nodes: slow, lossy, cut in one direction or in both.
//!
//! What is sent may come late, twice, out of order or never. **Each line has
//! two directions, and each can be cut alone.**

use crate::random::Random;
use model::member::NodeId;
use std::collections::BTreeSet;

/// Longest delay of a line on a good day, in milliseconds.
const DELAY_GOOD_MS: u64 = 30;

/// All lines.
#[derive(Debug)]
pub(crate) struct Network {
    cut: BTreeSet<(NodeId, NodeId)>,
    delay_ms_max: u64,
    lost_per_mille: u64,
    doubled_per_mille: u64,
}

impl Network {
    pub(crate) const fn new() -> Self {
        Self { cut: BTreeSet::new(), delay_ms_max: DELAY_GOOD_MS, lost_per_mille: 0, doubled_per_mille: 0 }
    }

    /// Whether anything gets from one node to another.
    pub(crate) fn leads(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Whether two nodes hear each other.
    pub(crate) fn joins(&self, one: NodeId, other: NodeId) -> bool {
        self.leads(one, other) && self.leads(other, one)
    }

    /// Cuts one direction of a line.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Mends all lines; they stay as slow and as lossy as they are.
    pub(crate) fn join_all(&mut self) {
        self.cut.clear();
    }

    /// Whether the lines that are not cut are quick and lose nothing.
    pub(crate) const fn is_good(&self) -> bool {
        self.delay_ms_max <= DELAY_GOOD_MS && self.lost_per_mille == 0
    }

    /// Makes all lines as bad as this.
    pub(crate) const fn worsen(&mut self, delay_ms_max: u64, lost_per_mille: u64, doubled_per_mille: u64) {
        self.delay_ms_max = delay_ms_max;
        self.lost_per_mille = lost_per_mille;
        self.doubled_per_mille = doubled_per_mille;
    }

    /// Makes all lines good again; what is cut stays so.
    pub(crate) const fn mend(&mut self) {
        self.worsen(DELAY_GOOD_MS, 0, 0);
    }

    /// After how many milliseconds a message comes: never, once or twice.
    pub(crate) fn delays(&self, random: &mut Random) -> [Option<u64>; 2] {
        let first = (!random.happens(self.lost_per_mille)).then(|| random.between(1, self.delay_ms_max + 1));
        let second = random.happens(self.doubled_per_mille).then(|| random.between(1, 4 * self.delay_ms_max + 1));
        [first, second]
    }
}

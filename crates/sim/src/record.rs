//! What really happened in a run, for the invariants to look at.
//!
//! The record sees each entry when the first node applies it, and holds every
//! other node to that. It decides nothing and no node can see it.

use crate::invariants::{Moment, Watches};
use crate::node::Node;
use crate::plan::Plan;
use crate::{Violation, clock};
use control::edge::Notice;
use control::state::CommandOutcome;
use control::{Applied, State};
use model::entry::{Action, Entry};
use model::id::{CheckId, CheckSlot, LocationId};
use model::member::NodeId;
use model::observation::Batch;

/// What happened in a run, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Story {
    /// Virtual seconds.
    pub seconds: u64,
    /// Entries that were applied.
    pub entries: u64,
    /// Rounds made.
    pub rounds: u64,
    /// Incidents opened.
    pub incidents: u64,
    /// Messages taken by receivers.
    pub taken: u64,
    /// Commands that were answered.
    pub commands: u64,
    /// Of those the ones that were refused.
    pub refused: u64,
    /// Times a node died.
    pub deaths: u64,
    /// Disks lost.
    pub disks_lost: u64,
    /// Disks that were full for a while.
    pub disks_full: u64,
    /// Times a node was elected.
    pub elections: u64,
    /// Snapshots that a node took over from another.
    pub snapshots_taken: u64,
    /// Changes of who votes.
    pub changes_of_voters: u64,
    /// Batches that were kept on a node's disk.
    pub batches_kept: u64,
    /// Chunks of history that a peer gave.
    pub chunks_given: u64,
    /// Times a node told on its own account that it is cut off.
    pub cut_offs: u64,
    /// Results that came too late to count.
    pub late: u64,
}

impl std::ops::AddAssign for Story {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.entries += other.entries;
        self.rounds += other.rounds;
        self.incidents += other.incidents;
        self.taken += other.taken;
        self.commands += other.commands;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.disks_lost += other.disks_lost;
        self.disks_full += other.disks_full;
        self.elections += other.elections;
        self.snapshots_taken += other.snapshots_taken;
        self.changes_of_voters += other.changes_of_voters;
        self.batches_kept += other.batches_kept;
        self.chunks_given += other.chunks_given;
        self.cut_offs += other.cut_offs;
        self.late += other.late;
    }
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} virtual hours, {} entries, {} rounds, {} incidents, {} messages taken, {} commands answered and {} of them refused, \
             {} deaths, {} disks lost and {} full, {} elections, {} snapshots taken, {} changes of voters, {} batches kept, \
             {} chunks of history given, {} nodes cut off, {} late results",
            self.seconds / 3_600,
            self.entries,
            self.rounds,
            self.incidents,
            self.taken,
            self.commands,
            self.refused,
            self.deaths,
            self.disks_lost,
            self.disks_full,
            self.elections,
            self.snapshots_taken,
            self.changes_of_voters,
            self.batches_kept,
            self.chunks_given,
            self.cut_offs,
            self.late,
        )
    }
}

/// The record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) plan: Plan,
    pub(crate) story: Story,
    /// The last entry that any node has applied.
    pub(crate) front: u64,
    pub(crate) watches: Watches,
    pub(crate) violation: Option<Violation>,
    now_ms: u64,
}

impl Record {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            story: Story::default(),
            front: 0,
            watches: Watches::default(),
            violation: None,
            now_ms: 0,
        }
    }

    pub(crate) fn story(&self) -> Story {
        Story { seconds: self.now_ms / 1_000, ..self.story }
    }

    /// The first violation counts; what follows may follow from it.
    pub(crate) fn hold(&mut self, property: &'static str, holds: Result<(), String>) {
        if let Err(found) = holds
            && self.violation.is_none()
        {
            self.violation = Some(Violation { seed: self.plan.seed, property, found });
        }
    }

    /// A node has applied an entry; returns whether it is the first one.
    pub(crate) fn applied(
        &mut self,
        node: NodeId,
        index: u64,
        bytes: &[u8],
        entry: &Entry,
        applied: &Applied,
        state: &State,
    ) -> bool {
        let agrees = self.watches.replicas_agree.applied(node, index, bytes, applied, state);
        self.hold("replicas_agree", agrees);
        if index <= self.front {
            return false;
        }
        self.front = index;
        self.story.entries += 1;
        let moment = Moment { index, entry, applied, state, now_ms: self.now_ms };
        let mut watches = std::mem::take(&mut self.watches);
        watches.entry(self, &moment);
        self.watches = watches;
        true
    }

    /// Time has gone on.
    pub(crate) const fn pass(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// A node has taken over another's state.
    pub(crate) fn replaced(&mut self, node: NodeId, index: u64, state: &State) {
        let agrees = self.watches.replicas_agree.replaced(node, index, state);
        self.hold("replicas_agree", agrees);
    }

    /// A node has made a snapshot of its state.
    pub(crate) fn stored(&mut self, state: &State, bytes: &[u8]) {
        let holds = crate::invariants::stored_state_is_the_same(state, bytes);
        self.hold("stored_state_is_the_same", holds);
    }

    /// A node begins a round.
    pub(crate) fn round(&mut self, node: NodeId, slot: CheckSlot, location: &LocationId) {
        self.story.rounds += 1;
        self.watches.checks_are_made.round(node, slot, location, self.now_ms);
    }

    /// The sender of a heartbeat was answered.
    pub(crate) fn beat_answered(&mut self, beat: &CheckId, is_taken: bool) {
        self.watches.acknowledged_commands_survive.beat(beat, is_taken);
    }

    /// A command was answered.
    pub(crate) fn acknowledged(&mut self, key: &str, action: &Action, outcome: &CommandOutcome, index: u64) {
        self.story.commands += 1;
        self.watches.acknowledged_commands_survive.acknowledged(key, action, outcome, index);
    }

    /// A node tells on its own account.
    pub(crate) fn notice(&mut self, node: NodeId, notice: Notice) {
        if matches!(notice, Notice::CutOff { .. }) {
            self.story.cut_offs += 1;
        }
        let holds = self.watches.a_cut_off_node_tells_once.notice(node, notice, self.now_ms);
        self.hold("a_cut_off_node_tells_once", holds);
    }

    /// A batch was put on a node's disk.
    pub(crate) fn kept(&mut self, batch: &Batch) {
        self.story.batches_kept += 1;
        self.watches.results_are_kept.kept(batch);
    }

    /// A batch on a disk had to make room.
    pub(crate) fn dropped(&mut self, batch: &Batch) {
        self.watches.results_are_kept.dropped(batch);
    }

    /// A node is gone for ever, with what it had not handed in.
    pub(crate) fn lost(&mut self, node: &Node) {
        node.disk.spool.iter().for_each(|batch| self.watches.results_are_kept.dropped(batch));
    }

    /// The number of the window in which the run began.
    pub(crate) const fn begin_window(&self, window_ms: i64) -> i64 {
        clock::ideal(0).as_ms().div_euclid(window_ms)
    }
}

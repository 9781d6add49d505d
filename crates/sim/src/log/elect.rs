//! Elections, each in one moment.
//!
//! **A node is elected only by a majority that hears it and is heard by it, of
//! which none has a newer log, and none hears a leader**; all of that majority
//! then know the new term, so that no older leader can commit anything.

use super::{ELECTION_AFTER_MS, LEASE_MS, ORDINAL_MS, Raft, Role};
use crate::node::Node;
use crate::outside::Outside;
use model::member::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// How often of a thousand times a node that was not elected still goes to the
/// next term, which then disturbs the others: there is no vote before the vote.
const RESTLESS_PER_MILLE: u64 = 300;

impl Node {
    /// Whether it has waited long enough for a leader.
    pub(crate) fn wants_to_lead(&self, outside: &Outside) -> bool {
        let Some(life) = self.life.as_ref().filter(|_| !self.is_paused(outside.now)) else { return false };
        let patience_ms = ELECTION_AFTER_MS + u64::from(life.raft.ordinal) * ORDINAL_MS;
        matches!(life.raft.role, Role::Follower)
            && self.disk.log.newest_voters().1.voting.contains(&self.id)
            && outside.now >= life.raft.heard_ms + patience_ms
    }

    fn would_elect(&self, term: u64, age: (u64, u64), outside: &Outside) -> bool {
        let Some(life) = self.life.as_ref().filter(|_| !self.is_paused(outside.now)) else { return false };
        self.disk.term < term && self.disk.log.age() <= age && outside.now >= life.raft.heard_ms + LEASE_MS
    }
}

/// Lets a node try to be elected.
pub(crate) fn elect(nodes: &mut BTreeMap<NodeId, Node>, candidate: NodeId, outside: &mut Outside) {
    let Some(node) = nodes.get(&candidate) else { return };
    let (term, age) = (node.disk.term + 1, node.disk.log.age());
    let committed = node.life.as_ref().map_or(0, |life| life.raft.committed);
    let (before, newest) = (node.disk.log.voters_at(committed), &node.disk.log.newest_voters().1);
    let electorate: BTreeSet<NodeId> = before.voting.union(&newest.voting).copied().collect();
    let agrees = |voter: &NodeId| {
        *voter == candidate
            || outside.network.joins(candidate, *voter)
                && nodes.get(voter).is_some_and(|node| node.would_elect(term, age, outside))
    };
    let electors: BTreeSet<NodeId> = electorate.into_iter().filter(agrees).collect();
    let is_elected = [before, newest].into_iter().all(|voters| voters.is_majority(|node| electors.contains(&node)));
    if is_elected {
        for elector in &electors {
            let Some(node) = nodes.get_mut(elector) else { continue };
            node.disk.term = term;
            node.step_down(outside);
            if let Some(Raft { heard_ms, .. }) = node.life.as_mut().map(|life| &mut life.raft) {
                *heard_ms = outside.now;
            }
        }
    }
    // Who refuses says which term he knows.
    let reached = nodes.values().filter(|node| node.life.is_some() && outside.network.joins(candidate, node.id));
    let newest_term = reached.map(|node| node.disk.term).max().unwrap_or(0);
    let restless = outside.random.happens(RESTLESS_PER_MILLE);
    let Some(node) = nodes.get_mut(&candidate) else { return };
    if is_elected {
        node.lead(outside);
    } else {
        let next_term = if restless { term } else { node.disk.term };
        node.disk.term = next_term.max(newest_term);
        let again_ms = outside.random.between(0, ORDINAL_MS);
        let raft = &mut node.life_mut().raft;
        (raft.leader, raft.heard_ms) = (None, outside.now.saturating_sub(again_ms));
    }
}

//! The operator: founds the cluster, adds nodes, takes some out, and replaces
//! those whose disks are lost.

use super::{Client, Deed, People, Wanted};
use crate::clock::Clock;
use crate::node::{File, Node};
use crate::outside::{Event, Outside};
use crate::world::World;
use model::entry::Action;
use model::id::LocationId;
use model::member::{Digest, Invitation, Member, NodeFacts, NodeId, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long an invitation is good.
const INVITED_FOR: Duration = Duration::from_secs(3_600);
/// Members that a cluster may come to.
const MEMBERS_MAX: usize = 5;

/// A node that is to come.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) node: NodeId,
    pub(crate) location: LocationId,
    pub(crate) role: Role,
    pub(crate) replaces: Option<NodeId>,
}

/// What is under way about who belongs to the cluster.
#[derive(Debug, Default)]
pub(super) struct Rebuilding {
    nodes_drawn: u64,
    /// Those who ask for an invitation, or to join, and for which node.
    asking: BTreeMap<usize, Join>,
    /// Those who are invited as soon as the cluster is founded.
    to_come: Vec<Join>,
    /// Members without a machine, when that was looked at last.
    ghosts: BTreeSet<NodeId>,
}

impl Rebuilding {
    pub(super) fn is_over(&self) -> bool {
        self.asking.is_empty() && self.to_come.is_empty()
    }
}

impl People {
    /// An id that no node ever had.
    pub(crate) fn draw_node(&mut self) -> NodeId {
        self.rebuilding.nodes_drawn += 1;
        // Spread, as ids that are drawn at random are, so that shares of work differ.
        NodeId(self.rebuilding.nodes_drawn * 7_919 % 999_983 + self.rebuilding.nodes_drawn)
    }

    /// Begins to bring a node in.
    pub(crate) fn invite(&mut self, join: Join, outside: &mut Outside) {
        let expires = outside.ideal().plus(INVITED_FOR);
        let (node, role, replaces) = (join.node, join.role, join.replaces);
        let invitation = Invitation { token: token(node), node, role, expires, replaces };
        let client = self.want(Action::Invite(invitation), outside);
        self.rebuilding.asking.insert(client, join);
    }

    /// Has a cluster founded, and then the others invited.
    pub(crate) fn found(&mut self, first: &Join, others: Vec<Join>, outside: &mut Outside) {
        self.rebuilding.to_come = others;
        self.want(Action::Found(member(first)), outside);
    }

    fn remove(&mut self, node: NodeId, outside: &mut Outside) {
        self.add(Wanted::Remove(node), outside);
    }

    /// Whether somebody asks for something about members.
    pub(crate) fn is_rebuilding(&self) -> bool {
        let is_removal = |client: &Client| matches!(client.wanted, Wanted::Remove(_)) && !client.is_done;
        !self.rebuilding.asking.is_empty() || self.clients.iter().any(is_removal)
    }
}

impl World {
    /// Makes a node with an empty disk; it is not started.
    pub(crate) fn make_node(&mut self, join: &Join) -> Node {
        let random = &mut self.outside.random;
        let offset_ms = random.between(0, 3_000) as i64 - 1_500;
        let clock = Clock::new(offset_ms, random.between(0, 400) as i64 - 200);
        let has_whole_file = self.nodes.is_empty() || random.happens(700);
        let file = has_whole_file.then(|| Arc::new(File::of(&self.people.wanted, self.people.files_written)));
        let mut node = Node::new(join.node, join.location.clone(), join.role, clock, file);
        node.watches_way_out = random.happens(700);
        node
    }

    /// What follows for the nodes when the operator has an answer.
    pub(super) fn rebuild_after(&mut self, client: usize, action: &Action, is_accepted: bool) {
        let join = self.people.rebuilding.asking.remove(&client);
        match (action, join) {
            (Action::Found(_), _) => {
                for join in std::mem::take(&mut self.people.rebuilding.to_come) {
                    self.people.invite(join, &mut self.outside);
                }
            }
            (Action::Invite(_), Some(join)) if is_accepted => {
                let member = member(&join);
                let token = token(join.node);
                let client = self.people.want(Action::Join { token, member }, &mut self.outside);
                self.people.rebuilding.asking.insert(client, join);
            }
            (Action::Join { .. }, Some(join)) if is_accepted => {
                let mut node = self.make_node(&join);
                node.start(&mut self.outside);
                self.nodes.insert(join.node, node);
            }
            (Action::RemoveMember { node }, _) if is_accepted => self.retire(*node),
            _ => {}
        }
    }

    /// Sometimes the operator adds a node or takes one out.
    pub(crate) fn rebuild(&mut self) {
        if self.people.is_rebuilding() {
            return;
        }
        let members = self.nodes.len();
        let random = &mut self.outside.random;
        if members > 3 && random.happens(500) || members >= MEMBERS_MAX {
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            if let Some(node) = random.pick(&nodes).copied() {
                self.people.remove(node, &mut self.outside);
            }
        } else if let Some(location) = random.pick(&self.outside.record.plan.locations()).cloned() {
            let node = self.people.draw_node();
            let join = Join { node, location, role: Role::Full, replaces: None };
            self.people.invite(join, &mut self.outside);
        }
    }

    /// Takes out members that have had no machine for long, as when the one that
    /// came for a lost one was taken out itself.
    pub(crate) fn remove_ghosts(&mut self) {
        let leader = self.leader().and_then(|leader| self.nodes.get(&leader)?.life.as_ref());
        let Some(life) = leader.filter(|_| !self.people.is_rebuilding()) else { return };
        let members = life.state.members().map(|known| known.member.id);
        // Who is being replaced is taken out by the cluster itself.
        let replaced: BTreeSet<NodeId> = life.state.members().filter_map(|known| known.replaces).collect();
        let is_ghost = |member: &NodeId| !self.nodes.contains_key(member) && !replaced.contains(member);
        let ghosts: BTreeSet<NodeId> = members.filter(is_ghost).collect();
        let before = std::mem::replace(&mut self.people.rebuilding.ghosts, ghosts.clone());
        for ghost in ghosts.intersection(&before) {
            self.people.remove(*ghost, &mut self.outside);
        }
    }

    /// A disk is lost with everything on it. The operator replaces the node.
    pub(crate) fn lose_disk(&mut self, lost: NodeId) {
        let Some(mut node) = self.nodes.remove(&lost) else { return };
        node.crash(&mut self.outside);
        self.outside.trace(|| format!("{lost} has lost its disk"));
        self.outside.record.story.disks_lost += 1;
        self.outside.record.lost(&node);
        let new = self.people.draw_node();
        let join = Join { node: new, location: node.location.clone(), role: node.role, replaces: Some(lost) };
        self.people.invite(join, &mut self.outside);
    }

    /// A node that was taken out is switched off some time later, and its disk thrown away.
    fn retire(&mut self, node: NodeId) {
        let after_ms = self.outside.random.between(1_000, 30_000);
        self.outside.after(after_ms, Event::Acts(Deed::Mend(crate::faults::Mending::Retire(node))));
    }
}

fn token(node: NodeId) -> Digest {
    digest(node, 1)
}

fn digest(node: NodeId, of: u8) -> Digest {
    let mut bytes = [of; 32];
    bytes[..8].copy_from_slice(&node.0.to_be_bytes());
    Digest(bytes)
}

/// A node as it says it is.
fn member(join: &Join) -> Member {
    Member {
        id: join.node,
        name: format!("node-{}", join.node),
        address: format!("10.0.0.1:{}", join.node.0 % 65_535),
        location: join.location.clone(),
        role: join.role,
        ordinal: 0,
        key: digest(join.node, 2),
        facts: NodeFacts::default(),
    }
}

//! The cluster's nodes in a scenario: who they are, and what happens to them.

use super::read::location;
use super::{Played, World};
use control::edge::Share;
use control::state::CommandOutcome;
use model::entry::{Action, Body};
use model::id::LocationId;
use model::member::{Digest, Invitation, Member, NodeFacts, NodeId, Role};
use std::time::Duration;

/// What a node says that has lost its way out.
const NO_ANSWER: &str = "none of 3 well-known addresses answers";

/// A node as a scenario names it; its number is its place in the list, from 1.
pub(super) struct Node {
    name: String,
    location: LocationId,
    role: Role,
}

impl World {
    /// Names a node that is there from the begin on.
    pub(super) fn node(&mut self, name: &str, place: &str, rest: &[&str]) -> Played {
        let role = match rest {
            [] => Role::Full,
            ["witness"] => Role::Witness,
            other => return Err(format!("no such node: {other:?}")),
        };
        self.nodes.push(Node { name: name.to_owned(), location: location(place), role });
        Ok(())
    }

    /// Lets the nodes that were named found the cluster.
    pub(super) fn found(&mut self) -> Played {
        for number in 1..=self.nodes.len() {
            let member = self.member(number);
            let id = member.id;
            if number == 1 {
                self.command("paris", Action::Found(member))?;
            } else {
                self.admit(member, None)?;
                self.apply(Body::Presence { node: id, is_present: true });
            }
        }
        Ok(())
    }

    /// A node joins, perhaps in place of another; it is not heard yet.
    pub(super) fn join(&mut self, name: &str, place: &str, replaces: Option<&str>) -> Played {
        let replaces = replaces.map(|name| self.number(name)).transpose()?;
        self.node(name, place, &[])?;
        let member = self.member(self.nodes.len());
        self.admit(member, replaces)
    }

    fn admit(&mut self, member: Member, replaces: Option<NodeId>) -> Played {
        let (node, role, token) = (member.id, member.role, Digest([member.id.0 as u8; 32]));
        let expires = self.state.now().plus(Duration::from_secs(3600));
        self.command("ops", Action::Invite(Invitation { token, node, role, expires, replaces }))?;
        self.command(&member.name.clone(), Action::Join { token, member })
    }

    fn member(&self, number: usize) -> Member {
        let node = &self.nodes[number - 1];
        Member {
            id: NodeId(number as u64),
            name: node.name.clone(),
            address: format!("192.0.2.{number}:8481"),
            location: node.location.clone(),
            role: node.role,
            ordinal: 0,
            key: Digest([100 + number as u8; 32]),
            facts: NodeFacts::default(),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<NodeId, String> {
        let at =
            self.nodes.iter().position(|node| node.name == name).ok_or_else(|| format!("there is no node {name}"))?;
        Ok(NodeId(at as u64 + 1))
    }

    /// Who looks from a place: the node of that name, or the first that stands there.
    pub(super) fn looker(&self, place: &str) -> (LocationId, NodeId) {
        let of = |at: usize| (self.nodes[at].location.clone(), NodeId(at as u64 + 1));
        let named = self.nodes.iter().position(|node| node.name == place);
        let standing = self.nodes.iter().position(|node| node.location.as_str() == place);
        named.or(standing).map_or_else(|| (location(place), NodeId(1)), of)
    }

    /// What happens to a node.
    pub(super) fn fare(&mut self, name: &str, how: &[&str]) -> Played {
        let node = self.number(name)?;
        let body = match how {
            ["is", "lost"] => Body::Presence { node, is_present: false },
            ["is", "heard"] => Body::Presence { node, is_present: true },
            ["loses", "its", "way", "out"] => Body::Egress { node, works: false, text: NO_ANSWER.to_owned() },
            ["has", "a", "way", "out"] => Body::Egress { node, works: true, text: "all answer".to_owned() },
            other => return Err(format!("nothing that happens to a node: {other:?}")),
        };
        match self.apply(body) {
            CommandOutcome::Accepted => Ok(()),
            CommandOutcome::Refused(why) => Err(why),
        }
    }

    /// The nodes that make a check, by what each of them computes for itself.
    pub(super) fn makers(&self, check: &str) -> Result<String, String> {
        let slot = self.state.slot(&super::read::check_id(check)?).ok_or("no such check")?;
        let (_, check) = self.state.target(slot).ok_or("it is not configured")?;
        let makes = |(at, node): &(usize, &Node)| {
            let id = NodeId(*at as u64 + 1);
            let is_there = self.state.member(id).is_some_and(|known| known.is_present);
            is_there && Share::of(&self.state, id, &node.location).holds(check)
        };
        let makers = self.nodes.iter().enumerate().filter(makes);
        Ok(makers.map(|(_, node)| node.name.as_str()).collect::<Vec<_>>().join(" "))
    }
}

//! Which node of a location makes which check.
//!
//! Every node computes it from its own state by rendezvous hashing: each node
//! has a score for each check, and the highest makes it. Nobody hands work
//! out, so nobody has to be asked. **A check of a location is made by exactly
//! one of the nodes that count as there, and when one leaves, only its checks
//! move.** While two nodes know different states, for the milliseconds that an
//! entry takes, a check may be made twice or come a moment later; a node that
//! is cut off goes on making its share as it knew it.

use super::fnv1a;
use crate::state::State;
use model::check::{Check, CheckKind};
use model::id::{CheckId, LocationId};
use model::member::{NodeId, Role};

/// Whether `node` makes a check, `present` being the nodes that share the work
/// with it. A node counts itself as there, whether or not it is among them.
pub fn share(check: &CheckId, node: NodeId, present: impl Iterator<Item = NodeId>) -> bool {
    let check = fnv1a(check.as_str().as_bytes());
    let rank = |node: NodeId| (mix(check ^ mix(node.0)), node);
    let own = rank(node);
    present.into_iter().all(|other| other == node || rank(other) < own)
}

/// Spreads the bits of a number over all of it: the finaliser of SplitMix64
/// (Steele, Lea, Flood 2014), which passes the usual tests of randomness.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A node's share of the checks, by one state of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    node: NodeId,
    location: LocationId,
    /// The nodes that share the location's checks; none if this one makes no checks at all.
    sharing: Vec<NodeId>,
}

impl Share {
    /// The share of a node. `location` is where it stands by its own
    /// configuration; once it is a member, what the state says counts.
    ///
    /// Of the other members at the location those share that make checks, are
    /// heard and have a way out. A node whose own way out is broken makes
    /// checks only if no other can, for what it sees does not count. If the
    /// location has no member at all, as before the cluster is founded, the
    /// node makes all of its checks; a witness, or a node that is not a member
    /// of a location that has some, makes none.
    pub fn of(state: &State, node: NodeId, location: &LocationId) -> Self {
        let own = state.member(node);
        let location = own.map_or(location, |known| &known.member.location).clone();
        let standing_here = || state.members().filter(|known| known.member.location == location);
        let makes_checks = match own {
            Some(known) => known.member.role == Role::Full,
            None => standing_here().next().is_none(),
        };
        if !makes_checks {
            return Self { node, location, sharing: Vec::new() };
        }
        let able =
            standing_here().filter(|known| known.makes_checks() && (known.is_present || known.member.id == node));
        let (well, cut): (Vec<_>, Vec<_>) = able.partition(|known| known.egress_broken.is_none());
        let sharing = if well.is_empty() { cut } else { well };
        let mut sharing: Vec<NodeId> = sharing.into_iter().map(|known| known.member.id).collect();
        if own.is_none() {
            sharing.push(node);
        }
        Self { node, location, sharing }
    }

    /// Whether the node makes this check. Heartbeats are nobody's: they come by themselves.
    pub fn holds(&self, check: &Check) -> bool {
        match check.kind {
            CheckKind::Heartbeat(_) => false,
            CheckKind::Http(_)
            | CheckKind::Tcp(_)
            | CheckKind::Icmp(_)
            | CheckKind::Dns(_)
            | CheckKind::Tls(_)
            | CheckKind::Smtp(_)
            | CheckKind::Ssh(_)
            | CheckKind::Postgres(_)
            | CheckKind::Redis(_)
            | CheckKind::Plugin(_) => {
                self.sharing.contains(&self.node)
                    && check.from.contains(&self.location)
                    && share(&check.id, self.node, self.sharing.iter().copied())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn check(number: u32) -> CheckId {
        CheckId::new(&format!("service-{number}.http")).expect("a legal id")
    }

    /// The node that makes a check; a failure if it is not exactly one.
    fn maker(check: &CheckId, nodes: &[NodeId]) -> NodeId {
        let makers: Vec<NodeId> =
            nodes.iter().copied().filter(|node| share(check, *node, nodes.iter().copied())).collect();
        assert_eq!(makers.len(), 1, "{check} is made by {makers:?} of {nodes:?}");
        makers[0]
    }

    fn any_nodes() -> impl Strategy<Value = Vec<NodeId>> {
        prop::collection::btree_set(1u64..1 << 53, 1..6).prop_map(|ids| ids.into_iter().map(NodeId).collect())
    }

    proptest! {
        #[test]
        fn each_check_is_made_by_exactly_one_node_and_only_those_of_a_lost_one_move(nodes in any_nodes(), lost in 0usize..6) {
            let lost = nodes[lost % nodes.len()];
            let left: Vec<NodeId> = nodes.iter().copied().filter(|node| *node != lost).collect();
            for check in (0..200).map(check) {
                let before = maker(&check, &nodes);
                if !left.is_empty() && before != lost {
                    prop_assert_eq!(maker(&check, &left), before);
                }
            }
        }

        #[test]
        fn the_checks_are_spread_within_a_fifth(nodes in any_nodes()) {
            const CHECKS: u32 = 10_000;
            let mut made: BTreeMap<NodeId, u32> = BTreeMap::new();
            for check in (0..CHECKS).map(check) {
                *made.entry(maker(&check, &nodes)).or_default() += 1;
            }
            let fair = CHECKS / nodes.len() as u32;
            for (node, count) in made {
                prop_assert!(count.abs_diff(fair) * 5 <= fair, "{} makes {} of {}", node, count, CHECKS);
            }
        }

        #[test]
        fn a_node_counts_itself_as_there(nodes in any_nodes()) {
            let others = || nodes.iter().copied().skip(1);
            for check in (0..50).map(check) {
                prop_assert_eq!(share(&check, nodes[0], others()), share(&check, nodes[0], nodes.iter().copied()));
            }
        }
    }
}

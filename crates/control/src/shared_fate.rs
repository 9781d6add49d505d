//! What nodes have in common that could take them together.
//!
//! Three nodes on one machine, in one place, in one network or under one
//! kernel are not three. What is found here is said by `mainstay status` for as
//! long as it is so; it changes nothing. Each sentence names the nodes and what
//! it would mean for the cluster, because whether that is bearable is for its
//! owners to say. **Only what the members say of themselves is known here**: a
//! node that says nothing shares nothing.

use crate::state::State;
use model::member::{Member, NodeFacts, NodeId, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of an IPv4 network that usually hang on one router.
const V4_BITS: u32 = 24;
/// Bits of an IPv6 network that is one link by RFC 4291 section 2.5.1.
const V6_BITS: u32 = 64;

/// What nodes can have in common, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// They run on one machine.
    Machine,
    /// They stand in one location.
    Location,
    /// They have addresses in one network.
    AddressRange,
    /// They run the same release of the kernel.
    Kernel,
    /// There are two of them that vote.
    TwoVoters,
    /// An even number of them votes.
    EvenVoters,
}

impl Kind {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Location => "location",
            Self::AddressRange => "address_range",
            Self::Kernel => "kernel",
            Self::TwoVoters => "two_voters",
            Self::EvenVoters => "even_voters",
        }
    }
}

/// Something that nodes have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFate {
    /// Of which kind.
    pub kind: Kind,
    /// Which nodes, what they share and what it means: a sentence or two for the operator.
    pub text: String,
}

/// What the members of a state have in common, the worst first; nothing for a
/// single node. A member that is about to be replaced is left out: what counts
/// is the cluster that will be.
pub fn of(state: &State) -> Vec<SharedFate> {
    let leaving: BTreeSet<NodeId> = state.members().filter_map(|known| known.replaces).collect();
    let members: Vec<&Member> =
        state.members().map(|known| &known.member).filter(|member| !leaving.contains(&member.id)).collect();
    among(&members)
}

fn among(members: &[&Member]) -> Vec<SharedFate> {
    let cluster = Cluster::new(members);
    let machines = groups(members, |member| some(&member.facts.machine));
    // Nodes on one machine share all the rest as well, which says nothing more.
    let is_news = |nodes: &BTreeSet<usize>| !machines.keys().any(|machine| nodes.is_subset(machine));
    let mut found = Vec::new();
    for nodes in machines.keys() {
        found.push(cluster.shared(Kind::Machine, nodes, "run on the same machine", "it stops"));
    }
    let places = groups(members, |member| vec![member.location.to_string()]);
    for (nodes, places) in places.iter().filter(|(nodes, _)| is_news(nodes)) {
        let what = format!("stand in the same location, {}", listed(places));
        found.push(cluster.shared(Kind::Location, nodes, &what, "it is lost"));
    }
    let bridges = bridges(members);
    let networks = groups(members, |member| networks(&member.facts, &bridges));
    for (nodes, networks) in networks.iter().filter(|(nodes, _)| is_news(nodes)) {
        let (what, when) = if networks.len() == 1 { ("network", "it fails") } else { ("networks", "these fail") };
        let what = format!("have addresses in the same {what}, {}", listed(networks));
        found.push(cluster.shared(Kind::AddressRange, nodes, &what, when));
    }
    let kernels = groups(members, |member| some(&member.facts.kernel));
    for (nodes, kernels) in kernels.iter().filter(|(nodes, _)| is_news(nodes)) {
        let what = format!("run the same kernel, {}", listed(kernels));
        found.push(cluster.shared(Kind::Kernel, nodes, &what, "a fault in it stops them together"));
    }
    found.extend(cluster.numbers());
    found
}

/// The members as voters.
struct Cluster<'a> {
    members: &'a [&'a Member],
    voters: usize,
}

impl<'a> Cluster<'a> {
    fn new(members: &'a [&'a Member]) -> Self {
        let voters = members.iter().filter(|member| votes(member)).count();
        Self { members, voters }
    }

    /// Says that some nodes have something in common, and what it means.
    fn shared(&self, kind: Kind, nodes: &BTreeSet<usize>, what: &str, when: &str) -> SharedFate {
        let (names, fate) = (self.names(nodes), self.fate(nodes));
        SharedFate { kind, text: format!("{names} {what}: if {when}, {fate}") }
    }

    const fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// What is left when some nodes are gone together.
    fn fate(&self, nodes: &BTreeSet<usize>) -> String {
        let (gone, total) = (nodes.len(), self.members.len());
        let lost = nodes.iter().filter(|at| votes(self.members[**at])).count();
        let left = self.voters - lost;
        if gone == total {
            let all = if total == 2 { "both nodes".to_owned() } else { format!("all {total} nodes") };
            return format!("{all} are gone and nothing is watched any more");
        }
        if left < self.quorum() {
            return format!("{gone} of {total} nodes are gone and nothing can be changed any more");
        }
        let rest = total - gone;
        match left - self.quorum() {
            0 => format!("{gone} of {total} nodes are gone and none of the other {rest} may fail then"),
            spare => format!("{gone} of {total} nodes are gone and only {spare} of the other {rest} may fail then"),
        }
    }

    /// "Nodes a, b and c", in the order of the members' names.
    fn names(&self, nodes: &BTreeSet<usize>) -> String {
        let mut names: Vec<&str> = nodes.iter().map(|at| self.members[*at].name.as_str()).collect();
        names.sort_unstable();
        format!("Nodes {}", listed(&names))
    }

    /// What the mere number of voters means.
    fn numbers(&self) -> Option<SharedFate> {
        let count = self.voters;
        if count < 2 || count % 2 == 1 {
            return None;
        }
        if count == 2 {
            let text = "Only 2 nodes vote: if either stops, nothing can be changed any more. With a third, which may be \
                        a witness, one of them may stop";
            return Some(SharedFate { kind: Kind::TwoVoters, text: text.to_owned() });
        }
        let (may_stop, fewer) = (count - self.quorum(), count - 1);
        let text = format!(
            "{count} nodes vote, an even number: {may_stop} of them may stop, no more than of {fewer}, and if a cut \
             parts them into halves, nothing can be changed in either"
        );
        Some(SharedFate { kind: Kind::EvenVoters, text })
    }
}

fn votes(member: &Member) -> bool {
    match member.role {
        Role::Full | Role::Witness => true,
    }
}

/// Nodes that have something in common, with all that just these share, in the order of its text.
fn groups(members: &[&Member], of: impl Fn(&Member) -> Vec<String>) -> BTreeMap<BTreeSet<usize>, Vec<String>> {
    let mut sharing: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        for what in of(member) {
            sharing.entry(what).or_default().insert(at);
        }
    }
    let mut groups: BTreeMap<BTreeSet<usize>, Vec<String>> = BTreeMap::new();
    for (what, nodes) in sharing.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
        groups.entry(nodes).or_default().push(what);
    }
    groups
}

fn some(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

/// Addresses that several machines have each for themselves, such as those of
/// their containers' bridges: they lead from one machine to no other.
fn bridges(members: &[&Member]) -> BTreeSet<IpAddr> {
    let mut machines: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for member in members.iter().filter(|member| !member.facts.machine.is_empty()) {
        for address in &member.facts.addresses {
            machines.entry(address.to_canonical()).or_default().insert(&member.facts.machine);
        }
    }
    machines.into_iter().filter(|(_, machines)| machines.len() > 1).map(|(address, _)| address).collect()
}

fn networks(facts: &NodeFacts, bridges: &BTreeSet<IpAddr>) -> Vec<String> {
    let own = facts.addresses.iter().map(IpAddr::to_canonical).filter(|address| !bridges.contains(address));
    own.map(network).collect()
}

fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let network = Ipv4Addr::from_bits(v4.to_bits() & !(u32::MAX >> V4_BITS));
            format!("{network}/{V4_BITS}")
        }
        IpAddr::V6(v6) => {
            let network = Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> V6_BITS));
            format!("{network}/{V6_BITS}")
        }
    }
}

/// "a", "a and b", "a, b and c".
fn listed(parts: &[impl fmt::Display]) -> String {
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let before = match at {
            0 => "",
            at if at + 1 == parts.len() => " and ",
            _ => ", ",
        };
        text.push_str(&format!("{before}{part}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::id::LocationId;
    use model::member::Digest;

    #[test]
    fn nodes_that_have_nothing_in_common_are_not_warned_of() {
        check(vec![], &[]);
        check(vec![apart(1)], &[]);
        check(vec![apart(1), apart(2), apart(3)], &[]);
        check((1..=5).map(apart).collect(), &[]);
    }

    #[test]
    fn nodes_on_one_machine_go_together_and_share_the_rest_without_saying() {
        let two = || vec![on(apart(1), "m"), on(like(apart(2), &apart(1)), "m")];
        check(
            [two(), vec![apart(3)]].concat(),
            &[(
                Kind::Machine,
                "Nodes n1 and n2 run on the same machine: if it stops, 2 of 3 nodes are gone and nothing can be changed \
                 any more",
            )],
        );
        check(
            [two(), vec![apart(3), apart(4), apart(5)]].concat(),
            &[(
                Kind::Machine,
                "Nodes n1 and n2 run on the same machine: if it stops, 2 of 5 nodes are gone and none of the other 3 may \
                 fail then",
            )],
        );
        check(
            [two(), (3..=7).map(apart).collect()].concat(),
            &[(
                Kind::Machine,
                "Nodes n1 and n2 run on the same machine: if it stops, 2 of 7 nodes are gone and only 1 of the other 5 \
                 may fail then",
            )],
        );
        check(
            (1..=3).map(|id| on(like(apart(id), &apart(1)), "m")).collect(),
            &[(
                Kind::Machine,
                "Nodes n1, n2 and n3 run on the same machine: if it stops, all 3 nodes are gone and nothing is watched \
                 any more",
            )],
        );
    }

    #[test]
    fn nodes_of_one_location_are_lost_with_it() {
        let in_london = |mut node: Member| {
            node.location = LocationId::new("london").expect("a legal id");
            node
        };
        check(
            vec![in_london(apart(1)), apart(2), in_london(apart(3))],
            &[(
                Kind::Location,
                "Nodes n1 and n3 stand in the same location, london: if it is lost, 2 of 3 nodes are gone and nothing \
                 can be changed any more",
            )],
        );
    }

    #[test]
    fn nodes_in_one_network_fail_with_it() {
        check(
            vec![
                at(apart(1), &["192.0.2.10", "2001:db8:0:1::10"]),
                at(apart(2), &["192.0.2.250", "2001:db8:0:1:ffff::1"]),
                at(apart(3), &["192.0.3.10", "2001:db8:0:2::10"]),
            ],
            &[(
                Kind::AddressRange,
                "Nodes n1 and n2 have addresses in the same networks, 192.0.2.0/24 and 2001:db8:0:1::/64: if these fail, \
                 2 of 3 nodes are gone and nothing can be changed any more",
            )],
        );
    }

    #[test]
    fn an_address_that_every_machine_has_leads_from_none_to_another() {
        let bridge = "172.17.0.1";
        let nodes = (1..=3).map(|id| at(on(apart(id), &format!("m{id}")), &[bridge, &format!("198.51.{id}.7")]));
        check(nodes.collect(), &[]);
        // Where nothing tells the machines apart, it may be one address of one machine.
        let nodes = [1, 2].map(|id| at(on(apart(id), ""), &[bridge]));
        let found = among(&nodes.iter().collect::<Vec<_>>());
        assert_eq!(found.first().map(|fate| fate.kind), Some(Kind::AddressRange), "{found:#?}");
    }

    #[test]
    fn nodes_with_one_kernel_have_its_faults() {
        let with = |mut node: Member, kernel: &str| {
            node.facts.kernel = kernel.to_owned();
            node
        };
        check(
            vec![with(apart(1), "6.12.48-amd64"), with(apart(2), "6.12.48-amd64"), with(apart(3), "6.1.0-40-amd64")],
            &[(
                Kind::Kernel,
                "Nodes n1 and n2 run the same kernel, 6.12.48-amd64: if a fault in it stops them together, 2 of 3 nodes \
                 are gone and nothing can be changed any more",
            )],
        );
        check(vec![with(apart(1), ""), with(apart(2), ""), with(apart(3), "")], &[]);
    }

    #[test]
    fn two_and_even_numbers_of_voters_are_warned_of() {
        let witness = Member { role: Role::Witness, ..apart(2) };
        for second in [apart(2), witness] {
            check(
                vec![apart(1), second],
                &[(
                    Kind::TwoVoters,
                    "Only 2 nodes vote: if either stops, nothing can be changed any more. With a third, which may be a \
                     witness, one of them may stop",
                )],
            );
        }
        check(
            (1..=4).map(apart).collect(),
            &[(
                Kind::EvenVoters,
                "4 nodes vote, an even number: 1 of them may stop, no more than of 3, and if a cut parts them into halves, \
                 nothing can be changed in either",
            )],
        );
    }

    #[test]
    fn the_worst_comes_first() {
        let third = at(like(apart(3), &apart(4)), &["10.4.0.9"]);
        let nodes = [on(apart(1), "m"), on(apart(2), "m"), third, apart(4)];
        let found = among(&nodes.iter().collect::<Vec<_>>());
        let kinds: Vec<Kind> = found.iter().map(|fate| fate.kind).collect();
        assert_eq!(kinds, [Kind::Machine, Kind::Location, Kind::AddressRange, Kind::Kernel, Kind::EvenVoters]);
        assert!(kinds.is_sorted());
    }

    fn check(members: Vec<Member>, expected: &[(Kind, &str)]) {
        let found = among(&members.iter().collect::<Vec<_>>());
        let found: Vec<(Kind, &str)> = found.iter().map(|fate| (fate.kind, fate.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    /// A node that shares nothing with one of another number.
    fn apart(id: u64) -> Member {
        let facts = NodeFacts {
            machine: format!("machine-{id}"),
            kernel: format!("6.12.{id}"),
            addresses: vec![IpAddr::from([10, id as u8, 0, 1])],
            ..NodeFacts::default()
        };
        Member {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("n{id}.example:8481"),
            location: LocationId::new(&format!("place-{id}")).expect("a legal id"),
            role: Role::Full,
            ordinal: 0,
            key: Digest([0; 32]),
            facts,
        }
    }

    fn on(mut node: Member, machine: &str) -> Member {
        node.facts.machine = machine.to_owned();
        node
    }

    fn at(mut node: Member, addresses: &[&str]) -> Member {
        node.facts.addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        node
    }

    /// The same node with all that another one shares but the machine.
    fn like(node: Member, other: &Member) -> Member {
        let facts = NodeFacts { machine: node.facts.machine, ..other.facts.clone() };
        Member { location: other.location.clone(), facts, ..node }
    }
}

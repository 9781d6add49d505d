//! Who may join, change and leave.

use crate::world::{World, key, location, node, token};
use model::configuration::Configuration;
use model::entry::{Action, Body, Condition, ConditionKind};
use model::limits::{AUTHORITIES_MAX, INVITATIONS_MAX, MEMBERS_MAX};
use model::member::{Authority, Invitation, Member, NodeFacts, NodeId, Role};
use std::time::Duration;

fn join(member: Member) -> Action {
    Action::Join { token: token(member.id.0), member }
}

fn update(number: u64) -> Action {
    Action::UpdateMember { node: NodeId(number), name: None, address: None, location: None, key: None, facts: None }
}

fn authority(number: u8) -> Authority {
    Authority { certificate: vec![number], sealed_key: vec![number, number] }
}

#[test]
fn the_first_node_founds_the_cluster_once() {
    let mut world = World::new();
    let witness = Member { role: Role::Witness, ..node(1) };
    let only_later = "the first node of a cluster makes checks; only a later one can be a witness";
    world.refused(Action::Found(witness), only_later);
    world.refused(
        Action::Invite(world.invitation(2)),
        "this cluster has no member yet; its first node founds it by starting",
    );
    world.accepted(Action::Found(Member { ordinal: 7, ..node(1) }));
    let known = world.state.member(NodeId(1)).unwrap();
    assert!(known.is_present && known.member.ordinal == 0 && known.present_since == world.now);
    world.refused(Action::Found(node(2)), "this cluster has members already: node-1; further ones join by invitation");
}

#[test]
fn a_node_joins_by_its_token_and_may_repeat_that_with_its_key() {
    let mut world = World::of(1);
    world.accepted(Action::Invite(world.invitation(2)));
    world.refused(
        Action::Join { token: token(9), member: node(2) },
        "there is no invitation with this token; `mainstay node invite` makes another one",
    );
    world.refused(Action::Join { token: token(2), member: node(3) }, "this invitation is for node 2, not for 3");
    world.accepted(join(node(2)));
    let joined = world.state.member(NodeId(2)).unwrap();
    assert!(!joined.is_present, "it was not heard yet");
    assert_eq!(joined.member.ordinal, 1);
    assert_eq!(world.state.invitations().count(), 1, "the answer may be lost");
    world.accepted(join(node(2)));
    assert_eq!(world.state.members().count(), 2);
    world.refused(
        join(Member { key: key(7), ..node(2) }),
        "this invitation was used already, by another key; `mainstay node invite` makes another one",
    );
    world.now = world.now.plus(Duration::from_secs(3601));
    world.apply(Body::Tick);
    world
        .refused(join(node(2)), "this invitation ended 2026-11-18T12:06:40Z; `mainstay node invite` makes another one");
    assert_eq!(world.state.invitations().count(), 0);
}

#[test]
fn what_a_node_says_of_itself_must_be_right() {
    let mut world = World::of(1);
    world.activate(&Configuration::default(), "one", None);
    world.accepted(Action::Invite(world.invitation(2)));
    let mut refused = |member: Member, expected: &str| world.refused(join(member), expected);
    refused(
        Member { role: Role::Witness, ..node(2) },
        "this invitation is for a full node, not for a witness one; `mainstay node invite` makes another one",
    );
    refused(Member { name: "node-1".to_owned(), ..node(2) }, "node 1 is called node-1 already; take another name");
    refused(
        Member { name: "node 2".to_owned(), ..node(2) },
        "\"node 2\" is no name of a node; 1 to 64 letters, digits, '-', '_' and '.' are",
    );
    refused(
        Member { address: "192.0.2.2".to_owned(), ..node(2) },
        "\"192.0.2.2\" is no address; a host and a port are, as in `10.0.0.1:8481`",
    );
    refused(
        Member { address: "[::]:8481".to_owned(), ..node(2) },
        "others cannot reach [::]:8481; name an address of this machine",
    );
    refused(
        Member { address: node(1).address, ..node(2) },
        "node node-1 has the address 192.0.2.1:8481; remove that node first, or replace it",
    );
    refused(
        Member { location: location("paris"), ..node(2) },
        "there is no location paris; there are local, further ones are added under `locations:`",
    );
    refused(
        Member { key: key(1), ..node(2) },
        "this key is that of node node-1; each node makes its own, a copied directory has none",
    );
    refused(
        Member { facts: NodeFacts { kernel: "x".repeat(256), ..NodeFacts::default() }, ..node(2) },
        "the node's kernel has 256 bytes; at most 255 are kept",
    );
    world.accepted(join(node(2)));
}

#[test]
fn an_invitation_is_for_a_new_node() {
    let mut world = World::of(2);
    let good = world.invitation(3);
    let with = |node: u64| Invitation { node: NodeId(node), ..good.clone() };
    world.refused(Action::Invite(with(2)), "the id 2 is that of node node-2; draw another one");
    world.refused(Action::Invite(with(0)), "0 is no node id; 1 to 9007199254740991 are");
    world.refused(Action::Invite(with(1 << 53)), "9007199254740992 is no node id; 1 to 9007199254740991 are");
    world.refused(
        Action::Invite(Invitation { expires: world.now, ..good.clone() }),
        "the invitation ends 2026-11-18T11:06:40Z, now is 2026-11-18T11:06:40Z; it must end later",
    );
    world.refused(
        Action::Invite(Invitation { replaces: Some(NodeId(9)), ..good.clone() }),
        "there is no node 9 to replace; the members are node-1, node-2",
    );
    world.accepted(Action::Invite(Invitation { replaces: Some(NodeId(2)), ..good.clone() }));
    world.refused(Action::Invite(with(3)), "node 3 is invited already; draw another id");
    world.refused(Action::Invite(with(4)), "this token was given out before; draw another one");
    world.refused(
        Action::Invite(Invitation { replaces: Some(NodeId(2)), ..world.invitation(4) }),
        "node node-2 is being replaced already; take that back first",
    );
    world.accepted(Action::Disinvite { node: NodeId(3) });
    world.refused(Action::Disinvite { node: NodeId(3) }, "there is no invitation for node 3; none is open");
    world.refused(
        Action::Disinvite { node: NodeId(2) },
        "node node-2 (2) has joined already; `mainstay node remove node-2` takes it out",
    );
}

#[test]
fn there_are_not_too_many() {
    let mut world = World::of(MEMBERS_MAX as u64);
    let most = format!("the cluster has {MEMBERS_MAX} members, which is the most; remove one first");
    world.refused(Action::Invite(world.invitation(99)), &most);
    let mut world = World::of(1);
    let numbers = 2..2 + INVITATIONS_MAX as u64;
    numbers.for_each(|number| world.accepted(Action::Invite(world.invitation(number))));
    world.refused(
        Action::Invite(world.invitation(99)),
        "16 invitations are open, which is the most; take one back first",
    );
    (2..=MEMBERS_MAX as u64).for_each(|number| world.accepted(join(node(number))));
    world.refused(join(node(MEMBERS_MAX as u64 + 1)), &most);
    world.now = world.now.plus(Duration::from_secs(3601));
    world.accepted(Action::RemoveMember { node: NodeId(2) });
    world.accepted(Action::Invite(world.invitation(99)));
    assert_eq!(world.state.invitations().count(), 1, "those that have ended make room");
}

#[test]
fn a_removed_node_never_comes_back() {
    let mut world = World::of(3);
    world.accepted(Action::RemoveMember { node: NodeId(2) });
    let gone = "node 2 was removed and cannot come back; invite a new one";
    world.refused(Action::RemoveMember { node: NodeId(2) }, gone);
    world.refused(Action::Invite(world.invitation(2)), gone);
    world.refused(update(2), gone);
    world.refused(join(node(2)), "there is no invitation with this token; `mainstay node invite` makes another one");
    world.refused(Action::RemoveMember { node: NodeId(9) }, "there is no node 9; the members are node-1, node-3");
    assert!(world.state.removed_nodes().iter().eq([&NodeId(2)]));
    world.join(4, None);
    let ordinal = world.state.member_named("node-4").unwrap().member.ordinal;
    assert_eq!(ordinal, 1, "the lowest that is free");
}

#[test]
fn the_last_member_that_makes_checks_stays() {
    let mut world = World::of(1);
    world.refused(
        Action::RemoveMember { node: NodeId(1) },
        "node node-1 is the last member; a cluster cannot be without one",
    );
    world.accepted(Action::Invite(Invitation { role: Role::Witness, ..world.invitation(2) }));
    world.accepted(join(Member { role: Role::Witness, ..node(2) }));
    world.refused(
        Action::RemoveMember { node: NodeId(1) },
        "node node-1 is the last one that makes checks, the others only vote; add a full one first",
    );
    world.accepted(Action::RemoveMember { node: NodeId(2) });
}

#[test]
fn a_member_says_what_has_changed() {
    let mut world = World::of(2);
    let decisions = world.state.decisions().count();
    world.accepted(update(2));
    assert_eq!(world.state.decisions().count(), decisions, "nothing has changed");
    let Action::UpdateMember { node: id, location, facts, .. } = update(2) else { unreachable!() };
    let (name, address) = (Some("paris-1".to_owned()), Some("198.51.100.7:8481".to_owned()));
    world.accepted(Action::UpdateMember { node: id, name, address, location, key: Some(key(9)), facts });
    let known = &world.state.member_named("paris-1").unwrap().member;
    assert_eq!((known.address.as_str(), known.key), ("198.51.100.7:8481", key(9)));
    let taken = Action::UpdateMember {
        node: NodeId(1),
        name: Some("paris-1".to_owned()),
        address: None,
        location: None,
        key: None,
        facts: None,
    };
    world.refused(taken, "node 2 is called paris-1 already; take another name");
}

#[test]
fn the_newest_authority_signs_and_an_older_one_can_be_taken_back() {
    let mut world = World::of(1);
    world.accepted(Action::TrustAuthority(authority(1)));
    world.accepted(Action::TrustAuthority(authority(1)));
    let signs = "this authority signs the nodes' certificates; trust a new one first, then take this one back";
    world.refused(Action::DistrustAuthority { certificate: vec![1] }, signs);
    world.accepted(Action::TrustAuthority(authority(2)));
    world.refused(
        Action::TrustAuthority(authority(1)),
        "this authority is trusted already; only a new one can be made the one that signs",
    );
    world.refused(Action::DistrustAuthority { certificate: vec![2] }, signs);
    assert_eq!(world.state.authorities(), [authority(1), authority(2)]);
    world.accepted(Action::DistrustAuthority { certificate: vec![1] });
    world.refused(
        Action::DistrustAuthority { certificate: vec![1] },
        "no authority with this certificate is trusted; 1 others are",
    );
    (3..2 + AUTHORITIES_MAX as u8).for_each(|number| world.accepted(Action::TrustAuthority(authority(number))));
    world.refused(
        Action::TrustAuthority(authority(9)),
        "3 authorities are trusted, which is the most; take the oldest back first",
    );
    world.refused(
        Action::TrustAuthority(Authority { sealed_key: vec![0; 4097], ..authority(9) }),
        "the sealed key of the authority has 4097 bytes; 1 to 4096 are allowed",
    );
}

#[test]
fn a_replaced_node_can_leave_its_address_to_the_one_that_comes() {
    let mut world = World::of(3);
    world.accepted(Action::Invite(Invitation { replaces: Some(NodeId(3)), ..world.invitation(4) }));
    world.accepted(join(Member { address: node(3).address, ..node(4) }));
    assert_eq!(world.state.member(NodeId(4)).unwrap().replaces, Some(NodeId(3)));
    world.accepted(Action::RemoveMember { node: NodeId(3) });
    assert_eq!(world.state.member(NodeId(4)).unwrap().replaces, None);
}

#[test]
fn the_stored_form_loses_nothing() {
    let mut world = World::of(3);
    world.accepted(Action::TrustAuthority(authority(1)));
    world.accepted(Action::Invite(world.invitation(4)));
    world.accepted(Action::RemoveMember { node: NodeId(2) });
    world.apply(Body::Egress { node: NodeId(3), works: false, text: "no answer from anybody".to_owned() });
    let read = control::State::decode(&world.state.encode()).unwrap();
    assert_eq!(read, world.state);
}

#[test]
fn what_a_removed_node_said_of_itself_is_over() {
    let mut world = World::of(3);
    let full = |number: u64| {
        let (kind, node, text) = (ConditionKind::DiskFull, NodeId(number), "It is full.".to_owned());
        Body::Condition(Condition { kind, node, holds: true, text })
    };
    world.apply(full(2));
    world.apply(full(3));
    world.accepted(Action::RemoveMember { node: NodeId(3) });
    let left: Vec<_> = world.state.conditions().keys().copied().collect();
    assert_eq!(left, [(ConditionKind::DiskFull, NodeId(2))]);
}

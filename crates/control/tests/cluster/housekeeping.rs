//! The leader's housekeeping, played against an engine that does what it is told.

use crate::world::{World, node};
use control::leader::{self, Replica, Replicas, Step, Wait};
use model::entry::{Action, Body};
use model::member::NodeId;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// Steps after which the housekeeping must have come to rest, whatever it began with.
const STEPS_MAX: usize = 60;

fn ids(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

/// The engine of a cluster, and which of its nodes answer.
struct Engine {
    replicas: Replicas,
    heard: BTreeSet<NodeId>,
    /// The sets of voters that were proposed, oldest first.
    proposed: Vec<BTreeSet<NodeId>>,
}

impl Engine {
    fn of(voters: &[u64], heard: &[u64]) -> Self {
        let mut engine = Self { replicas: Replicas::default(), heard: ids(heard), proposed: Vec::new() };
        for number in voters {
            engine.replicas.voters.insert(NodeId(*number), engine.replica(*number, &node(*number).address));
        }
        engine
    }

    fn replica(&self, number: u64, address: &str) -> Replica {
        let is_heard = self.heard.contains(&NodeId(number));
        Replica { address: address.to_owned(), is_heard, lacks_entries: is_heard.then_some(0) }
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.replicas.voters.keys().copied().collect()
    }

    /// Does what the housekeeping says until it rests; returns its last word.
    fn settle(&mut self, world: &mut World) -> Step {
        for _ in 0..STEPS_MAX {
            match leader::reconcile(&world.state, &self.replicas) {
                Step::UpdateAddress { node, address } => {
                    let replicas = self.replicas.voters.iter_mut().chain(&mut self.replicas.learners);
                    replicas
                        .filter(|(known, _)| **known == node)
                        .for_each(|(_, known)| known.address.clone_from(&address));
                }
                Step::AddLearner { node, address } => {
                    assert!(!self.replicas.voters.contains_key(&node), "a voter is not made a learner");
                    self.replicas.learners.insert(node, self.replica(node.0, &address));
                }
                Step::RemoveLearner { node } => {
                    self.replicas.learners.remove(&node).expect("it was one");
                }
                Step::RemoveMember { node, .. } => world.accepted(Action::RemoveMember { node }),
                Step::SetVoters { voters } => self.set_voters(voters),
                rest @ (Step::Nothing | Step::Wait(_)) => return rest,
            }
        }
        panic!("the housekeeping does not come to rest: {:?}", self.replicas);
    }

    /// Changes who votes; a joint change needs the majorities of both sets.
    fn set_voters(&mut self, voters: BTreeSet<NodeId>) {
        for set in [&self.voters(), &voters] {
            let there = set.intersection(&self.heard).count();
            assert!(there > set.len() / 2, "no majority of {set:?} is among {:?}", self.heard);
        }
        let all = std::mem::take(&mut self.replicas);
        let was_voter: BTreeSet<NodeId> = all.voters.keys().copied().collect();
        for (node, replica) in all.voters.into_iter().chain(all.learners) {
            if voters.contains(&node) {
                self.replicas.voters.insert(node, replica);
            } else if !was_voter.contains(&node) {
                self.replicas.learners.insert(node, replica);
            }
        }
        assert_eq!(self.voters(), voters, "only nodes that have the log can vote");
        self.proposed.push(voters);
    }
}

#[test]
fn one_node_becomes_three_without_a_pause_at_two() {
    let mut world = World::of(3);
    let mut engine = Engine::of(&[1], &[1, 2, 3]);
    assert_eq!(engine.settle(&mut world), Step::Nothing);
    assert_eq!(engine.proposed, [ids(&[1, 2, 3])]);
}

#[test]
fn a_node_votes_when_it_has_caught_up() {
    let mut world = World::of(2);
    let mut engine = Engine::of(&[1], &[1, 2]);
    let lacks = |lacks_entries| Replica { lacks_entries, ..engine.replica(2, &node(2).address) };
    let (behind, near) = (lacks(Some(leader::CAUGHT_UP_ENTRIES + 1)), lacks(Some(leader::CAUGHT_UP_ENTRIES)));
    engine.replicas.learners.insert(NodeId(2), behind);
    let Step::Wait(wait) = engine.settle(&mut world) else { panic!("it has to wait") };
    assert_eq!(wait.to_string(), "node node-2 lacks 201 entries before it can vote");
    engine.replicas.learners.insert(NodeId(2), near);
    assert_eq!(engine.settle(&mut world), Step::Nothing);
    assert_eq!(engine.voters(), ids(&[1, 2]));
}

#[test]
fn a_dead_node_is_replaced_in_one_change() {
    let mut world = World::of(3);
    world.apply(Body::Presence { node: NodeId(3), is_present: false });
    world.join(4, Some(3));
    let mut engine = Engine::of(&[1, 2, 3], &[1, 2, 4]);
    assert_eq!(engine.settle(&mut world), Step::Nothing);
    assert_eq!(engine.proposed, [ids(&[1, 2, 4])], "never four, of which three would be needed");
    assert!(world.state.removed_nodes().contains(&NodeId(3)));
    assert_eq!(world.state.members().count(), 3);
}

#[test]
fn a_node_that_moved_is_reached_at_its_new_address() {
    let mut world = World::of(3);
    let address = Some("198.51.100.3:8481".to_owned());
    world.accepted(Action::UpdateMember {
        node: NodeId(3),
        name: None,
        address,
        location: None,
        key: None,
        facts: None,
    });
    let mut engine = Engine::of(&[1, 2, 3], &[1, 2]);
    assert_eq!(engine.settle(&mut world), Step::Nothing);
    assert_eq!(engine.replicas.voters[&NodeId(3)].address, "198.51.100.3:8481");
    assert!(engine.proposed.is_empty());
}

#[test]
fn a_change_waits_for_a_majority() {
    let mut world = World::of(3);
    world.accepted(Action::RemoveMember { node: NodeId(3) });
    let mut engine = Engine::of(&[1, 2, 3], &[1, 3]);
    let missing = vec!["node-2".to_owned()];
    assert_eq!(engine.settle(&mut world), Step::Wait(Wait::LacksMajority { missing }));
    assert_eq!(engine.voters(), ids(&[1, 2, 3]));
}

#[test]
fn nothing_is_done_before_the_cluster_is_founded() {
    let mut engine = Engine::of(&[1], &[1]);
    assert_eq!(engine.settle(&mut World::new()), Step::Nothing);
}

#[test]
fn a_removal_that_would_lose_the_majority_is_refused_with_the_names_of_the_missing() {
    let world = World::of(5);
    let check = |node, voters: &[u64], reachable: &[u64], expected: Result<(), &str>| {
        let found = leader::may_remove(&world.state, NodeId(node), &ids(voters), &ids(reachable));
        assert_eq!(found, expected.map_err(str::to_owned), "{node} of {voters:?} with {reachable:?}");
    };
    check(3, &[1, 2, 3], &[1, 2], Ok(()));
    check(3, &[1, 2, 3], &[1, 2, 3], Ok(()));
    check(9, &[1], &[1], Ok(()));
    check(1, &[1], &[1], Err("node node-1 is the only one that votes; another must vote before it can be removed"));
    check(
        3,
        &[1, 2, 3],
        &[1, 3],
        Err(
            "without node node-3, 2 of 2 voting nodes must be there, and 1 would be; missing: node-2; bring one of them back first",
        ),
    );
    check(
        2,
        &[1, 2],
        &[1],
        Err(
            "to remove node node-2, 2 of 2 voting nodes must be there, and 1 would be; missing: node-2; bring one of them back first",
        ),
    );
    check(2, &[1, 2], &[1, 2], Ok(()));
    check(5, &[1, 2, 3, 4, 5], &[1, 2, 3], Ok(()));
}

#[test]
fn a_node_is_absent_after_a_while_and_present_at_once() {
    let mut world = World::of(3);
    let ms = Duration::from_millis;
    let heard = |second: u64, third: u64| {
        [(NodeId(1), ms(0)), (NodeId(2), ms(second)), (NodeId(3), ms(third)), (NodeId(9), ms(99_999))]
    };
    assert_eq!(leader::presence(&world.state, &heard(4_999, 0)), []);
    let gone = Body::Presence { node: NodeId(2), is_present: false };
    assert_eq!(leader::presence(&world.state, &heard(5_000, 0)), std::slice::from_ref(&gone));
    world.apply(gone);
    assert_eq!(leader::presence(&world.state, &heard(6_000, 0)), []);
    assert_eq!(leader::presence(&world.state, &heard(1_001, 0)), []);
    let back = Body::Presence { node: NodeId(2), is_present: true };
    assert_eq!(leader::presence(&world.state, &heard(1_000, 0)), [back]);
}

/// What happens to a cluster between two turns of its housekeeping.
#[derive(Debug, Clone)]
enum Event {
    Join { replaces: Option<usize> },
    Remove(usize),
    Move(usize),
    Hear { which: usize, is_heard: bool },
    Settle,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        prop::option::of(0usize..9).prop_map(|replaces| Event::Join { replaces }),
        (0usize..9).prop_map(Event::Remove),
        (0usize..9).prop_map(Event::Move),
        (0usize..9, any::<bool>()).prop_map(|(which, is_heard)| Event::Hear { which, is_heard }),
        Just(Event::Settle),
    ]
}

/// Plays an event as far as it is allowed; commands need a leader with its majority.
fn play(world: &mut World, engine: &mut Engine, event: Event, drawn: &mut u64) {
    let members: Vec<NodeId> = world.state.members().map(|known| known.member.id).collect();
    let member = |which: usize| members[which % members.len()];
    match event {
        Event::Join { replaces } if members.len() < 9 => {
            *drawn += 1;
            let is_free = |node: &NodeId| world.state.members().all(|known| known.replaces != Some(*node));
            world.join(*drawn, replaces.map(member).filter(is_free).map(|node| node.0));
            engine.heard.insert(NodeId(*drawn));
        }
        Event::Remove(which) if members.len() > 1 => {
            world.accepted(Action::RemoveMember { node: member(which) });
        }
        Event::Move(which) => {
            *drawn += 1;
            let address = Some(format!("198.51.100.{drawn}:8481"));
            let node = member(which);
            world.accepted(Action::UpdateMember { node, name: None, address, location: None, key: None, facts: None });
        }
        Event::Hear { which, is_heard: true } => drop(engine.heard.insert(member(which))),
        Event::Hear { which, is_heard: false } => drop(engine.heard.remove(&member(which))),
        Event::Join { .. } | Event::Remove(_) | Event::Settle => {}
    }
    let heard = &engine.heard;
    for (node, replica) in engine.replicas.voters.iter_mut().chain(&mut engine.replicas.learners) {
        replica.is_heard = heard.contains(node);
        replica.lacks_entries = replica.is_heard.then_some(0);
    }
    engine.settle(world);
}

proptest! {
    /// Whatever happens in between, every step keeps its majorities (the engine
    /// asserts that), each turn comes to rest, and when all nodes answer again
    /// those that vote are the members.
    #[test]
    fn the_voters_become_the_members(events in prop::collection::vec(any_event(), 0..40)) {
        let mut world = World::of(1);
        let mut engine = Engine::of(&[1], &[1]);
        let mut drawn = 1;
        for event in events {
            play(&mut world, &mut engine, event, &mut drawn);
        }
        engine.heard.extend((1..=drawn).map(NodeId));
        play(&mut world, &mut engine, Event::Settle, &mut drawn);
        prop_assert_eq!(leader::reconcile(&world.state, &engine.replicas), Step::Nothing);
        let members: BTreeSet<NodeId> = world.state.members().map(|known| known.member.id).collect();
        prop_assert_eq!(engine.voters(), members);
        prop_assert!(engine.replicas.learners.is_empty());
    }
}

//! Nodes come, go, take each other's place and hand the lead over.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{AskError, Failure, HandOverError, PeerService, RemoveError};
use futures_util::future::BoxFuture;
use model::member::NodeId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use together::{Machine, Together, command};

#[test]
fn five_nodes_live_without_two_of_them() {
    let mut together = Together::of(5);
    together.machines[4].propose(command("five")).unwrap();
    let leader = together.leader();
    let follower = together.followers()[0];
    together.machines[leader].kill();
    together.machines[follower].kill();
    let leader = together.leader();
    together.machines[leader].propose(command("three of five")).unwrap();
    let next = together.followers()[0];
    together.machines[next].kill();
    together.wait(|machine| !machine.node().status().has_quorum, "two of five decide nothing");
    for at in 0..5 {
        if !together.machines[at].is_up() {
            together.machines[at].start();
        }
    }
    let leader = together.leader();
    together.machines[leader].propose(command("all are back")).unwrap();
    together.check_equal();
}

#[test]
fn the_lead_is_handed_over_to_whom_is_named() {
    let together = Together::of(3);
    for heir in [1, 2, 0, 2] {
        let leader = together.leader();
        let (id, asked) = (together.machines[heir].id(), &together.machines[(leader + 1) % 3]);
        let node = asked.node().clone();
        let begun = Instant::now();
        asked.run(async move { node.transfer_leadership(id).await }).unwrap();
        let took = begun.elapsed();
        asked.propose(command(&format!("{heir} leads"))).unwrap();
        println!("handed over in {took:?}, taken again after {:?}", begun.elapsed());
        assert_eq!(together.leader(), heir);
    }
    let node = together.machines[0].node().clone();
    let error = together.machines[0].run(async move { node.transfer_leadership(NodeId(7)).await }).unwrap_err();
    assert!(matches!(error, HandOverError::NoVoter { node: 7, .. }), "{error}");
    together.check_equal();
}

#[test]
fn a_leader_that_is_closed_hands_over_first() {
    let mut together = Together::of(3);
    let leader = together.leader();
    let term = together.machines[leader].node().status().term;
    together.machines[leader].stop();
    let begun = Instant::now();
    let next = together.leader();
    assert!(begun.elapsed() < Duration::from_millis(300), "somebody led before it was gone: {:?}", begun.elapsed());
    assert_eq!(together.machines[next].node().status().term, term + 1);
    together.machines[next].propose(command("on")).unwrap();
    together.machines[leader].start();
    together.check_equal();
}

#[test]
fn a_removed_node_takes_no_part_and_is_refused() {
    let mut together = Together::of(3);
    // The one that leads is removed: it hands over before it goes.
    let leader = together.leader();
    let id = together.machines[leader].id();
    remove(&together.machines[leader], id).unwrap();
    let gone = together.machines.remove(leader);
    together.wait_for_voters(2);
    let next = together.leader();
    together.machines[next].propose(command("without it")).unwrap();
    assert!(together.machines[next].node().state().removed_nodes().contains(&id));
    let deadline = Instant::now() + together::PATIENCE;
    while together.machines[next].node().peers().iter().any(|peer| peer.id == id) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    gone.propose(command("from outside")).unwrap_err();
    let before = together.machines[next].node().status();
    std::thread::sleep(Duration::from_millis(1_000));
    let status = together.machines[next].node().status();
    assert_eq!((status.term, status.has_quorum), (before.term, true), "it cannot disturb the others");
    // Removing it once more says that it is gone.
    let error = remove(&together.machines[next], id).unwrap_err();
    assert!(error.to_string().contains("removed"), "{error}");
    together.check_equal();
}

#[test]
fn nobody_is_removed_whom_a_majority_needs() {
    let mut together = Together::of(3);
    let followers = together.followers();
    let (dead, alive) = (followers[0], followers[1]);
    together.machines[dead].kill();
    let leader = together.leader();
    let host = &together.machines[leader];
    let deadline = Instant::now() + together::PATIENCE;
    while host.node().peers().iter().filter(|peer| peer.is_connected).count() > 1 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let error = remove(host, together.machines[alive].id()).unwrap_err();
    let name = &together.machines[dead].name;
    assert!(matches!(&error, RemoveError::Refused { why } if why.contains(&format!("missing: {name}"))), "{error}");
    host.propose(command("still two of three")).unwrap();
    // The dead one can go: the two that are left are a majority of themselves.
    let state = host.node().state();
    let id = state.member_named(name).unwrap().member.id;
    remove(host, id).unwrap();
    together.wait_for_voters(2);
}

#[test]
fn a_new_node_takes_the_place_of_an_old_one() {
    let mut together = Together::of(3);
    let old = together.followers()[0];
    let id = together.machines[old].id();
    let ticket = together.invite(Some(id));
    together.machines[old].kill();
    let old = together.machines.remove(old);
    together.join_with(Machine::new("z"), &ticket);
    let has_taken_over = |machine: &Machine| {
        let state = machine.node().state();
        state.member(id).is_none() && state.member_named("z").is_some() && machine.node().status().voters == 3
    };
    together.wait(has_taken_over, "z has taken the place");
    together.machines[0].propose(command("three again")).unwrap();
    together.check_equal();
    // Whoever starts the old one again learns that it is out.
    let mut old = old;
    old.start();
    old.propose(command("from a drawer")).unwrap_err();
    assert!(together.up().all(|machine| machine.node().state().member(id).is_none()));
}

#[test]
fn a_node_that_hears_of_its_removal_stops() {
    let together = Together::of(3);
    let follower = together.followers()[1];
    let id = together.machines[follower].id();
    let leader = together.leader();
    let failed = {
        let (node, handle) = (
            together.machines[follower].node().clone(),
            together.machines[follower].runtime.as_ref().unwrap().handle().clone(),
        );
        std::thread::spawn(move || {
            handle.block_on(async { tokio::time::timeout(Duration::from_secs(3), node.failed()).await })
        })
    };
    remove(&together.machines[leader], id).unwrap();
    // The others cut it off at once, so it may not hear why; then it is alone.
    match failed.join().unwrap() {
        Ok(failure) => assert!(matches!(*failure, Failure::Removed { .. }), "{failure}"),
        Err(_) => assert!(!together.machines[follower].node().status().has_quorum),
    }
}

#[test]
fn every_node_shows_a_new_certificate_when_another_authority_signs() {
    let together = Together::of(3);
    for round in 0..4 {
        let machine = &together.machines[round % 3];
        let node = machine.node().clone();
        let key = format!("rotate {round}");
        machine.run(async move { node.rotate_authority("test", key).await }).unwrap();
        together.wait(|machine| machine.node().state().authorities().len() >= 2, "another authority");
        std::thread::sleep(Duration::from_millis(300));
        for machine in &together.machines {
            machine.propose(command(&format!("{round} {}", machine.name))).unwrap();
        }
    }
    together.wait(|machine| machine.node().peers().iter().all(|peer| peer.is_connected), "all reach each other");
    assert_eq!(together.machines[0].node().state().authorities().len(), 3, "the oldest goes");
    together.check_equal();
}

struct Echo;

impl PeerService for Echo {
    fn answer(&self, from: NodeId, kind: u8, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        Box::pin(async move {
            match kind {
                1 => Ok(body),
                2 => Ok(from.to_string().into_bytes()),
                _ => Err(format!("no kind {kind}")),
            }
        })
    }
}

#[test]
fn front_doors_ask_each_other() {
    let mut together = Together::of_with(2, |machine| machine.service = Some(Arc::new(Echo)));
    let (one, other) = (together.machines[0].node().clone(), together.machines[1].id());
    let large = vec![7; 3 << 20];
    together.machines[0].run(async {
        let time = Duration::from_secs(10);
        assert_eq!(one.ask(other, 1, large.clone(), time).await.unwrap(), large);
        assert_eq!(one.ask(other, 2, Vec::new(), time).await.unwrap(), one.id().to_string().into_bytes());
        let error = one.ask(other, 3, Vec::new(), time).await.unwrap_err();
        assert!(matches!(&error, AskError::Answered { text } if text == "no kind 3"), "{error}");
    });
    together.machines[1].kill();
    let error = together.machines[0].run(one.ask(other, 1, vec![1], Duration::from_secs(3))).unwrap_err();
    assert!(matches!(error, AskError::Unreachable { .. } | AskError::Lost { .. }), "{error}");
}

fn remove(host: &Machine, node: NodeId) -> Result<(), RemoveError> {
    let (door, key) = (host.node().clone(), format!("remove {node} {:?}", Instant::now()));
    host.run(async move { door.remove("test", key, node).await })
}

//! One node becomes three, and three live through what one could not.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{ProposeError, ReadError, SnapshotPolicy};
use model::entry::{Action, Body, Command, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use together::{Machine, Together, command};

#[test]
fn one_node_becomes_three_without_a_pause() {
    let mut together = Together::one();
    let is_enough = Arc::new(AtomicBool::new(false));
    let writer = {
        let (node, is_enough) = (together.machines[0].node().clone(), Arc::clone(&is_enough));
        let handle = together.machines[0].runtime.as_ref().unwrap().handle().clone();
        std::thread::spawn(move || {
            let (mut answered, mut longest) = (BTreeMap::new(), Duration::ZERO);
            while !is_enough.load(Ordering::Acquire) {
                let (begun, key) = (Instant::now(), format!("grow {}", answered.len()));
                let index = handle.block_on(node.propose(command(&key))).unwrap().index;
                longest = longest.max(begun.elapsed());
                answered.insert(index, key);
            }
            (answered, longest)
        })
    };
    together.join(Machine::new("b"), None);
    together.join(Machine::new("c"), None);
    together.wait_for_voters(3);
    is_enough.store(true, Ordering::Release);
    let (answered, longest) = writer.join().unwrap();
    println!("{} commands were answered meanwhile, the slowest in {longest:?}", answered.len());
    assert!(answered.len() > 20 && longest < Duration::from_secs(3), "{} {longest:?}", answered.len());
    together.check_equal();
    together.check_answered(&answered);
    let state = together.machines[2].node().state();
    let mut ordinals: Vec<u8> = state.members().map(|known| known.member.ordinal).collect();
    ordinals.sort_unstable();
    assert_eq!(ordinals, [0, 1, 2]);
}

#[test]
fn any_node_takes_a_command_and_whoever_gave_it_reads_it() {
    let together = Together::of(3);
    let mut answered = BTreeMap::new();
    for round in 0..20 {
        for machine in &together.machines {
            let key = format!("{} {round}", machine.name);
            let proposed = machine.propose(command(&key)).unwrap();
            assert!(machine.node().state().applied_index() >= proposed.index, "what was written is read");
            answered.insert(proposed.index, key);
        }
    }
    assert_eq!(answered.len(), 60);
    together.check_equal();
    together.check_answered(&answered);
    // The same command again gets the same answer, and changes nothing.
    let before = together.machines[1].propose(command("again")).unwrap();
    let after = together.machines[2].propose(command("again")).unwrap();
    assert_eq!(before.applied.outcome, after.applied.outcome);
    assert!(after.index > before.index);
}

#[test]
fn after_a_barrier_everything_that_was_acknowledged_is_read() {
    let together = Together::of(3);
    for round in 0..20 {
        let index = together.machines[round % 3].propose(command(&round.to_string())).unwrap().index;
        for machine in &together.machines {
            let node = machine.node().clone();
            machine.run(async move { node.read_barrier().await }).unwrap();
            assert!(machine.node().state().applied_index() >= index);
        }
    }
}

#[test]
fn without_a_majority_nothing_is_taken_and_everything_is_readable() {
    let mut together = Together::of(3);
    let proposed = together.machines[0].propose(command("before")).unwrap();
    let leader = together.leader();
    let others: Vec<usize> = together.followers();
    for other in &others {
        together.machines[*other].kill();
    }
    let survivor = &together.machines[leader];
    // What is proposed at this moment may come to be once the others are back.
    let error = survivor.propose(command("lost?")).unwrap_err();
    assert!(matches!(error, ProposeError::Unknown | ProposeError::NoQuorum), "{error:?}");
    let begun = Instant::now();
    assert_eq!(survivor.propose(command("refused")).unwrap_err(), ProposeError::NoQuorum);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let node = survivor.node().clone();
    assert_eq!(survivor.run(async move { node.read_barrier().await }), Err(ReadError::NoQuorum));
    let status = survivor.node().status();
    assert!(!status.has_quorum && status.without_quorum_for.is_some(), "{status:?}");
    assert!(!*survivor.node().leads().borrow(), "it must not act as the leader");
    assert!(survivor.node().state().applied_index() >= proposed.index);
    for other in others {
        together.machines[other].start();
    }
    together.wait(|machine| machine.node().status().has_quorum, "a majority again");
    let leader = together.leader();
    together.machines[leader].propose(command("after")).unwrap();
    together.check_equal();
    let keys: Vec<String> =
        together.machines[leader].digests.lock().unwrap().values().map(|(_, key)| key.clone()).collect();
    assert!(!keys.contains(&"refused".to_owned()), "what was refused never comes");
}

#[test]
fn a_node_that_was_away_for_long_gets_a_snapshot() {
    let snapshots = SnapshotPolicy { entries: 100, ..SnapshotPolicy::default() };
    let mut together = Together::of_with(3, |machine| machine.snapshots = snapshots);
    let away = together.followers()[1];
    together.machines[away].stop();
    let leader = together.leader();
    let deadline = Instant::now() + together::PATIENCE;
    let mut most = 0;
    for number in 0_u64.. {
        together.machines[leader].propose(command(&number.to_string())).unwrap();
        let bytes = together.machines[leader].node().status().log_bytes;
        if bytes < most {
            break;
        }
        most = bytes;
        assert!(Instant::now() < deadline, "the log is purged");
    }
    let seen = together.machines[away].digests.lock().unwrap().len();
    together.machines[away].start();
    together.check_equal();
    let applied = together.machines[away].node().state().applied_index();
    let seen_now = together.machines[away].digests.lock().unwrap().len();
    assert!(
        (seen_now - seen) as u64 + 50 < applied - seen as u64,
        "most entries came as a state: {seen_now} {applied}"
    );
    together.wait_for_voters(3);
    // It can lead with it.
    let (id, node) = (together.machines[away].id(), together.machines[leader].node().clone());
    together.machines[leader].run(async move { node.transfer_leadership(id).await }).unwrap();
    together.machines[away].propose(command("led")).unwrap();
    together.check_equal();
}

#[test]
fn everybody_knows_which_nodes_are_there() {
    let mut together = Together::of(3);
    let all_present = |machine: &Machine| machine.node().state().members().all(|known| known.is_present);
    together.wait(all_present, "all are there");
    let away = together.followers()[0];
    let id = together.machines[away].id();
    together.machines[away].kill();
    let is_missed = |machine: &Machine| machine.node().state().member(id).is_some_and(|known| !known.is_present);
    together.wait(is_missed, "one is missed");
    // The next leader has not met it yet, and does not take it for present.
    let leader = together.leader();
    together.machines[away].start();
    together.wait(all_present, "all are there again");
    let other = (0..3).find(|at| *at != away && *at != leader).unwrap();
    together.machines[away].kill();
    let (heir, node) = (together.machines[other].id(), together.machines[leader].node().clone());
    together.wait(is_missed, "it is missed again");
    together.machines[leader].run(async move { node.transfer_leadership(heir).await }).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(together.up().all(is_missed), "whoever leads next misses it too");
}

#[test]
fn a_node_that_moves_is_found_again() {
    let mut together = Together::of(3);
    let moves = together.followers()[0];
    together.machines[moves].stop();
    together.machines[moves].port = Machine::new("elsewhere").port;
    together.machines[moves].start();
    let (id, address) = (together.machines[moves].id(), together.machines[moves].address());
    together.wait(
        |machine| machine.node().state().member(id).is_some_and(|known| known.member.address == address),
        "its new address is known",
    );
    together.wait(|machine| machine.node().peers().iter().all(|peer| peer.is_connected), "all reach each other");
    together.check_equal();
}

#[test]
fn all_nodes_may_end_at_once_and_come_back() {
    let mut together = Together::of(3);
    let mut answered = BTreeMap::new();
    for round in 0..3 {
        for number in 0..10 {
            let key = format!("{round} {number}");
            let leader = together.leader();
            answered.insert(together.machines[leader].propose(command(&key)).unwrap().index, key);
        }
        for machine in &mut together.machines {
            machine.kill();
        }
        for machine in &mut together.machines {
            machine.start();
        }
        let leader = together.leader();
        together.machines[leader].propose(command(&format!("up {round}"))).unwrap();
        together.check_equal();
        together.check_answered(&answered);
    }
}

#[test]
fn large_entries_reach_all_nodes() {
    let together = Together::of(3);
    let large = |number: u32| {
        let action = Action::StoreConfiguration {
            digest: format!("{:064x}", number / 8),
            part: number % 8,
            parts: 8,
            bytes: vec![u8::try_from(number).unwrap(); 250 << 10],
        };
        let (actor, key) = ("test".to_owned(), format!("part {number}"));
        Body::Command(Command { actor, origin: Origin::Api, key, expected_revision: None, action })
    };
    let term = together.machines[0].node().status().term;
    for number in 0..16 {
        together.machines[number as usize % 3].propose(large(number)).unwrap();
    }
    together.check_equal();
    assert_eq!(together.machines[0].node().status().term, term, "nobody was kept from hearing the leader");
}

//! Nodes are killed, closed, paused and made to lead, by lot and under load:
//! nothing acknowledged is lost, no read is stale, and all are equal in the end.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{Node, SnapshotPolicy};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use together::{Together, command};
use tokio::runtime::Handle;

/// How long it storms; longer by hand.
const SPAN: Duration = Duration::from_secs(6);

#[test]
fn a_follower_that_stood_still_deposes_nobody() {
    let together = Together::of(3);
    let follower = together.followers()[0];
    let leader = together.leader();
    let term = together.machines[leader].node().status().term;
    together.machines[follower].pause(Duration::from_millis(2_500));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(4_000) {
        together.machines[leader].propose(command(&format!("{:?}", begun.elapsed()))).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    together.check_equal();
    assert_eq!(together.machines[leader].node().status().term, term);
    assert_eq!(together.leader(), leader);
}

#[test]
fn a_leader_that_stood_still_finds_itself_replaced() {
    let together = Together::of(3);
    let leader = together.leader();
    together.machines[leader].pause(Duration::from_millis(3_000));
    std::thread::sleep(Duration::from_millis(50));
    let other = &together.machines[(leader + 1) % 3];
    let begun = Instant::now();
    other.propose(command("meanwhile")).unwrap();
    println!("taken again after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(2_900), "another one took over: {:?}", begun.elapsed());
    // It can move again, and must not answer from the past.
    std::thread::sleep(Duration::from_millis(3_000).saturating_sub(begun.elapsed()));
    together.machines[leader].propose(command("after")).unwrap();
    assert_ne!(together.leader(), leader);
    together.check_equal();
}

#[test]
fn whatever_happens_to_three_nodes_nothing_acknowledged_is_lost() {
    let seed = std::env::var("MAINSTAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let span = std::env::var("MAINSTAY_TEST_SECONDS").ok().and_then(|text| text.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("replay with MAINSTAY_TEST_SEED={random}");
    let snapshots = SnapshotPolicy { entries: 500, ..SnapshotPolicy::default() };
    let mut together = Together::of_with(3, |machine| machine.snapshots = snapshots);
    let ledger = Arc::new(Ledger::default());
    let doors: Arc<Doors> = Arc::new(Mutex::new(vec![None; 3]));
    let is_enough = Arc::new(AtomicBool::new(false));
    publish(&together, &doors);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (ledger, doors, is_enough) = (Arc::clone(&ledger), Arc::clone(&doors), Arc::clone(&is_enough));
            std::thread::spawn(move || use_doors(client, &ledger, &doors, &is_enough))
        })
        .collect();
    let begun = Instant::now();
    let mut deeds = BTreeMap::new();
    while begun.elapsed() < span.map_or(SPAN, Duration::from_secs) {
        let deed = do_something(&mut together, next(&mut random), next(&mut random) as usize % 3);
        *deeds.entry(deed).or_insert(0) += 1;
        publish(&together, &doors);
        std::thread::sleep(Duration::from_millis(100 + next(&mut random) % 700));
    }
    is_enough.store(true, Ordering::Release);
    for machine in together.machines.iter_mut().filter(|machine| !machine.is_up()) {
        machine.start();
    }
    for client in clients {
        client.join().unwrap();
    }
    for machine in &together.machines {
        machine.propose(command(&format!("calm {}", machine.name))).unwrap();
    }
    together.check_equal();
    let answered = ledger.answered.lock().unwrap();
    together.check_answered(&answered);
    let (reads, stale) = (ledger.reads.load(Ordering::Relaxed), ledger.stale.lock().unwrap().clone());
    println!("{deeds:?}: {} commands acknowledged, {reads} reads", answered.len());
    assert_eq!(stale, Vec::<String>::new());
    assert!(answered.len() > 100 && reads > 100, "{} {reads}", answered.len());
}

/// What was answered to whom.
#[derive(Default)]
struct Ledger {
    answered: Mutex<BTreeMap<u64, String>>,
    /// The highest index that was acknowledged to anybody.
    newest: AtomicU64,
    reads: AtomicU64,
    stale: Mutex<Vec<String>>,
}

type Doors = Mutex<Vec<Option<(Node, Handle)>>>;

/// Says which nodes can be used now.
fn publish(together: &Together, doors: &Doors) {
    let mut doors = doors.lock().unwrap();
    for (door, machine) in doors.iter_mut().zip(&together.machines) {
        *door = machine.node.clone().zip(machine.runtime.as_ref().map(|runtime| runtime.handle().clone()));
    }
}

fn do_something(together: &mut Together, lot: u64, at: usize) -> &'static str {
    if !together.machines[at].is_up() {
        together.machines[at].start();
        return "start";
    }
    // Mostly a majority is left, sometimes none.
    if together.up().count() < 3 && !lot.is_multiple_of(8) {
        return "nothing";
    }
    match lot / 8 % 4 {
        0 => {
            together.machines[at].kill();
            "kill"
        }
        1 => {
            together.machines[at].stop();
            "stop"
        }
        2 => {
            together.machines[at].pause(Duration::from_millis(200 + lot % 1_500));
            "pause"
        }
        _ => {
            let (id, node) = (together.machines[at].id(), together.machines[at].node().clone());
            // It may not come about; that is allowed.
            let _ = together.machines[at].run(async move { node.transfer_leadership(id).await });
            "hand over"
        }
    }
}

/// Writes and reads on whichever node is there.
fn use_doors(client: u64, ledger: &Ledger, doors: &Doors, is_enough: &AtomicBool) {
    for number in 0_u64.. {
        if is_enough.load(Ordering::Acquire) {
            return;
        }
        let at = ((client + number) % 3) as usize;
        let door = doors.lock().unwrap()[at].clone();
        let Some((node, handle)) = door else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        if number % 4 == 3 {
            read(&node, &handle, ledger);
            continue;
        }
        let key = format!("{client} {number}");
        let proposing = {
            let (node, key) = (node.clone(), key.clone());
            handle.spawn(async move { node.propose(command(&key)).await })
        };
        // A node that is killed takes its answer along.
        if let Some(Ok(proposed)) = wait(proposing) {
            ledger.answered.lock().unwrap().insert(proposed.index, key);
            ledger.newest.fetch_max(proposed.index, Ordering::AcqRel);
        }
    }
}

fn read(node: &Node, handle: &Handle, ledger: &Ledger) {
    let known = ledger.newest.load(Ordering::Acquire);
    let reading = {
        let node = node.clone();
        handle.spawn(async move { node.read_barrier().await.map(|()| node.state().applied_index()) })
    };
    if let Some(Ok(seen)) = wait(reading) {
        ledger.reads.fetch_add(1, Ordering::Relaxed);
        if seen < known {
            ledger.stale.lock().unwrap().push(format!("read up to {seen}, acknowledged was {known}"));
        }
    }
}

/// Waits for a task whose runtime may vanish.
fn wait<T>(task: tokio::task::JoinHandle<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !task.is_finished() {
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(task).ok()
}

/// Marsaglia's xorshift64.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

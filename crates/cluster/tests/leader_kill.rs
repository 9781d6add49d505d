//! The leader is killed, again and again: nothing acknowledged is lost, all
//! nodes stay equal, and commands are taken again within a moment.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::Node;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use together::{Together, command};
use tokio::runtime::Handle;

const KILLS: usize = 10;
/// Bound for one kill on a machine that runs other tests beside it. The
/// figures are printed; alone they are far below.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_killed_leader_costs_a_moment_and_no_acknowledged_command() {
    let mut together = Together::of(3);
    let answered = Arc::new(Mutex::new(BTreeMap::new()));
    let mut pauses = Vec::new();
    for round in 0..KILLS {
        let leader = together.leader();
        let is_enough = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = together
            .followers()
            .into_iter()
            .map(|at| {
                let machine = &together.machines[at];
                let (node, handle) = (machine.node().clone(), machine.runtime.as_ref().unwrap().handle().clone());
                let prefix = format!("{round} {at}");
                let (answered, is_enough) = (Arc::clone(&answered), Arc::clone(&is_enough));
                std::thread::spawn(move || write(&node, &handle, &prefix, &answered, &is_enough))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150));
        together.machines[leader].kill();
        let killed = Instant::now();
        let survivor = together.up().next().unwrap();
        survivor.propose(command(&format!("first after {round}"))).unwrap();
        pauses.push(killed.elapsed());
        std::thread::sleep(Duration::from_millis(100));
        is_enough.store(true, Ordering::Release);
        for writer in writers {
            writer.join().unwrap();
        }
        together.machines[leader].start();
        together.wait(|machine| machine.node().status().has_quorum, "a leader");
    }
    together.check_equal();
    let answered = answered.lock().unwrap();
    together.check_answered(&answered);
    pauses.sort();
    println!(
        "{KILLS} leaders killed, {} commands acknowledged: taken again after {:?} in the middle, {:?} at worst",
        answered.len(),
        pauses[KILLS / 2],
        pauses[KILLS - 1]
    );
    assert!(answered.len() > KILLS * 10);
    assert!(pauses[KILLS - 1] < PAUSE_MAX, "{pauses:?}");
}

/// Writes until it is enough; what is not answered may or may not be there.
fn write(node: &Node, handle: &Handle, prefix: &str, answered: &Mutex<BTreeMap<u64, String>>, is_enough: &AtomicBool) {
    for number in 0.. {
        if is_enough.load(Ordering::Acquire) {
            return;
        }
        let key = format!("{prefix} {number}");
        if let Ok(proposed) = handle.block_on(node.propose(command(&key))) {
            // One that was sent again is answered with the index of the repetition.
            answered.lock().unwrap().insert(proposed.index, key);
        }
    }
}

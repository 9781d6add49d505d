//! How fast three nodes take commands, and how fast they can say what is true
//! now. Prints figures; the bounds are far below them, so that only something
//! that waits where it should not fails.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::Node;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use together::{Together, command};
use tokio::runtime::Handle;

const SPAN: Duration = Duration::from_millis(600);

#[test]
fn three_nodes_take_commands_and_answer_reads_quickly() {
    let together = Together::of_with(3, |machine| machine.is_digesting = false);
    let (leader, follower) = (together.leader(), together.followers()[0]);
    let numbers = Arc::new(AtomicU64::new(0));
    let mut best = 0.0_f64;
    for (what, at, clients) in
        [("leader", leader, 1), ("leader", leader, 16), ("leader", leader, 64), ("follower", follower, 16)]
    {
        let machine = &together.machines[at];
        let handle = machine.runtime.as_ref().unwrap().handle().clone();
        let (rate, mut took) = measure(machine.node(), &handle, clients, &numbers, Kind::Command);
        let (middle, slow) = percentiles(&mut took);
        println!("commands through the {what}, {clients:2} clients: {rate:6.0}/s, p50 {middle:?}, p99 {slow:?}");
        best = best.max(rate);
    }
    for (what, at) in [("leader", leader), ("follower", follower)] {
        let machine = &together.machines[at];
        let handle = machine.runtime.as_ref().unwrap().handle().clone();
        let (rate, mut took) = measure(machine.node(), &handle, 1, &numbers, Kind::Read);
        let (middle, slow) = percentiles(&mut took);
        println!("reads on the {what}: {rate:6.0}/s, p50 {middle:?}, p99 {slow:?}");
        assert!(middle < Duration::from_millis(50), "{middle:?}");
    }
    assert!(best > 200.0, "{best}");
    together.check_equal();
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Command,
    Read,
}

fn measure(node: &Node, handle: &Handle, clients: u64, numbers: &Arc<AtomicU64>, kind: Kind) -> (f64, Vec<Duration>) {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (node, numbers) = (node.clone(), Arc::clone(numbers));
            handle.spawn(async move {
                let mut took = Vec::new();
                while begun.elapsed() < SPAN {
                    let begun = Instant::now();
                    match kind {
                        Kind::Command => {
                            let key = numbers.fetch_add(1, Ordering::Relaxed).to_string();
                            node.propose(command(&key)).await.unwrap();
                        }
                        Kind::Read => node.read_barrier().await.unwrap(),
                    }
                    took.push(begun.elapsed());
                }
                took
            })
        })
        .collect();
    let took: Vec<Duration> = tasks.into_iter().flat_map(|task| handle.block_on(task).unwrap()).collect();
    (took.len() as f64 / begun.elapsed().as_secs_f64(), took)
}

fn percentiles(took: &mut [Duration]) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

//! How fast a node takes entries. Prints figures; the bounds are far below
//! them, so that only a lost group commit fails.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;

use cluster::{Node, Options};
use common::{Log, note};
use model::entry::Body;
use model::id::{CheckSlot, LocationId};
use model::member::NodeId;
use model::observation::{Batch, Observation, Outcome};
use model::time::Timestamp;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn proposers_share_flushes() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(directory.path(), Options::default(), Log::default()).await.unwrap();
    let mut rates = Vec::new();
    for proposers in [1_u64, 16, 64] {
        let (rate, median) = measure(&node, proposers, Duration::from_millis(700)).await;
        println!("{proposers:2} proposers: {rate:6.0} entries/s, median {median:?}");
        rates.push(rate);
    }
    assert!(rates[2] > rates[0] * 2.0, "64 proposers share flushes: {rates:?}");
    node.close().await.unwrap();
}

async fn measure(node: &Node, proposers: u64, span: Duration) -> (f64, Duration) {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for proposer in 0..proposers {
        let node = node.clone();
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < span {
                let begun = Instant::now();
                node.propose(note(proposer)).await.unwrap();
                took.push(begun.elapsed());
            }
            took
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    took.sort();
    (rate, took[took.len() / 2])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_as_long_as_it_gets_is_replayed_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    // One batch of 1,667 results is a second of 100,000 checks once a minute.
    let batch = |sequence| {
        let at = Timestamp::from_ms(1_795_000_000_000);
        let observation = |slot| Observation {
            slot: CheckSlot(slot),
            scheduled: at.plus(Duration::from_secs(sequence)),
            outcome: Outcome::Pass,
            latency_us: 12_345 + slot,
            detail: None,
        };
        let location = LocationId::new("local").unwrap();
        Body::Results(Batch {
            location,
            node: NodeId(1),
            incarnation: 1,
            sequence,
            observations: (0..1_667).map(observation).collect(),
        })
    };
    common::run_abruptly(|| async {
        let node = Node::open(directory.path(), Options::default(), Log::default()).await.unwrap();
        // The default policy takes a snapshot from 500,000 results or 8 MiB on.
        let mut sequence = 0;
        while node.status().log_bytes < 8 << 20 && sequence * 1_667 < 490_000 {
            sequence += 1;
            node.propose(batch(sequence)).await.unwrap();
        }
    });
    let lock = std::fs::File::open(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    drop(lock);
    let start = Instant::now();
    let node = Node::open(directory.path(), Options::default(), Log::default()).await.unwrap();
    let took = start.elapsed();
    println!("{:?}: opened in {took:?}", node.status());
    assert!(took < Duration::from_secs(4), "unoptimised and beside other tests: {took:?}");
    node.close().await.unwrap();
}

//! How fast it is; printed, because how busy the machine is is not ours.

use super::{BULK, ECHO, Home, Town};
use crate::net::URGENT;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CALLS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_measured() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let quiet = latencies(&one, &two).await;
    println!("small calls, one at a time: {}", quantiles(&quiet));
    println!("first calls on a new connection: {}", quantiles(&first_calls(&town, &one, &two).await));

    let before = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let (hub, address) = (one.hub.clone(), two.address());
        calls.spawn(async move {
            for _ in 0..CALLS / 16 {
                hub.call(2, &address, ECHO, vec![0; 200], Duration::from_secs(10)).await.unwrap();
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
    let rate = (64 * (CALLS / 16)) as f64 / before.elapsed().as_secs_f64();
    println!("small calls, 64 at a time: {rate:.0} a second");

    let (hub, address) = (one.hub.clone(), two.address());
    let bulk = tokio::spawn(async move {
        let (before, mut bytes) = (Instant::now(), 0);
        for _ in 0..24 {
            let answer = hub.call(2, &address, BULK | ECHO, vec![0; 4 << 20], Duration::from_secs(30)).await.unwrap();
            bytes += 2 * answer.len();
        }
        bytes as f64 / before.elapsed().as_secs_f64() / f64::from(1 << 20)
    });
    let busy = latencies(&one, &two).await;
    println!("small urgent calls beside bulk: {}", quantiles(&busy));
    println!("bulk, there and back: {:.0} MiB/s", bulk.await.unwrap());
    assert!(quantile(&busy, 50) < Duration::from_secs(1));
}

async fn latencies(one: &Home, two: &Home) -> Vec<Duration> {
    let mut taken = Vec::new();
    for _ in 0..CALLS {
        let before = Instant::now();
        one.call(two, URGENT | ECHO, &[0; 100]).await.unwrap();
        taken.push(before.elapsed());
    }
    taken.sort();
    taken
}

async fn first_calls(town: &Town, one: &Home, two: &Home) -> Vec<Duration> {
    let mut taken = Vec::new();
    for _ in 0..100 {
        one.hub.renew(&town.certify(&one.key, 1));
        let before = Instant::now();
        one.call(two, ECHO, b"").await.unwrap();
        taken.push(before.elapsed());
    }
    taken.sort();
    taken
}

fn quantiles(sorted: &[Duration]) -> String {
    format!("p50 {:?}, p99 {:?}, max {:?}", quantile(sorted, 50), quantile(sorted, 99), quantile(sorted, 100))
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

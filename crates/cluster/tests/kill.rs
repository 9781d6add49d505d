//! `kill -9` at any instant loses nothing that was acknowledged.
//!
//! The test runs itself as a child that proposes under load and prints every
//! number it got an answer for; the child is killed at a random moment. The
//! page cache survives a kill, so this proves order and recovery; that flushes
//! come before answers is proved in `power_cut.rs`.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;

use cluster::{Node, Options, SnapshotPolicy};
use common::{Log, note, open_patiently};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: u32 = 120;
const PROPOSERS: u64 = 8;
const DIRECTORY: &str = "MAINSTAY_TEST_DIRECTORY";
const FIRST: &str = "MAINSTAY_TEST_FIRST";
/// Rounds that last long enough for the log to be purged, which the
/// housekeeper does once a second.
const LONG_ROUNDS: u64 = 4;

/// Numbers from here on are of the rounds in which history keeps up.
const LONG: u64 = 1_000_000_000;

/// Snapshots happen all the time.
fn options() -> Options {
    let snapshots = SnapshotPolicy { entries: 20, ..SnapshotPolicy::default() };
    // History lacks everything, so the whole log is kept and given again.
    Options { durable_history: Some(0), snapshots, reserve_bytes: 1 << 20, ..Options::default() }
}

/// Not a test of its own: what the child does.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::open(Path::new(&directory), options(), Log::default()).await.unwrap();
        let mut tasks = Vec::new();
        for proposer in 0..PROPOSERS {
            let node = node.clone();
            tasks.push(tokio::spawn(async move {
                for number in (first + proposer..).step_by(PROPOSERS as usize) {
                    let index = node.propose(note(number)).await.unwrap().index;
                    if first > LONG {
                        node.set_replay_floor(index);
                    }
                    // One write call, so that a line is there whole or not at all.
                    let line = format!("@{index} {number}\n");
                    std::io::stderr().write_all(line.as_bytes()).unwrap();
                    if number % 64 == 0 {
                        node.snapshot_now().await.unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_instant_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let seed = std::env::var("MAINSTAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("replay with MAINSTAY_TEST_SEED={random}");
    let mut answered: BTreeMap<u64, u64> = BTreeMap::new();
    let mut in_founding = 0;
    for round in 0..ROUNDS {
        random = next(random);
        // Some die while they open, most under load.
        let lifetime = Duration::from_micros(1_000 + random % 60_000);
        answered.extend(run_and_kill(&path, 1 + u64::from(round) * 1_000_000, lifetime));
        if !path.join("identity").exists() {
            in_founding += 1;
            continue;
        }
        let log = Log::default();
        let node = open_patiently(&path, options(), log.clone()).await;
        check(&answered, &log, round);
        node.close().await.unwrap();
    }
    assert!(answered.len() > 1_000, "only {} answers", answered.len());
    assert!(in_founding < 20, "{in_founding} children did not get far enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_log_is_purged_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut answered: BTreeMap<u64, u64> = BTreeMap::new();
    let mut purged = 0;
    for round in 0..LONG_ROUNDS {
        let lifetime = Duration::from_millis(2_000 + 300 * round);
        answered.extend(run_and_kill(&path, LONG + 1 + round * 1_000_000, lifetime));
        let log = Log::default();
        let node = open_patiently(&path, Options { durable_history: None, ..options() }, log.clone()).await;
        let last = answered.last_key_value().map_or(0, |(index, _)| *index);
        let recovery = node.recovery();
        assert!(recovery.log_index >= last, "round {round}: {recovery:?} and {last} was acknowledged");
        for (index, number) in log.seen().applied {
            assert!(answered.get(&index).is_none_or(|answered| *answered == number), "round {round}: entry {index}");
        }
        // An entry has more than ten bytes: not all of them are in the log.
        let status = node.status();
        purged += u32::from(status.log_bytes < status.applied_index * 10);
        node.close().await.unwrap();
    }
    assert!(purged > 0, "the log was never purged");
}

fn run_and_kill(path: &Path, first: u64, lifetime: Duration) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = BufReader::new(child.stderr.take().unwrap());
    // The pipe is emptied meanwhile, else the child would wait for us.
    let reader = std::thread::spawn(move || {
        let mut answered = Vec::new();
        for line in pipe.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.contains("panicked"), "{line}");
            let pair = line.strip_prefix('@').and_then(|pair| pair.split_once(' '));
            if let Some((Ok(index), Ok(number))) = pair.map(|(index, number)| (index.parse(), number.parse())) {
                answered.push((index, number));
            }
        }
        answered
    });
    std::thread::sleep(lifetime);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

fn check(answered: &BTreeMap<u64, u64>, log: &Log, round: u32) {
    let seen = log.seen();
    let all: Vec<(u64, u64)> = seen.repeated.iter().chain(&seen.applied).copied().collect();
    for (expected, (index, _)) in (1..).zip(&all) {
        assert_eq!(*index, expected, "round {round}: every index is there once and in order");
    }
    for (index, number) in answered {
        let found = all.get(*index as usize - 1);
        assert_eq!(found, Some(&(*index, *number)), "round {round}: an acknowledged entry is missing");
    }
}

/// Marsaglia's xorshift64.
fn next(mut random: u64) -> u64 {
    random ^= random << 13;
    random ^= random >> 7;
    random ^ (random << 17)
}

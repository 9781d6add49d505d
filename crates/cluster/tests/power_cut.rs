//! The power goes at any instant: what was acknowledged is there, in order,
//! and nothing else is.
//!
//! Unlike a kill, this drops what was written and not flushed. The same test
//! over a disk whose flushes do nothing must find a loss; that shows that it
//! can.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;
mod disk;

use cluster::{Node, OpenError, Options, SnapshotPolicy};
use common::{Log, Seen};
use disk::{Disk, Fate};
use model::entry::Body;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Writes and flushes after which the disk that does not flush begins to lie:
/// opening is over by then, so that the loss is one of entries.
const HONEST_OPERATIONS: u64 = 120;
/// Lives of a directory, and power cuts in each.
const LIVES: u64 = 12;
const CUTS: u64 = 20;
const PROPOSERS: u64 = 4;

/// All that was asked for and answered in the life of a directory.
#[derive(Debug, Default)]
struct Ledger {
    proposed: BTreeSet<u64>,
    answered: BTreeMap<u64, u64>,
}

#[test]
fn a_power_cut_loses_nothing_acknowledged_and_invents_nothing() {
    let mut answered = 0;
    for life in 0..LIVES {
        let ledger = live(seed() + life * 1_000, None).unwrap_or_else(|loss| panic!("{loss}"));
        answered += ledger.answered.len();
    }
    assert!(answered > 2_000, "only {answered} answers");
}

#[test]
fn a_disk_that_does_not_flush_is_found_out() {
    let mut found = (0..LIVES).filter_map(|life| live(seed() + life * 1_000, Some(HONEST_OPERATIONS)).err());
    assert!(found.any(|found| found.contains("is lost")), "the test above cannot fail");
}

fn seed() -> u64 {
    let given = std::env::var("MAINSTAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) << 24)
}

/// Lives through power cuts and looks after each what is left; says what was lost.
fn live(seed: u64, lies_after: Option<u64>) -> Result<Ledger, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let mut ledger = Ledger::default();
    let mut random = seed | 1;
    for cut in 0..CUTS {
        random = next(random);
        let survivors = [0, 30, 70, 100][(random >> 8) as usize % 4];
        // Opening takes some tens of operations: a few lives end there. A few
        // last until the write-ahead log is moved into the database.
        let most = if random.is_multiple_of(8) { 6_000 } else { 600 };
        let operations = 10 + (random >> 16) % most;
        let fate = Fate { operations, survivors, lies_after, seed: random };
        let replay = format!("MAINSTAY_TEST_SEED={seed}, cut {cut}, {fate:?}");
        run_until_cut(&path, fate, cut, &mut ledger).map_err(|loss| format!("{loss} ({replay})"))?;
    }
    // At last without a cut, on the real disk.
    let (seen, node_error) = run(&path, None, CUTS, &mut Ledger::default(), 0);
    match node_error {
        None => check(&ledger, &seen).map(|()| ledger),
        Some(error) => Err(format!("cannot be opened: {error} (MAINSTAY_TEST_SEED={seed})")),
    }
}

fn run_until_cut(path: &Path, fate: Fate, cut: u64, ledger: &mut Ledger) -> Result<(), String> {
    // What is there after opening is judged by what was answered before.
    let before = Ledger { proposed: ledger.proposed.clone(), answered: ledger.answered.clone() };
    let (disk, name) = Disk::plug_in(fate);
    let (seen, error) = run(path, Some(name), cut, ledger, 200);
    let was_off = disk.is_off();
    disk.leave_wreck();
    match error {
        // Opened: everything from before must have been reported.
        None => check(&before, &seen),
        Some(_) if was_off => Ok(()),
        Some(error) => Err(format!("cannot be opened: {error}")),
    }
}

/// Opens the directory and proposes until nothing works any more, or every
/// proposer has made its proposals. Returns what the observer saw while it
/// was opened, or the error.
fn run(path: &Path, vfs: Option<String>, cut: u64, ledger: &mut Ledger, each: u64) -> (Seen, Option<OpenError>) {
    let snapshots = SnapshotPolicy { entries: 50, ..SnapshotPolicy::default() };
    let options = Options { durable_history: Some(0), reserve_bytes: 0, snapshots, vfs, ..Options::default() };
    let shared = Arc::new(Mutex::new(std::mem::take(ledger)));
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let node = match Node::open(path, options, log.clone()).await {
            Ok(node) => node,
            Err(error) => return (Seen::default(), Some(error)),
        };
        let seen = log.seen();
        let mut tasks = Vec::new();
        for proposer in 0..PROPOSERS {
            tasks.push(tokio::spawn(propose(node.clone(), Arc::clone(&shared), cut, proposer, each)));
        }
        for task in tasks {
            task.await.unwrap();
        }
        (seen, None)
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    wait_for_unlock(path);
    *ledger = std::mem::take(&mut shared.lock().unwrap());
    result
}

async fn propose(node: Node, ledger: Arc<Mutex<Ledger>>, cut: u64, proposer: u64, each: u64) {
    for count in 0..each {
        let number = (cut * PROPOSERS + proposer) * 1_000 + count + 1;
        ledger.lock().unwrap().proposed.insert(number);
        // Now and then something large, so that the write-ahead log is moved
        // into the database in the middle of it all.
        let padding = if number.is_multiple_of(17) { 200_000 } else { (number % 50) as usize };
        let body = Body::AttemptBegins {
            key: format!("{number} {}", "x".repeat(padding)),
            attempt: 1,
            node: model::member::NodeId(1),
        };
        let Ok(proposed) = node.propose(body).await else { return };
        ledger.lock().unwrap().answered.insert(proposed.index, number);
        if count % 40 == 39 && node.snapshot_now().await.is_err() {
            return;
        }
    }
}

fn check(ledger: &Ledger, seen: &Seen) -> Result<(), String> {
    let all: Vec<(u64, u64)> = seen.repeated.iter().chain(&seen.applied).copied().collect();
    for (expected, (index, number)) in (1..).zip(&all) {
        if *index != expected {
            return Err(format!("index {index} where {expected} should be"));
        }
        if !ledger.proposed.contains(number) {
            return Err(format!("entry {index} was invented"));
        }
    }
    let once: BTreeSet<u64> = all.iter().map(|(_, number)| *number).collect();
    if once.len() != all.len() {
        return Err("an entry is there twice".to_owned());
    }
    for (index, number) in &ledger.answered {
        if all.get(*index as usize - 1) != Some(&(*index, *number)) {
            return Err(format!("acknowledged entry {index} is lost; {} are left", all.len()));
        }
    }
    Ok(())
}

/// Waits until the thread that writes the log has closed its files.
fn wait_for_unlock(path: &Path) {
    if let Ok(lock) = std::fs::File::open(path.join("lock")) {
        lock.lock().unwrap();
    }
}

/// Marsaglia's xorshift64.
fn next(mut random: u64) -> u64 {
    random ^= random << 13;
    random ^= random >> 7;
    random ^ (random << 17)
}

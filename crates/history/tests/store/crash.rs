//! Kill -9 at any instant: the watermark never runs ahead of the rows, nothing
//! that was flushed is lost, and applying the log again counts nothing twice.
//!
//! The test program starts itself as a child that applies, flushes and maintains
//! as fast as it can, and kills it again and again at random moments. Each entry's
//! content follows from its index, so what must be there is known.

use crate::common::{at, directory, end, exact, location, put, settle};
use history::{Budget, Resolution, Store};
use model::id::CheckSlot;
use model::observation::{Observation, Outcome};
use model::time::Timestamp;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const DIRECTORY: &str = "HISTORY_CRASH_DIRECTORY";
const ROUNDS: u64 = 40;
const SLOTS: u32 = 12;
/// Entries the child applies at most in one life; ten hours of history.
const ENTRIES_PER_LIFE: u64 = 600;

/// The entry of an index: all checks in one minute, a few of them again from
/// three hours before, as if they came late.
fn entry(index: u64) -> Vec<Observation> {
    let result = |slot: u32, minute: u64| Observation {
        slot: CheckSlot(slot),
        scheduled: scheduled(minute, slot),
        outcome: if (minute + u64::from(slot)).is_multiple_of(97) { Outcome::Fail } else { Outcome::Pass },
        latency_us: latency(minute, slot),
        detail: None,
    };
    let on_time = (0..SLOTS).filter(|slot| !is_late(*slot, index)).map(|slot| result(slot, index));
    let late = index.checked_sub(180).filter(|minute| *minute > 0);
    let late = late
        .into_iter()
        .flat_map(|minute| (0..SLOTS).filter(move |slot| is_late(*slot, minute)).map(move |slot| result(slot, minute)));
    on_time.chain(late).collect()
}

fn is_late(slot: u32, minute: u64) -> bool {
    (minute * 31 + u64::from(slot)).is_multiple_of(53)
}

fn scheduled(minute: u64, slot: u32) -> Timestamp {
    at(minute * 60 + u64::from(slot))
}

fn latency(minute: u64, slot: u32) -> u32 {
    (minute * 1_009 + u64::from(slot) * 31) as u32
}

/// The index of the entry that holds a check's result of a minute.
fn entry_of(minute: u64, slot: u32) -> u64 {
    if is_late(slot, minute) { minute + 180 } else { minute }
}

/// Not a test of its own: what the child runs. Does nothing in a normal run.
#[test]
fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    let store = Store::open(Path::new(&path), exact()).unwrap();
    let first = store.watermark() + 1;
    for index in first..first + ENTRIES_PER_LIFE {
        put(&store, index, &location("paris"), &entry(index)).unwrap();
        if index.is_multiple_of(5) {
            store.maintain(at(index * 60), Budget { results: 300 }).unwrap();
        }
        if index.is_multiple_of(7) {
            println!("flushed {}", store.flush().unwrap());
        }
    }
}

fn start(path: &Path) -> (Child, mpsc::Receiver<u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some(index) = line.rsplit_once("flushed ").and_then(|(_, index)| index.parse().ok()) {
                let _ = tx.send(index);
            }
        }
    });
    (child, rx)
}

/// Checks every answer against what the entries up to the watermark hold.
/// Entries above it may be there too: their rows come again with the log.
fn verify(store: &Store, watermark: u64, seen_max: u64) {
    for slot in 0..SLOTS {
        let read = store.range(CheckSlot(slot), Timestamp::EPOCH, end(), usize::MAX).unwrap();
        assert_eq!(read.damaged, vec![]);
        let mut minutes = Vec::new();
        for sample in &read.items {
            let seconds = sample.scheduled.since(at(0)).as_secs();
            let minute = (seconds - u64::from(slot)) / 60;
            assert_eq!(sample.scheduled, scheduled(minute, slot));
            assert_eq!(sample.latency_us, latency(minute, slot));
            assert!(entry_of(minute, slot) <= seen_max, "a result of no entry");
            minutes.push(minute);
        }
        assert!(minutes.is_sorted_by(|a, b| a < b), "a result is there twice");
        let must: Vec<u64> = (1..=watermark).filter(|minute| entry_of(*minute, slot) <= watermark).collect();
        let have: Vec<u64> = minutes.iter().copied().filter(|m| entry_of(*m, slot) <= watermark).collect();
        assert_eq!(have, must, "slot {slot}, watermark {watermark}");
        let days = store.rollups(CheckSlot(slot), Resolution::Day, Timestamp::EPOCH, end()).unwrap();
        let counted: u32 = days.items.iter().map(|day| day.totals.rounds()).sum();
        assert_eq!(counted as usize, minutes.len(), "roll-ups count other results than there are");
    }
}

#[test]
fn kill_nine_at_any_instant_loses_nothing_flushed_and_doubles_nothing() {
    let directory = directory();
    let mut watermark = 0;
    let mut kills = 0;
    for round in 0..ROUNDS {
        let (mut child, flushed) = start(directory.path());
        // From before opening is done to well into sealing, spread without chance.
        let patience = Duration::from_millis(5 + (round * 37) % 240);
        let until = Instant::now() + patience;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = flushed.iter().last().unwrap_or(watermark);
        let store = Store::open(directory.path(), exact()).unwrap();
        let found = store.watermark();
        assert!(found >= acknowledged, "round {round}: flushed up to {acknowledged}, found {found}");
        verify(&store, found, found + ENTRIES_PER_LIFE);
        watermark = found;
    }
    println!("{kills} kills, {watermark} entries");
    assert!(u64::from(kills) > ROUNDS / 2 && watermark > 500, "{kills} kills, {watermark} entries");
    let store = Store::open(directory.path(), exact()).unwrap();
    settle(&store, at(watermark * 60 + 86_400));
    settle(&store, at(watermark * 60 + 2 * 86_400));
    verify(&store, watermark, watermark + ENTRIES_PER_LIFE);
}

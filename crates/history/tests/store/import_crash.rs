//! Importing while batches come, upkeep runs, and the process is killed: what
//! can be seen is never half of anything, and importing again mends the rest.
//!
//! As in `crash`, the test program starts itself as a child and kills it at
//! random moments. The child imports units of a whole store in no order, beside
//! the entries that it did not miss.

use crate::common::{at, directory, end, exact, location, put, settle};
use crate::pull::{assert_digests_equal, pull};
use history::exchange::{Kind, Unit, differing};
use history::{Budget, Resolution, Store};
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::time::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const STORE: &str = "HISTORY_IMPORT_STORE";
const UNITS: &str = "HISTORY_IMPORT_UNITS";
const LIFE: &str = "HISTORY_IMPORT_LIFE";
/// Stores that are completed from nothing.
const STORES: u64 = 3;
/// Lives of the child for each of them.
const LIVES: u64 = 12;
const SLOTS: u32 = 24;
/// 26 hours, of which the node missed all but every fifth hour.
const MINUTES: u64 = 26 * 60;

/// The entry of an index: all checks in one minute.
fn entry(minute: u64) -> Vec<Observation> {
    (0..SLOTS).map(|slot| result(minute, slot)).collect()
}

fn result(minute: u64, slot: u32) -> Observation {
    let failed = (minute + u64::from(slot)).is_multiple_of(97);
    let sentence = format!("{minute} {slot}");
    let detail = Detail { failure: Some(Failure { cause: Cause::Body, sentence }), ..Detail::default() };
    Observation {
        slot: CheckSlot(slot),
        scheduled: at(minute * 60 + u64::from(slot)),
        outcome: if failed { Outcome::Fail } else { Outcome::Pass },
        latency_us: (minute * 1_009 + u64::from(slot) * 31) as u32,
        detail: failed.then(|| Box::new(detail)),
    }
}

fn is_missed(minute: u64) -> bool {
    !(minute / 60).is_multiple_of(5)
}

/// A store that saw everything, at rest.
fn whole(directory: &Path) -> Store {
    let store = Store::open(directory, exact()).unwrap();
    for minute in 0..MINUTES {
        put(&store, minute + 1, &location("london"), &entry(minute)).unwrap();
    }
    store.flush().unwrap();
    settle(&store, at(100 * 3_600));
    store
}

/// Everything in a store, a shard of a span in a file.
fn export_all(store: &Store, into: &Path) {
    let mut number = 0;
    for kind in [Kind::Results, Kind::FiveMinutes, Kind::Days] {
        for digest in store.digests(kind, at(0), end()).unwrap() {
            let unit = Unit { span: digest.span, first_shard: digest.shard, last_shard: digest.shard };
            let exported = store.export(&unit, usize::MAX, None).unwrap();
            assert!(exported.next.is_none());
            fs::write(into.join(number.to_string()), exported.bytes).unwrap();
            number += 1;
        }
    }
}

/// Not a test of its own: what the child runs. Does nothing in a normal run.
#[test]
fn child() {
    let (Ok(path), Ok(units), Ok(life)) = (std::env::var(STORE), std::env::var(UNITS), std::env::var(LIFE)) else {
        return;
    };
    let life: u64 = life.parse().unwrap();
    let store = Store::open(Path::new(&path), exact()).unwrap();
    let mut units: Vec<PathBuf> = fs::read_dir(units).unwrap().map(|file| file.unwrap().path()).collect();
    units.sort_by_key(|path| {
        let number: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        (number + 1).wrapping_mul(2 * life + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    // Again and again, until it is killed.
    for (step, unit) in (0u64..20_000).zip(units.iter().cycle()) {
        store.import(&fs::read(unit).unwrap()).unwrap();
        let next = (store.watermark()..MINUTES).find(|minute| !is_missed(*minute));
        if let Some(minute) = next.filter(|_| step % 2 == 0) {
            put(&store, minute + 1, &location("london"), &entry(minute)).unwrap();
        }
        if step % 3 == 0 {
            store.maintain(now(life, step), Budget { results: 400 }).unwrap();
        }
        if step % 7 == 0 {
            store.flush().unwrap();
        }
    }
}

/// Hours pass from life to life, so that windows are sealed and days rolled up again.
fn now(life: u64, step: u64) -> Timestamp {
    at((30 + 4 * life) * 3_600 + step * 20)
}

fn start(store: &Path, units: &Path, life: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "import_crash::child", "--nocapture", "--test-threads=1"])
        .env(STORE, store)
        .env(UNITS, units)
        .env(LIFE, life.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What can be read is true, each round is there once, and roll-ups count what there is.
fn verify(store: &Store) -> usize {
    let mut seen = 0;
    for slot in 0..SLOTS {
        let read = store.range(CheckSlot(slot), Timestamp::EPOCH, end(), usize::MAX).unwrap();
        assert_eq!(read.damaged, vec![]);
        for sample in &read.items {
            let minute = sample.scheduled.since(at(0)).as_secs() / 60;
            let expected = result(minute, slot);
            let found = (sample.scheduled, sample.outcome, sample.latency_us);
            assert_eq!(found, (expected.scheduled, expected.outcome, expected.latency_us));
        }
        assert!(read.items.is_sorted_by(|a, b| a.scheduled < b.scheduled), "a round is there twice");
        // Roll-ups that came from the peer may know of results that did not come yet.
        for resolution in [Resolution::FiveMinutes, Resolution::Day] {
            let rollups = store.rollups(CheckSlot(slot), resolution, Timestamp::EPOCH, end()).unwrap();
            let counted: u32 = rollups.items.iter().map(|rollup| rollup.totals.rounds()).sum();
            assert!(counted as usize >= read.items.len() && counted as u64 <= MINUTES, "{counted}");
        }
        seen += read.items.len();
    }
    seen
}

/// Lets a child import for a moment and kills it; returns how many results there are then.
fn live_and_die(target: &Path, units: &Path, life: u64) -> usize {
    let mut child = start(target, units, life);
    let until = Instant::now() + Duration::from_millis(4 + (life * 29) % 80);
    while Instant::now() < until {
        assert!(child.try_wait().unwrap().is_none(), "a child ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    verify(&Store::open(target, exact()).unwrap())
}

#[test]
fn kill_nine_while_importing_leaves_nothing_half_done() {
    let (source, units) = (directory(), directory());
    let whole = whole(source.path());
    export_all(&whole, units.path());
    let mut unfinished = 0;
    for number in 0..STORES {
        let target = directory();
        let mut seen = 0;
        for life in number * LIVES..(number + 1) * LIVES {
            let now = live_and_die(target.path(), units.path(), life);
            assert!(now >= seen, "what was imported is gone");
            unfinished += u64::from(now as u64 != MINUTES * u64::from(SLOTS));
            seen = now;
        }
        finish(&whole, &Store::open(target.path(), exact()).unwrap());
    }
    println!("killed {} times, {unfinished} times before all was there", STORES * LIVES);
    assert!(unfinished > 3 * STORES, "{unfinished}");
}

/// Imports what is missing still, and compares everything.
fn finish(whole: &Store, store: &Store) {
    for kind in [Kind::Results, Kind::FiveMinutes, Kind::Days] {
        pull(whole, store, kind, at(0), end(), usize::MAX);
    }
    for hours in 0..3 {
        settle(store, at((200 + hours) * 3_600));
    }
    assert_eq!(verify(store) as u64, MINUTES * u64::from(SLOTS));
    assert_digests_equal(whole, store);
    for slot in (0..SLOTS).map(CheckSlot) {
        let [ours, theirs] = [store, whole].map(|store| store.details(slot, at(0), end(), usize::MAX).unwrap());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn importing_beside_batches_upkeep_and_readers_ends_equal() {
    let (source, target) = (directory(), directory());
    let whole = whole(source.path());
    let into = Store::open(target.path(), exact()).unwrap();
    let units: Vec<Unit> = [Kind::Results, Kind::FiveMinutes, Kind::Days]
        .into_iter()
        .flat_map(|kind| differing(&[], &whole.digests(kind, at(0), end()).unwrap()))
        .collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for minute in (0..MINUTES).filter(|minute| !is_missed(*minute)) {
                put(&into, minute + 1, &location("london"), &entry(minute)).unwrap();
                if minute % 20 == 0 {
                    into.flush().unwrap();
                }
            }
        });
        scope.spawn(|| {
            let mut step = 0;
            while !is_over.load(Ordering::Relaxed) {
                into.maintain(now(0, step * 60), Budget { results: 300 }).unwrap();
                into.digests(Kind::Results, at(0), at(4 * 7_200)).unwrap();
                step += 1;
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                verify(&into);
            }
        });
        for _ in 0..2 {
            for unit in &units {
                crate::pull::pull_unit(&whole, &into, *unit, 8_192);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    into.flush().unwrap();
    finish(&whole, &into);
}

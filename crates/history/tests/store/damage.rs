//! Damage on disk is reported for its span; no number is ever wrong, nothing panics.

use crate::common::{START, all, at, directory, end, exact, location, open, pass, put, settle};
use fjall::{Database, KeyspaceCreateOptions};
use history::{Resolution, Sample, Store};
use model::id::CheckSlot;
use model::observation::Observation;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CHECKS: u32 = 40;

/// A day of results, sealed and rolled up, and some of the next day in a head.
fn filled(directory: &Path) -> BTreeMap<u32, Vec<Sample>> {
    let store = open(directory);
    for hour in 0..26 {
        let results: Vec<Observation> = (0..CHECKS)
            .flat_map(|slot| {
                (0..60).map(move |minute| {
                    let second = hour * 3_600 + minute * 60;
                    pass(slot, at(second), second as u32 * 13 + slot)
                })
            })
            .collect();
        put(&store, hour + 1, &location("paris"), &results).unwrap();
    }
    settle(&store, at(26 * 3_600));
    store.flush().unwrap();
    (0..CHECKS).map(|slot| (slot, all(&store, slot))).collect()
}

pub(crate) fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else if path.metadata().unwrap().len() > 0 && path.extension().is_none_or(|end| end != "jnl") {
            found.push(path);
        }
    }
}

/// Every answer is right or says that it is not whole.
fn check_answers(store: &Store, known: &BTreeMap<u32, Vec<Sample>>) -> usize {
    let mut damaged = 0;
    for (slot, known) in known {
        let read = store.range(CheckSlot(*slot), START, end(), usize::MAX).unwrap();
        let of_time: BTreeMap<_, _> = known.iter().map(|sample| (sample.scheduled, sample)).collect();
        for sample in &read.items {
            assert_eq!(Some(&sample), of_time.get(&sample.scheduled), "a wrong number");
        }
        for missing in known.iter().filter(|sample| !read.items.contains(sample)) {
            let is_said = read.damaged.iter().any(|d| d.from <= missing.scheduled && missing.scheduled < d.to);
            assert!(is_said, "slot {slot}: {} is missing without a word", missing.scheduled);
        }
        damaged += read.damaged.len();
        let days = store.rollups(CheckSlot(*slot), Resolution::Day, START, end()).unwrap();
        for day in days.items.iter().filter(|day| !day.totals.is_partial) {
            let expected = known.iter().filter(|sample| sample.scheduled.day() == day.from.day()).count();
            assert_eq!(day.totals.rounds() as usize, expected);
        }
        let _ = store.rollups(CheckSlot(*slot), Resolution::FiveMinutes, START, end()).unwrap();
        let _ = store.latest(CheckSlot(*slot)).unwrap();
    }
    damaged
}

#[test]
fn a_damaged_chunk_is_reported_for_its_window_alone() {
    let directory = directory();
    let known = filled(directory.path());
    {
        let db = Database::builder(directory.path().join("tables")).open().unwrap();
        let raw = db.list_keyspace_names().into_iter().find(|name| name.starts_with("raw.")).unwrap();
        let raw = db.keyspace(&raw, KeyspaceCreateOptions::default).unwrap();
        let (key, value) = raw.iter().nth(5).unwrap().into_inner().unwrap();
        let mut bytes = value.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        raw.insert(key, bytes).unwrap();
    }
    let store = open(directory.path());
    assert_eq!(check_answers(&store, &known), 1);
    let read = store.range(CheckSlot(0), START, end(), usize::MAX).unwrap();
    let [damage] = &read.damaged[..] else { panic!("{:?}", read.damaged) };
    assert_eq!(damage.location, Some(location("paris")));
    assert_eq!((damage.from, damage.to), (at(5 * 7_200), at(6 * 7_200)), "slot 0's sixth window");
    assert_eq!(read.items.len(), 26 * 60 - 120);
}

#[test]
fn late_results_for_a_damaged_chunk_do_not_hide_the_damage() {
    let directory = directory();
    filled(directory.path());
    {
        let db = Database::builder(directory.path().join("tables")).open().unwrap();
        let raw = db.list_keyspace_names().into_iter().find(|name| name.starts_with("raw.")).unwrap();
        let raw = db.keyspace(&raw, KeyspaceCreateOptions::default).unwrap();
        let (key, _) = raw.iter().next().unwrap().into_inner().unwrap();
        raw.insert(key, b"no chunk at all").unwrap();
    }
    let store = open(directory.path());
    put(&store, 99, &location("paris"), &[pass(0, at(61), 5)]).unwrap();
    settle(&store, at(30 * 3_600));
    store.flush().unwrap();
    settle(&store, at(31 * 3_600));
    settle(&store, at(32 * 3_600));
    let read = store.range(CheckSlot(0), at(0), at(7_200), usize::MAX).unwrap();
    assert_eq!(read.items.iter().map(|sample| sample.scheduled).collect::<Vec<_>>(), [at(61)]);
    assert_eq!(read.damaged.len(), 1);
    let day = store.rollups(CheckSlot(0), Resolution::Day, at(0), at(1)).unwrap();
    assert!(day.items[0].totals.is_partial);
}

#[test]
fn a_flipped_bit_anywhere_gives_no_wrong_number_and_no_panic() {
    let directory = directory();
    let known = filled(directory.path());
    // The first opening clears away what is left from writing.
    drop(open(directory.path()));
    let mut files = Vec::new();
    files_below(directory.path(), &mut files);
    let (mut refused, mut reported, mut unnoticed) = (0, 0, 0);
    for trial in 0u64..120 {
        // Spread over files and places without chance, so that a failure can be repeated.
        let random = trial.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let path = &files[(random >> 32) as usize % files.len()];
        let before = fs::read(path).unwrap();
        let mut bytes = before.clone();
        let position = random % bytes.len() as u64;
        bytes[position as usize] ^= 1 << (trial % 8);
        fs::write(path, &bytes).unwrap();
        let place = format!("{} at {position}", path.display());
        println!("{trial}: {place}");
        match Store::open(directory.path(), exact()) {
            Err(_) => refused += 1,
            Ok(store) if check_answers(&store, &known) > 0 => reported += 1,
            Ok(_) => unnoticed += 1,
        }
        let mut now = Vec::new();
        files_below(directory.path(), &mut now);
        assert_eq!(now, files, "reading has changed what is there");
        fs::write(path, &before).unwrap();
    }
    println!("refused {refused}, reported {reported}, without effect {unnoticed}");
    assert!(reported > 0);
    assert_eq!(check_answers(&open(directory.path()), &known), 0, "all bits are back");
}

//! A copy made while the store is used is a store with the same history.

use crate::common::{START, all, at, directory, end, exact, location, open, pass, put, settle};
use crate::damage::files_below;
use crate::pull::assert_digests_equal;
use history::{BackupError, Budget, OpenError, Store};
use model::observation::Observation;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const SLOTS: u32 = 40;

/// All checks in one minute.
fn entry(minute: u64) -> Vec<Observation> {
    (0..SLOTS).map(|slot| pass(slot, at(minute * 60), (minute * 7) as u32 + slot)).collect()
}

/// A day and some hours, in every stage from memory to roll-ups.
fn live(store: &Store, minutes: std::ops::Range<u64>) {
    for minute in minutes {
        put(store, minute + 1, &location("paris"), &entry(minute)).unwrap();
        store.maintain(at(minute * 60), Budget { results: 500 }).unwrap();
    }
}

#[test]
fn a_restored_copy_has_the_same_history_and_goes_on() {
    let directory = directory();
    let (original, copy) = (directory.path().join("original"), directory.path().join("copy"));
    let store = open(&original);
    live(&store, 0..26 * 60);
    store.note_gap(9_000..9_005, at(0), at(60)).unwrap();
    assert_eq!(store.backup(&copy).unwrap(), 9_004);
    Store::restored(&copy, 26 * 60).unwrap();
    let restored = open(&copy);
    assert_eq!((restored.watermark(), restored.gaps()), (26 * 60, vec![]));
    assert_digests_equal(&store, &restored);
    for slot in 0..SLOTS {
        assert_eq!(all(&store, slot), all(&restored, slot));
    }
    // Each goes its own way from here.
    live(&restored, 26 * 60..30 * 60);
    settle(&store, at(60 * 3_600));
    assert_eq!((all(&store, 1).len(), all(&restored, 1).len()), (26 * 60, 30 * 60));
    drop(store);
    fs::remove_dir_all(original).unwrap();
    settle(&restored, at(60 * 3_600));
    drop(restored);
    assert_eq!(all(&open(&copy), 1).len(), 30 * 60);
}

#[test]
fn a_copy_made_beside_writing_and_merging_is_whole() {
    let directory = directory();
    let store = open(&directory.path().join("original"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut minute = 0;
            while !is_over.load(Ordering::Relaxed) && minute < 3 * 1_440 {
                live(&store, minute..minute + 1);
                // Many small tables, so that they are merged all the time.
                store.flush().unwrap();
                minute += 1;
            }
        });
        for number in 0..12 {
            let path = directory.path().join(format!("copy-{number}"));
            let watermark = store.backup(&path).unwrap();
            let copy = open(&path);
            assert_eq!(copy.watermark(), watermark);
            for slot in 0..SLOTS {
                let times: Vec<u64> =
                    all(&copy, slot).iter().map(|sample| sample.scheduled.since(at(0)).as_secs() / 60).collect();
                assert_eq!(times, (0..watermark).collect::<Vec<_>>(), "copy {number} of {watermark} entries");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_copy_on_the_same_volume_takes_no_room_for_tables() {
    let directory = directory();
    let store = open(&directory.path().join("original"));
    live(&store, 0..26 * 60);
    let copy = directory.path().join("copy");
    store.backup(&copy).unwrap();
    let mut tables = 0;
    for keyspace in fs::read_dir(copy.join("tables/keyspaces")).unwrap() {
        for table in fs::read_dir(keyspace.unwrap().path().join("tables")).unwrap() {
            assert!(table.unwrap().metadata().unwrap().nlink() >= 2);
            tables += 1;
        }
    }
    assert!(tables > 3);
    let mut others = vec![];
    files_below(&copy, &mut others);
    let mut beside: Vec<_> = fs::read_dir(copy.join("tables")).unwrap().map(|file| file.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["keyspaces", "lock", "version"], "no journal, which is long and empty");
    let others: u64 =
        others.iter().map(|file| file.metadata().unwrap()).filter(|file| file.nlink() < 2).map(|file| file.len()).sum();
    assert!(others < 10_000, "{others} bytes were copied");
}

#[test]
fn a_copy_replaces_nothing() {
    let directory = directory();
    let store = open(&directory.path().join("original"));
    let error = store.backup(directory.path()).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert!(store.digests(history::exchange::Kind::Results, START, end()).unwrap().is_empty());
}

#[test]
fn what_is_no_copy_is_not_restored() {
    let directory = directory();
    let refused = |path: &Path| Store::restored(path, 1).unwrap_err();
    assert!(matches!(refused(&directory.path().join("nothing")), OpenError::Damaged { .. }));
    let path = directory.path().join("original");
    let store = Store::open(&path, exact()).unwrap();
    live(&store, 0..10);
    store.flush().unwrap();
    assert!(matches!(refused(&path), OpenError::Locked { .. }));
    drop(store);
    let tables = path.join("tables");
    let list = fs::read_dir(tables.join("keyspaces/1")).unwrap().map(|entry| entry.unwrap().path());
    let list = list.filter(|path| path.is_file()).find(|path| path.file_name().unwrap() != "current").unwrap();
    let bytes = fs::read(&list).unwrap();
    fs::write(&list, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    fs::remove_dir_all(&tables).unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    assert!(!tables.exists(), "nothing was made in its place");
}

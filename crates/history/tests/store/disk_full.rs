//! A full disk: nothing is hurt, it is said, and it goes on when there is room.

use crate::common::{all, at, directory, exact, location, open, pass, put, settle};
use history::exchange::{ImportError, Kind, Span, Unit};
use history::{ApplyError, Options, Store, WriteError};
use model::id::CheckSlot;
use model::observation::Observation;
use model::time::Timestamp;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const VOLUME: &str = "24m";
const CHECKS: u32 = 500;

/// A small volume in memory, unmounted at the end.
struct Volume(PathBuf);

impl Volume {
    /// `None` where mounting is not allowed; that must not happen unnoticed in CI.
    fn mount(path: &Path) -> Option<Self> {
        let options = format!("size={VOLUME}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "history-test"]).arg(path).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "this test needs the right to mount a tmpfs");
        println!("skipped: mounting a tmpfs is not allowed here");
        None
    }

    /// Takes all the room that is left.
    fn fill_up(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        let mut block = vec![0u8; 1 << 16];
        while !block.is_empty() {
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn entry(index: u64) -> Vec<Observation> {
    (0..CHECKS).map(|slot| pass(slot, at(index * 60), (index * 7) as u32 + slot)).collect()
}

fn stored(store: &Store) -> Vec<u64> {
    let per_check = |slot: u32| {
        let samples = all(store, slot);
        samples.iter().map(|sample| sample.scheduled.since(at(0)).as_secs() / 60).collect::<Vec<_>>()
    };
    let first = per_check(0);
    for slot in [1, 255, 256, CHECKS - 1] {
        assert_eq!(per_check(slot), first, "an entry is there in part");
    }
    first
}

#[test]
fn a_full_disk_is_said_and_survived_again_and_again() {
    let directory = directory();
    let Some(volume) = Volume::mount(directory.path()) else { return };
    let store = open(&directory.path().join("history"));
    let paris = location("paris");
    let mut taken = Vec::new();
    let mut index = 0;
    for round in 0..4 {
        let ballast = volume.fill_up();
        let mut refused = 0;
        while refused < 5 {
            index += 1;
            match put(&store, index, &paris, &entry(index)) {
                Ok(applied) => taken.extend((applied.taken > 0).then_some(index)),
                Err(ApplyError::DiskFull) => refused += 1,
                Err(other) => panic!("round {round}: {other:?}"),
            }
            assert!(index < 10_000, "the disk never fills");
        }
        assert!(matches!(store.flush(), Err(WriteError::DiskFull)));
        assert_eq!(store.disk_usage().unwrap().free_bytes, 0);
        assert_eq!(stored(&store), taken, "what was taken can be read while the disk is full");
        // Upkeep may fail too, but must not hurt anything.
        let _ = store.maintain(at(2 * 86_400), history::Budget::default());
        assert_eq!(stored(&store), taken);
        fs::remove_file(ballast).unwrap();
        assert_eq!(store.flush().unwrap(), store.watermark(), "with room, it works on");
        assert_eq!(stored(&store), taken);
    }
    drop(store);
    let store = open(&directory.path().join("history"));
    assert_eq!(stored(&store), taken, "nothing was lost on the way");
    settle(&store, at(index * 60 + 2 * 86_400));
    assert_eq!(stored(&store), taken);
}

#[test]
fn an_entry_that_was_refused_can_be_offered_again() {
    let directory = directory();
    let Some(volume) = Volume::mount(directory.path()) else { return };
    let store = open(&directory.path().join("history"));
    let paris = location("paris");
    let ballast = volume.fill_up();
    let refused = (1..1_000)
        .find(|index| matches!(put(&store, *index, &paris, &entry(*index)), Err(ApplyError::DiskFull)))
        .unwrap();
    fs::remove_file(ballast).unwrap();
    assert_eq!(put(&store, refused, &paris, &entry(refused)).unwrap().taken, CHECKS as usize);
    assert_eq!(stored(&store), (1..=refused).collect::<Vec<_>>());
}

#[test]
fn below_its_reserve_the_store_writes_nothing() {
    let directory = directory();
    let store = Store::open(directory.path(), Options { reserve_bytes: u64::MAX, ..exact() }).unwrap();
    put(&store, 1, &location("paris"), &[pass(1, at(0), 5)]).unwrap();
    assert!(matches!(store.flush(), Err(WriteError::DiskFull)));
    assert!(matches!(store.maintain(at(86_400), history::Budget::default()), Err(WriteError::DiskFull)));
    assert_eq!(store.latest(CheckSlot(1)).unwrap().items[0].scheduled, at(0));
    let usage = store.disk_usage().unwrap();
    assert!(usage.volume_bytes > 0 && (0.0..=1.0).contains(&usage.free_ratio()));
    assert_eq!(store.range(CheckSlot(1), Timestamp::EPOCH, at(1), 9).unwrap().items.len(), 1);
}

#[test]
fn a_unit_for_which_there_is_no_room_is_imported_when_there_is() {
    let (directory, source) = (directory(), self::directory());
    let Some(volume) = Volume::mount(directory.path()) else { return };
    let whole = open(source.path());
    for index in 1..=240 {
        put(&whole, index, &location("paris"), &entry(index)).unwrap();
    }
    let into = open(&directory.path().join("history"));
    let unit = Unit::whole(Span::of(Kind::Results, at(0)));
    let bytes = whole.export(&unit, usize::MAX, None).unwrap().bytes;
    let ballast = volume.fill_up();
    for _ in 0..3 {
        let error = into.import(&bytes).unwrap_err();
        assert!(matches!(error, ImportError::Write(WriteError::DiskFull)), "{error:?}");
        assert_eq!(stored(&into), []);
    }
    fs::remove_file(ballast).unwrap();
    assert_eq!(into.import(&bytes).unwrap().items_new, 119 * u64::from(CHECKS));
    assert_eq!(stored(&into), (1..120).collect::<Vec<_>>());
}

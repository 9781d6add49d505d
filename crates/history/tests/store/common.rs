//! What the tests of the store share: a base time, made-up entries, shorthands.

use history::{Applied, ApplyError, Budget, Maintained, Options, Sample, Store};
use model::id::{CheckSlot, LocationId};
use model::observation::{Observation, Outcome};
use model::time::Timestamp;
use std::path::Path;
use std::time::Duration;

/// Midnight of a day in November 2026.
pub(crate) const DAY: i64 = 20_777;

/// A directory for a store, in memory where there is such a place: thousands of
/// small synced files take a minute on a disk, and no test here is about the disk.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// An instant after midnight of [`DAY`].
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::of_day(DAY).plus(Duration::from_secs(seconds))
}

/// Before everything.
pub(crate) const START: Timestamp = Timestamp::EPOCH;

/// After everything.
pub(crate) fn end() -> Timestamp {
    Timestamp::of_day(DAY + 1_000)
}

pub(crate) fn location(name: &str) -> LocationId {
    LocationId::new(name).unwrap()
}

pub(crate) fn observation(slot: u32, scheduled: Timestamp, outcome: Outcome, latency_us: u32) -> Observation {
    Observation { slot: CheckSlot(slot), scheduled, outcome, latency_us, detail: None }
}

pub(crate) fn pass(slot: u32, scheduled: Timestamp, latency_us: u32) -> Observation {
    observation(slot, scheduled, Outcome::Pass, latency_us)
}

/// A store that keeps microseconds, so that tests can compare exactly, and that
/// writes whatever room there is.
pub(crate) fn exact() -> Options {
    Options { precision: history::Precision::Exact, reserve_bytes: 0, ..Options::default() }
}

pub(crate) fn open(directory: &Path) -> Store {
    Store::open(directory, exact()).unwrap()
}

/// Runs maintenance until nothing is left to do.
pub(crate) fn settle(store: &Store, now: Timestamp) -> Maintained {
    let mut sum = Maintained::default();
    for _ in 0..10_000 {
        let report = store.maintain(now, Budget::default()).unwrap();
        sum.chunks += report.chunks;
        sum.rollups += report.rollups;
        sum.expired += report.expired;
        sum.unreadable += report.unreadable;
        if report.is_done {
            return Maintained { is_done: true, ..sum };
        }
    }
    panic!("maintenance never ends");
}

/// Everything stored of a check, which must be whole.
pub(crate) fn all(store: &Store, slot: u32) -> Vec<Sample> {
    let read = store.range(CheckSlot(slot), START, end(), usize::MAX).unwrap();
    assert_eq!((read.damaged, read.is_cut), (vec![], false));
    read.items
}

/// Applies results in an entry that is stamped with the latest of them.
pub(crate) fn put(
    store: &Store,
    index: u64,
    location: &LocationId,
    results: &[Observation],
) -> Result<Applied, ApplyError> {
    let at = results.iter().map(|result| result.scheduled).max().unwrap_or(START);
    store.apply(index, at, location, results)
}

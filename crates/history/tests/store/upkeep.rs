//! Upkeep: what is bounded stays bounded, what expires goes, what counts stays.

use crate::common::{DAY, START, all, at, directory, end, exact, location, observation, open, pass, put, settle};
use history::fill::{Plan, fill};
use history::limits::{EVIDENCE_PASSED_PER_HOUR, EVIDENCE_TROUBLE_PER_HOUR};
use history::{Budget, Options, Resolution, Store};
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::time::Timestamp;
use std::time::Duration;

const HOUR: u64 = 3_600;
const DAY_SECONDS: u64 = 24 * HOUR;

/// Applies a result a minute for whole days and lets time pass with them.
fn live(store: &Store, days: std::ops::Range<u64>) {
    for hour in days.start * 24..days.end * 24 {
        let results: Vec<Observation> = (0..60).map(|minute| pass(1, at(hour * HOUR + minute * 60), 9)).collect();
        put(store, store.watermark() + 1, &location("paris"), &results).unwrap();
        settle(store, at((hour + 1) * HOUR));
    }
}

fn days_of(store: &Store, resolution: Resolution) -> Vec<i64> {
    let read = store.rollups(CheckSlot(1), resolution, START, end()).unwrap();
    let mut days: Vec<i64> = read.items.iter().map(|rollup| rollup.from.day() - DAY).collect();
    days.dedup();
    days
}

#[test]
fn what_expires_is_dropped_and_its_roll_ups_stay() {
    let directory = directory();
    let options = Options { raw_days: 2, five_minute_days: 3, ..exact() };
    let store = Store::open(directory.path(), options).unwrap();
    live(&store, 0..5);
    settle(&store, at(5 * DAY_SECONDS + HOUR));
    let first = all(&store, 1)[0].scheduled.day() - DAY;
    assert_eq!(first, 3, "two whole days and the current one");
    assert_eq!(days_of(&store, Resolution::Day), [0, 1, 2, 3, 4]);
    // The month is dropped as a whole, when its last day is too old.
    assert_eq!(days_of(&store, Resolution::FiveMinutes), [0, 1, 2, 3, 4]);
    let next_month = 60;
    live(&store, next_month..next_month + 1);
    settle(&store, at((next_month + 1) * DAY_SECONDS + HOUR));
    assert_eq!(days_of(&store, Resolution::FiveMinutes), [60]);
    assert_eq!(days_of(&store, Resolution::Day), [0, 1, 2, 3, 4, 60]);
    assert_eq!(all(&store, 1).len(), 1_440);
}

#[test]
fn a_clock_that_jumps_a_year_ahead_drops_nothing() {
    let directory = directory();
    let store = Store::open(directory.path(), Options { raw_days: 2, ..exact() }).unwrap();
    live(&store, 0..2);
    assert_eq!(settle(&store, at(365 * DAY_SECONDS)).expired, 0);
    settle(&store, at(2 * DAY_SECONDS));
    assert_eq!(all(&store, 1).len(), 2 * 1_440);
}

#[test]
fn a_call_stays_within_its_budget() {
    let directory = directory();
    let store = open(directory.path());
    let results: Vec<Observation> =
        (0..50).flat_map(|slot| (0..120).map(move |minute| pass(slot, at(minute * 60), 5))).collect();
    put(&store, 1, &location("paris"), &results).unwrap();
    let budget = Budget { results: 500 };
    let mut calls = 0;
    loop {
        let report = store.maintain(at(2 * DAY_SECONDS), budget).unwrap();
        assert!(report.results <= 500 + 120, "{report:?}");
        calls += 1;
        assert_eq!(all(&store, 7).len(), 120, "nothing is missing half-way");
        if report.is_done {
            break;
        }
    }
    assert!(calls >= 2 * 50 * 120 / (500 + 120), "{calls}");
}

#[test]
fn late_results_reach_their_chunk_and_their_roll_ups() {
    let directory = directory();
    let store = open(directory.path());
    live(&store, 0..1);
    settle(&store, at(DAY_SECONDS + HOUR));
    let late = [observation(1, at(630), Outcome::Fail, 1), pass(2, at(60), 3)];
    put(&store, store.watermark() + 1, &location("london"), &late).unwrap();
    let check = || {
        assert_eq!(all(&store, 1).len(), 1_441);
        assert_eq!(all(&store, 2).len(), 1);
        let days = store.rollups(CheckSlot(1), Resolution::Day, START, end()).unwrap();
        let rounds: Vec<u32> = days.items.iter().map(|rollup| rollup.totals.rounds()).collect();
        assert_eq!(rounds, [1, 1_440], "by the names of locations");
        let five = store.rollups(CheckSlot(1), Resolution::FiveMinutes, at(600), at(900)).unwrap();
        assert_eq!(five.items.len(), 2);
        assert_eq!(five.items[0].totals.fail, 1);
    };
    check();
    store.flush().unwrap();
    check();
    settle(&store, at(DAY_SECONDS + 2 * HOUR));
    settle(&store, at(DAY_SECONDS + 3 * HOUR));
    assert!(!store.bytes_by_kind().contains_key("head"));
    check();
}

#[test]
fn evidence_of_failures_is_kept_and_bounded() {
    let directory = directory();
    let store = open(directory.path());
    let detail = |text: &str| Detail {
        failure: Some(Failure { cause: Cause::Status, sentence: text.to_owned() }),
        ..Detail::default()
    };
    let with_detail = |second: u64, outcome| Observation {
        detail: Some(Box::new(detail(&format!("at {second}")))),
        ..observation(1, at(second), outcome, 5)
    };
    // Two hours of failures, a good round between each two, in many entries.
    for minute in 0..120 {
        let results = [with_detail(minute * 60, Outcome::Fail), with_detail(minute * 60 + 30, Outcome::Pass)];
        put(&store, minute + 1, &location("paris"), &results).unwrap();
        if minute.is_multiple_of(7) {
            store.flush().unwrap();
        }
    }
    let check = |store: &Store| {
        let read = store.details(CheckSlot(1), START, end(), 1_000).unwrap();
        assert_eq!(read.damaged, vec![]);
        let (failed, passed): (Vec<_>, Vec<_>) = read.items.iter().partition(|e| e.outcome == Outcome::Fail);
        assert_eq!((failed.len(), passed.len()), (2 * EVIDENCE_TROUBLE_PER_HOUR, 2 * EVIDENCE_PASSED_PER_HOUR));
        assert!(read.items.is_sorted_by(|a, b| a.scheduled > b.scheduled), "newest first");
        assert_eq!(failed.last().unwrap().detail, detail("at 0"));
        let cut = store.details(CheckSlot(1), at(HOUR), end(), 3).unwrap();
        assert_eq!((cut.items.len(), cut.is_cut), (3, true));
    };
    store.flush().unwrap();
    check(&store);
    drop(store);
    check(&open(directory.path()));
}

#[test]
fn a_store_filled_for_a_benchmark_reads_like_a_real_one() {
    let plan = Plan {
        checks: 60,
        location: location("paris"),
        until: Timestamp::of_day(DAY),
        every: Duration::from_secs(60),
        day_rollups: 40,
        five_minute_rollups: 20,
        raw_checks: 10,
        raw_days: 3,
        seed: 7,
    };
    let directory = directory();
    let store = Store::open(directory.path(), exact()).unwrap();
    let mut heard = 0;
    let filled = fill(&store, &plan, &mut |done, _| heard = done).unwrap();
    assert_eq!((heard, filled.days, filled.five_minute_days), (40, 60 * 40, 60 * 20));
    let results: usize = (0..60).map(|slot| all(&store, slot).len()).sum();
    assert_eq!(results as u64, filled.results);
    let expected = history::fill::observations(&plan, CheckSlot(3), DAY - 1);
    let found = store.range(CheckSlot(3), Timestamp::of_day(DAY - 1), end(), usize::MAX).unwrap().items;
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(a, b)| (a.scheduled, a.latency_us) == (b.scheduled, b.latency_us)));
    let days = store.rollups(CheckSlot(3), Resolution::Day, START, end()).unwrap().items;
    assert_eq!(days.len(), 40);
    assert_eq!(days[39].totals.rounds() as usize, expected.len());
    let five = store.rollups(CheckSlot(50), Resolution::FiveMinutes, START, end()).unwrap().items;
    assert_eq!(five.len(), 20 * 288);
    assert_eq!(
        settle(&store, Timestamp::of_day(DAY).plus(Duration::from_secs(60))),
        history::Maintained { is_done: true, ..Default::default() }
    );
    assert!(matches!(fill(&store, &plan, &mut |_, _| ()), Err(history::fill::FillError::NotEmpty)));
}

//! What a result costs on disk.

use crate::common::{DAY, directory, location, put, settle};
use history::fill::{Plan, observations};
use history::{Budget, Options, Precision, Store};
use model::id::CheckSlot;
use model::observation::Observation;
use model::time::Timestamp;
use std::time::Duration;

/// Bytes per result of 200 checks, a round a minute, one day, applied and sealed as in life.
fn bytes_per_result(precision: Precision) -> f64 {
    let directory = directory();
    let store = Store::open(directory.path(), Options { precision, reserve_bytes: 0, ..Options::default() }).unwrap();
    let plan = Plan {
        checks: 200,
        location: location("paris"),
        until: Timestamp::of_day(DAY + 1),
        every: Duration::from_secs(60),
        day_rollups: 1,
        five_minute_rollups: 1,
        raw_checks: 200,
        raw_days: 1,
        seed: 3,
    };
    let mut results: Vec<Observation> =
        (0..plan.checks).flat_map(|slot| observations(&plan, CheckSlot(slot), DAY)).collect();
    results.sort_by_key(|result| result.scheduled);
    for (index, batch) in (1..).zip(results.chunks(1_000)) {
        assert_eq!(put(&store, index, &plan.location, batch).unwrap().outside, 0);
        store.maintain(batch[0].scheduled, Budget::default()).unwrap();
    }
    settle(&store, plan.until.plus(Duration::from_secs(3_600)));
    let bytes = store.bytes_by_kind();
    assert!(!bytes.contains_key("head"));
    let kept: usize = (0..plan.checks)
        .map(|slot| store.range(CheckSlot(slot), Timestamp::EPOCH, plan.until, usize::MAX).unwrap().items.len())
        .sum();
    assert_eq!(kept, results.len());
    bytes["raw"] as f64 / results.len() as f64
}

#[test]
fn a_result_costs_at_most_two_and_a_half_bytes() {
    let bytes = bytes_per_result(Precision::OnePercent);
    println!("{bytes:.2} B a result with latency to 1 %");
    assert!(bytes <= 2.5, "{bytes}");
}

#[test]
fn an_exact_result_costs_at_most_three_and_a_half_bytes() {
    let bytes = bytes_per_result(Precision::Exact);
    println!("{bytes:.2} B a result with exact latency");
    assert!(bytes <= 3.5, "{bytes}");
}

//! Prints what history costs: bytes a result, results a second, time to open.
//!
//! `cargo run --release -p history --example size [CHECKS] [DAYS]`; 1,000 checks
//! and 2 days by default. Sizes do not depend on the build, speeds do.

use history::fill::{Plan, observations};
use history::{Budget, Options, Precision, Store};
use model::id::{CheckSlot, LocationId};
use model::observation::Observation;
use model::time::Timestamp;
use std::path::Path;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let checks = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let days = arguments.next().map_or(Ok(2), |text| text.parse())?;
    for (name, precision) in [("to 1 %", Precision::OnePercent), ("exact", Precision::Exact)] {
        println!("{checks} checks every 60 s, {days} days, latency {name}:");
        measure(checks, days, Options { precision, ..Options::default() })?;
    }
    Ok(())
}

fn measure(checks: u32, days: u32, options: Options) -> Result<(), Failure> {
    let directory = std::env::temp_dir().join(format!("history-size-{}", std::process::id()));
    let until = Timestamp::of_day(20_777);
    let plan = Plan {
        checks,
        location: LocationId::new("paris")?,
        until,
        every: Duration::from_secs(60),
        day_rollups: days,
        five_minute_rollups: days,
        raw_checks: checks,
        raw_days: days,
        seed: 1,
    };
    let store = Store::open(&directory, options)?;
    let (mut index, mut results) = (0, 0);
    let (mut applying, mut sealing) = (Duration::ZERO, Duration::ZERO);
    for day in until.day() - i64::from(days)..until.day() {
        for batch in batches(&plan, day) {
            index += 1;
            results += batch.len();
            let now = batch.last().map_or(until, |observation| observation.scheduled);
            let started = Instant::now();
            let applied = store.apply(index, now, &plan.location, &batch)?;
            assert_eq!(applied.outside, 0, "made-up results come at their time");
            applying += started.elapsed();
            let started = Instant::now();
            store.maintain(now, Budget::default())?;
            sealing += started.elapsed();
        }
    }
    let started = Instant::now();
    while !store.maintain(until.plus(Duration::from_secs(900)), Budget::default())?.is_done {}
    sealing += started.elapsed();
    drop(store);
    let started = Instant::now();
    drop(Store::open(&directory, options)?);
    println!("  {results} results, {:.0} applied/s", results as f64 / applying.as_secs_f64());
    println!("  {:.0} sealed and rolled up/s", results as f64 / sealing.as_secs_f64());
    println!("  {:.2} B a result", bytes_of(&directory, "raw")? as f64 / results as f64);
    let check_days = f64::from(checks) * f64::from(days);
    println!("  {:.0} B of 5-minute roll-ups a check and day", bytes_of(&directory, "five")? as f64 / check_days);
    println!("  {:.0} B of daily roll-ups a check and day", bytes_of(&directory, "days")? as f64 / check_days);
    println!("  opened in {:?}", started.elapsed());
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// A day's results in the order they are due, in batches of a thousand.
fn batches(plan: &Plan, day: i64) -> Vec<Vec<Observation>> {
    let mut all: Vec<Observation> =
        (0..plan.checks).flat_map(|slot| observations(plan, CheckSlot(slot), day)).collect();
    all.sort_by_key(|observation| observation.scheduled);
    all.chunks(1_000).map(<[Observation]>::to_vec).collect()
}

fn bytes_of(directory: &Path, kind: &str) -> Result<u64, Failure> {
    let store = Store::open(directory, Options::default())?;
    Ok(store.bytes_by_kind().get(kind).copied().unwrap_or(0))
}

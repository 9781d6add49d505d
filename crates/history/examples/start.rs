//! Fills a store with made-up history and prints how long opening takes, what
//! reading costs, and how much memory is used.
//!
//! `cargo run --release -p history --example start [CHECKS] [RAW_CHECKS]`;
//! 10,000 and 1,000 by default, with 90 days of roll-ups and 30 days of results.

use history::fill::{Plan, fill};
use history::{Options, Resolution, Store};
use model::id::{CheckSlot, LocationId};
use model::time::Timestamp;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let checks = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let raw_checks = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let until = Timestamp::of_day(20_777);
    let plan = Plan {
        checks,
        location: LocationId::new("paris")?,
        until,
        every: Duration::from_secs(60),
        day_rollups: 90,
        five_minute_rollups: 90,
        raw_checks,
        raw_days: 30,
        seed: 1,
    };
    let directory = std::env::temp_dir().join(format!("history-start-{}", std::process::id()));
    let started = Instant::now();
    let store = Store::open(&directory, Options::default())?;
    let filled = fill(&store, &plan, &mut |_, _| ())?;
    println!("filled with {filled:?} in {:?}", started.elapsed());
    println!("bytes by kind: {:?}", store.bytes_by_kind());
    drop(store);

    let before = resident_kib();
    let started = Instant::now();
    let store = Store::open(&directory, Options::default())?;
    println!("opened in {:?}, {} KiB more resident", started.elapsed(), resident_kib().saturating_sub(before));
    let day = Duration::from_secs(86_400);
    time("a day of results", raw_checks, |slot| Ok(store.range(slot, until.minus(day), until, 10_000)?.items.len()))?;
    time("the latest result", raw_checks, |slot| Ok(store.latest(slot)?.items.len()))?;
    time("a day of 5-minute roll-ups", checks, |slot| {
        Ok(store.rollups(slot, Resolution::FiveMinutes, until.minus(day), until)?.items.len())
    })?;
    time("90 daily roll-ups", checks, |slot| {
        Ok(store.rollups(slot, Resolution::Day, until.minus(day * 90), until)?.items.len())
    })?;
    println!("{} KiB more resident after reading", resident_kib().saturating_sub(before));
    drop(store);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Prints the median and the slowest of some hundred reads of different checks.
fn time(what: &str, checks: u32, read: impl Fn(CheckSlot) -> Result<usize, Failure>) -> Result<(), Failure> {
    let mut times = Vec::new();
    let mut items = 0;
    for number in 0..300u32 {
        let started = Instant::now();
        items += read(CheckSlot(number.wrapping_mul(2_654_435_761) % checks))?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("{what}: median {:?}, slowest {:?}, {} each", times[150], times[299], items / 300);
    Ok(())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

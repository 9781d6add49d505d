//! Prints what comparing, exporting and importing history costs.
//!
//! `cargo run --release -p history --example exchange [CHECKS]`; a day of
//! results, one a minute, of 10,000 checks by default.

use history::exchange::{Kind, Unit, differing};
use history::fill::{Plan, fill};
use history::{Budget, Options, Store};
use model::id::LocationId;
use model::time::Timestamp;
use std::path::Path;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let checks = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let until = Timestamp::of_day(20_777);
    let plan = Plan {
        checks,
        location: LocationId::new("paris")?,
        until,
        every: Duration::from_secs(60),
        day_rollups: 30,
        five_minute_rollups: 2,
        raw_checks: checks,
        raw_days: 1,
        seed: 1,
    };
    let directory = std::env::temp_dir().join(format!("history-exchange-{}", std::process::id()));
    let from = Store::open(&directory.join("from"), Options::default())?;
    let filled = fill(&from, &plan, &mut |_, _| ())?;
    println!("{checks} checks, {} results, {} KiB resident", filled.results, resident_kib());
    let (window, day) = (Duration::from_secs(7_200), Duration::from_secs(86_400));
    let begin = until.minus(day);
    time("digests of a window", || Ok(from.digests(Kind::Results, begin, begin.plus(window))?.len()))?;
    time("digests of the day, that window remembered", || Ok(from.digests(Kind::Results, begin, until)?.len()))?;
    time("digests of the day, remembered", || Ok(from.digests(Kind::Results, begin, until)?.len()))?;
    time("digests of a day of 5-minute roll-ups", || Ok(from.digests(Kind::FiveMinutes, begin, until)?.len()))?;
    time("digests of a month of daily roll-ups", || Ok(from.digests(Kind::Days, begin.minus(day * 29), until)?.len()))?;
    println!("{} KiB resident", resident_kib());

    let into = Store::open(&directory.join("into"), Options::default())?;
    for (kind, since) in
        [(Kind::Results, begin), (Kind::FiveMinutes, begin.minus(day)), (Kind::Days, begin.minus(day * 29))]
    {
        copy(&from, &into, kind, since, until)?;
    }
    println!("{} KiB resident", resident_kib());
    let unit = Unit::whole(history::exchange::Span::of(Kind::Results, begin));
    let known = from.export(&unit, usize::MAX, None)?.bytes;
    time("importing a known unit again", || Ok(into.import(&known)?.items_known as usize))?;
    let started = Instant::now();
    let mut now = until.plus(Duration::from_secs(900));
    let mut rollups = 0;
    for _ in 0..3 {
        loop {
            let report = into.maintain(now, Budget::default())?;
            rollups += report.rollups;
            if report.is_done {
                break;
            }
        }
        now = now.plus(Duration::from_secs(900));
    }
    println!("rolled up {rollups} days of a check in {:?}", started.elapsed());
    time("copying for a backup", || Ok(from.backup(&directory.join("copy"))? as usize))?;
    for kind in [Kind::Results, Kind::Days] {
        let (ours, theirs) = (into.digests(kind, begin, until)?, from.digests(kind, begin, until)?);
        assert!(!theirs.is_empty() && ours == theirs, "they end equal");
    }
    println!("{:?} bytes there, {:?} here", sizes(&from), sizes(&into));
    drop((from, into));
    std::fs::remove_dir_all(Path::new(&directory))?;
    Ok(())
}

/// Copies all that differs and prints how long that took.
fn copy(from: &Store, into: &Store, kind: Kind, since: Timestamp, until: Timestamp) -> Result<(), Failure> {
    let units = differing(&into.digests(kind, since, until)?, &from.digests(kind, since, until)?);
    let (mut exporting, mut importing, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut bytes, mut items, mut count) = (0, 0, 0);
    for unit in units {
        let mut cursor = None;
        loop {
            let started = Instant::now();
            let exported = from.export(&unit, usize::MAX, cursor.as_ref())?;
            exporting += started.elapsed();
            let started = Instant::now();
            items += into.import(&exported.bytes)?.items_new;
            importing += started.elapsed();
            longest = longest.max(started.elapsed());
            bytes += exported.bytes.len();
            count += 1;
            cursor = exported.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    println!(
        "{kind:?}: {items} items in {count} units of {bytes} bytes, exported in {exporting:?}, imported in {importing:?}, longest {longest:?}"
    );
    Ok(())
}

fn time(what: &str, work: impl FnOnce() -> Result<usize, Failure>) -> Result<(), Failure> {
    let started = Instant::now();
    let count = work()?;
    println!("{what}: {:?} ({count})", started.elapsed());
    Ok(())
}

fn sizes(store: &Store) -> Vec<(&'static str, u64)> {
    store.bytes_by_kind().into_iter().collect()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

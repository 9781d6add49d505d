//! Prints what comparing, exporting and importing history costs.
//!
//! `cargo run --release -p history --example exchange [CHECKS]`; a day of
//! results, one a minute, of 10,000 checks by default.

use history::exchange::{Kind, Span, Unit, differing};
use history::fill::{Plan, fill};
use history::{Budget, Options, Store};
use model::id::LocationId;
use model::time::Timestamp;
use std::path::Path;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

const WINDOW: Duration = Duration::from_secs(7_200);
const DAY: Duration = Duration::from_secs(86_400);

fn main() -> Result<(), Failure> {
    let checks = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let until = Timestamp::of_day(20_777);
    let directory = std::env::temp_dir().join(format!("history-exchange-{}", std::process::id()));
    let from = filled(&directory.join("from"), checks, until)?;
    compare(&from, until)?;
    let into = Store::open(&directory.join("into"), Options::default())?;
    for (kind, days) in [(Kind::Results, 1), (Kind::FiveMinutes, 2), (Kind::Days, 30)] {
        copy(&from, &into, kind, until.minus(DAY * days), until)?;
    }
    println!("{} KiB resident", resident_kib());
    let unit = Unit::whole(Span::of(Kind::Results, until.minus(DAY)));
    let known = from.export(&unit, usize::MAX, None)?.bytes;
    time("importing a known unit again", || Ok(into.import(&known)?.items_known as usize))?;
    roll_up(&into, until)?;
    time("copying for a backup", || Ok(from.backup(&directory.join("copy"))? as usize))?;
    for kind in [Kind::Results, Kind::Days] {
        let [here, there] = [&into, &from].map(|store| store.digests(kind, until.minus(DAY), until));
        assert!(here? == there?, "they end equal");
    }
    println!("{:?} bytes there, {:?} here", from.bytes_by_kind(), into.bytes_by_kind());
    drop((from, into));
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn filled(directory: &Path, checks: u32, until: Timestamp) -> Result<Store, Failure> {
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
    let store = Store::open(directory, Options::default())?;
    let filled = fill(&store, &plan, &mut |_, _| ())?;
    println!("{checks} checks, {} results, {} KiB resident", filled.results, resident_kib());
    Ok(store)
}

fn compare(store: &Store, until: Timestamp) -> Result<(), Failure> {
    let begin = until.minus(DAY);
    let digests = |what: &str, kind, from, upto| time(what, || Ok(store.digests(kind, from, upto)?.len()));
    digests("digests of a window", Kind::Results, begin, begin.plus(WINDOW))?;
    digests("digests of the day, that window remembered", Kind::Results, begin, until)?;
    digests("digests of the day, remembered", Kind::Results, begin, until)?;
    digests("digests of a day of 5-minute roll-ups", Kind::FiveMinutes, begin, until)?;
    digests("digests of a month of daily roll-ups", Kind::Days, until.minus(DAY * 30), until)?;
    println!("{} KiB resident", resident_kib());
    Ok(())
}

/// Has the roll-ups of the imported day made, which waits until no more comes.
fn roll_up(store: &Store, until: Timestamp) -> Result<(), Failure> {
    let started = Instant::now();
    let mut rollups = 0;
    for quarter in 1..=3 {
        loop {
            let report = store.maintain(until.plus(Duration::from_secs(900) * quarter), Budget::default())?;
            rollups += report.rollups;
            if report.is_done {
                break;
            }
        }
    }
    println!("rolled up {rollups} days of a check in {:?}", started.elapsed());
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

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

//! Measures how many checks a second one core carries out, and what one costs.
//!
//! `cargo run --release -p probe --example rate -- URL [SECONDS [IN_FLIGHT [CA_FILE]]]`
//!
//! Runs HTTP checks of one URL on one thread, each over a new connection, or
//! echoes to the host of an `icmp://HOST`, with
//! so many in flight at once (64 unless said otherwise), and prints the rate and
//! the CPU time of this process for each check. Pin it to a core, and the server
//! to another, before comparing.

use model::check::{Check, CheckKind, Family, HttpCheck, HttpExpect, IcmpCheck, LatencyLimits, Trust};
use model::id::{CheckId, LocationId};
use model::observation::Outcome;
use probe::{Prepared, Prober, ProberOptions};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the rounds of one task added up to.
#[derive(Default)]
struct Tally {
    passed: u64,
    others: u64,
    /// The sentence of one that did not pass.
    example: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let url = words.next().ok_or("usage: rate URL [SECONDS [IN_FLIGHT [CA_FILE]]]")?;
    let seconds: u64 = words.next().map_or(Ok(5), |word| word.parse())?;
    let in_flight: usize = words.next().map_or(Ok(64), |word| word.parse())?;
    let prober = Arc::new(Prober::new(ProberOptions::default())?);
    let prepared = Arc::new(prober.prepare(&check(url, words.next()))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let duration = Duration::from_secs(seconds);
    // One short run first, so that code, caches and the server are warm.
    runtime.block_on(run(&prober, &prepared, Duration::from_millis(300), in_flight))?;
    let (cpu, started) = (clock_gettime(ClockId::ProcessCPUTime), Instant::now());
    let tally = runtime.block_on(run(&prober, &prepared, duration, in_flight))?;
    let took = started.elapsed();
    let cpu = clock_gettime(ClockId::ProcessCPUTime) - cpu;
    let checks = tally.passed + tally.others;
    let cpu_us = cpu.tv_sec as f64 * 1e6 + cpu.tv_nsec as f64 / 1e3;
    println!(
        "checks_per_second={:.0} cpu_us_per_check={:.2} cpu_load={:.3} checks={checks} not_passed={}",
        checks as f64 / took.as_secs_f64(),
        cpu_us / checks.max(1) as f64,
        cpu_us / took.as_micros() as f64,
        tally.others,
    );
    if let Some(example) = tally.example {
        println!("one that did not pass: {example}");
    }
    Ok(())
}

async fn run(
    prober: &Arc<Prober>,
    prepared: &Arc<Prepared>,
    duration: Duration,
    in_flight: usize,
) -> Result<Tally, Box<dyn Error>> {
    let until = Instant::now() + duration;
    let tasks: Vec<_> =
        (0..in_flight).map(|_| tokio::spawn(repeat(Arc::clone(prober), Arc::clone(prepared), until))).collect();
    let mut sum = Tally::default();
    for task in tasks {
        let tally = task.await?;
        sum.passed += tally.passed;
        sum.others += tally.others;
        sum.example = sum.example.or(tally.example);
    }
    Ok(sum)
}

async fn repeat(prober: Arc<Prober>, prepared: Arc<Prepared>, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let measured = prober.probe(&prepared).await;
        if measured.outcome == Outcome::Pass {
            tally.passed += 1;
        } else {
            tally.others += 1;
            tally.example = measured.detail.failure.map(|failure| failure.sentence);
        }
    }
    tally
}

fn check(url: String, ca_file: Option<String>) -> Check {
    if let Some(host) = url.strip_prefix("icmp://") {
        return check_of(CheckKind::Icmp(IcmpCheck { host: host.to_owned(), count: 1 }));
    }
    let trust = Trust { ca_file, days_left: 0, ..Trust::default() };
    let http = HttpCheck {
        url,
        method: "GET".to_owned(),
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: None,
        redirects: 0,
        proxy: None,
        trust,
        expect: HttpExpect::default(),
        close_by_reset: std::env::var_os("CLOSE_BY_RESET").is_some(),
    };
    check_of(CheckKind::Http(Box::new(http)))
}

fn check_of(kind: CheckKind) -> Check {
    Check {
        id: CheckId::new("rate").expect("a valid id"),
        kind,
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 1,
        up_after: 1,
        from: vec![LocationId::new("here").expect("a valid id")],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

//! Sends echoes to many addresses, as fping does, and prints how it went.
//!
//! `cargo run --release -p probe --example icmp_rate -- FILE [ROUNDS [IN_FLIGHT]]`
//!
//! FILE has one address a line; each gets so many rounds (60 unless said
//! otherwise) of a check with one echo, with so many checks under way at once
//! (64) on one thread. These are whole checks, prepared, timed and judged.

use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::id::{CheckId, LocationId};
use model::observation::Outcome;
use probe::{Prepared, Prober, ProberOptions};
use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What all tasks share.
struct Work {
    prober: Prober,
    checks: Vec<Prepared>,
    /// Rounds that are still to begin, of all checks together.
    left: Cell<usize>,
    not_passed: Cell<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("usage: icmp_rate FILE [ROUNDS [IN_FLIGHT]]")?;
    let rounds: usize = words.next().map_or(Ok(60), |word| word.parse())?;
    let in_flight: usize = words.next().map_or(Ok(64), |word| word.parse())?;
    let prober = Prober::new(ProberOptions::default())?;
    let text = std::fs::read_to_string(file)?;
    let checks = text.lines().map(|host| prober.prepare(&check(host))).collect::<Result<Vec<_>, _>>()?;
    let echoes = checks.len() * rounds;
    let work = Rc::new(Work { prober, checks, left: Cell::new(echoes), not_passed: Cell::new(0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = Instant::now();
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = (0..in_flight).map(|_| local.spawn_local(repeat(Rc::clone(&work)))).collect();
    local.block_on(&runtime, async {
        for task in tasks {
            task.await?;
        }
        Ok::<(), tokio::task::JoinError>(())
    })?;
    let rate = echoes as f64 / started.elapsed().as_secs_f64();
    println!("echoes={echoes} echoes_per_second={rate:.0} not_passed={}", work.not_passed.get());
    Ok(())
}

/// Takes rounds until none is left, check after check, so that no address gets two at a time.
async fn repeat(work: Rc<Work>) {
    while let Some(left) = work.left.get().checked_sub(1) {
        work.left.set(left);
        let measured = work.prober.probe(&work.checks[left % work.checks.len()]).await;
        if measured.outcome != Outcome::Pass {
            work.not_passed.set(work.not_passed.get() + 1);
        }
    }
}

fn check(host: &str) -> Check {
    Check {
        id: CheckId::new("rate").expect("a valid id"),
        kind: CheckKind::Icmp(IcmpCheck { host: host.to_owned(), count: 1 }),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
        retry: Duration::from_secs(5),
        down_after: 1,
        up_after: 1,
        from: vec![LocationId::new("here").expect("a valid id")],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

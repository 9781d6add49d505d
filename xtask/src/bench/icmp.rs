//! Echoes to a thousand addresses of this machine, against fping, each run in
//! a fresh process: fping has 65,536 sequence numbers and keeps each for ten
//! seconds, so a run stays below that.

use super::Bench;
use super::engine::used_while;
use super::figure::{Figure, Target};
use super::pairs::Pairs;
use super::program::{Core, need, on};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::Instant;

/// Addresses.
const TARGETS: u32 = 1_000;
/// Echoes to each.
const ROUNDS: u32 = 60;
/// Processes of one run: processor time is counted in hundredths of a second,
/// of which a single process uses two dozen.
const PROCESSES: u32 = 4;
/// Share of echoes that may be lost before a run counts for nothing.
const LOST_MAX: f64 = 0.01;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    need(&["fping", "taskset"])?;
    let list = bench.directory.join("targets");
    let targets: Vec<String> =
        (0..TARGETS).map(|number| format!("127.0.{}.{}\n", 1 + number / 250, 1 + number % 250)).collect();
    std::fs::write(&list, targets.concat())?;
    let count = bench.arguments.pairs;
    bench.show.begin("icmp: engine and fping", count as u64);
    let mut rates = Pairs::default();
    let (show, icmp_rate) = (&bench.show, &bench.binaries.icmp_rate);
    let engine = || {
        let run = several(|| engine(icmp_rate, &list))?;
        rates.first.push(run.rate);
        Ok(run.for_a_second)
    };
    let opponent = || {
        let run = several(|| fping(&list))?;
        rates.second.push(run.rate);
        Ok(run.for_a_second)
    };
    let pairs = Pairs::measure(count, &mut bench.shuffle, engine, opponent, || show.step())?;
    let of = |name: &str, samples: &[f64], unit, target| Figure::of("icmp", name, samples, unit, target);
    let found = [
        of("fping", &pairs.second, "/CPU-s", Target::None),
        of("engine", &pairs.first, "/CPU-s", Target::None),
        of("fping, by the clock", &rates.second, "/s", Target::None),
        of("engine, by the clock", &rates.first, "/s", Target::None),
        of("engine / fping, by the clock", &rates.ratios(), "x", Target::None),
        of("engine / fping", &pairs.ratios(), "x", Target::AtLeast(1.6)),
    ];
    found.into_iter().for_each(|figure| bench.found(figure));
    Ok(())
}

struct Run {
    /// Echoes for a second of processor time.
    for_a_second: f64,
    /// Echoes in a second of the clock.
    rate: f64,
}

/// Runs some fresh processes after each other; each returns the processor time it used.
fn several(mut once: impl FnMut() -> Result<f64>) -> Result<Run> {
    let begin = Instant::now();
    let mut used = 0.0;
    for _ in 0..PROCESSES {
        used += once()?;
    }
    let echoes = f64::from(TARGETS * ROUNDS * PROCESSES);
    Ok(Run { for_a_second: echoes / used, rate: echoes / begin.elapsed().as_secs_f64() })
}

fn fping(list: &Path) -> Result<f64> {
    let mut command = on(Core::Measured, "fping");
    command.args(["-q", "-i", "0", "-p", "1", "-c", &ROUNDS.to_string(), "-f"]).arg(list);
    let (said, used) = used_while(&mut command)?;
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("xmt/rcv/%loss")).collect();
    if lines.len() != TARGETS as usize {
        bail!("fping told of {} targets: {}", lines.len(), lines.first().unwrap_or(&said.as_str()));
    }
    // "127.0.1.1 : xmt/rcv/%loss = 60/60/0%, min/avg/max = …"
    let received: f64 =
        lines.iter().filter_map(|line| line.rsplit_once("%loss = ")?.1.split('/').nth(1)?.parse::<f64>().ok()).sum();
    let lost = f64::from(TARGETS * ROUNDS) - received;
    if lost > f64::from(TARGETS * ROUNDS) * LOST_MAX {
        bail!("fping lost {lost} echoes");
    }
    Ok(used)
}

fn engine(icmp_rate: &Path, list: &Path) -> Result<f64> {
    let mut command = on(Core::Measured, icmp_rate);
    command.arg(list).arg(ROUNDS.to_string());
    let (said, used) = used_while(&mut command)?;
    let word = said.split_whitespace().find_map(|word| word.strip_prefix("not_passed="));
    let lost: f64 = word.and_then(|word| word.parse().ok()).with_context(|| format!("the engine said: {said}"))?;
    if lost > f64::from(TARGETS * ROUNDS) * LOST_MAX {
        bail!("the engine lost {lost} echoes");
    }
    Ok(used)
}

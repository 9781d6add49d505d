//! A node with very many checks, watched for a while: memory, punctuality,
//! completeness, and how fast it answers meanwhile.
//!
//! It starts with a made-up history: roll-ups of 90 days, and an hour of
//! results of all checks that are not packed yet, which is half of what waits
//! at most.

use super::Bench;
use super::client;
use super::figure::{Figure, Target, percentile};
use super::machine;
use super::node::{Node, Watch};
use super::program::{Core, need};
use super::target::{AccessLog, Nginx};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often each check runs.
const EVERY: Duration = Duration::from_secs(60);
/// Rest between two requests of the client, so that it stays a visitor.
const REST: Duration = Duration::from_millis(40);
/// Requests between two scrapes of /metrics: about every fifteen seconds, as Prometheus does.
const SCRAPE_EVERY: usize = 300;
/// Time in which the checks start for the first time; until then memory and times are not those of the load.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    need(&["nginx"])?;
    let (checks, seconds) = (bench.arguments.checks, bench.arguments.seconds);
    let nginx = Nginx::start(&bench.directory, Core::Any, AccessLog::Paths, None)?;
    let watch = Watch::http(checks, EVERY, format!("http://127.0.0.1:{}", nginx.port));
    let configured = Node::configure(&bench.directory.join("node"), &watch)?;
    bench.show.begin("load: making up a history", 1);
    let arguments = ["--days", "90", "--raw-checks", "10000", "--raw-days", "1", "--recent-minutes", "60"];
    configured.fill(&bench.binaries.mainstay, &arguments)?;
    bench.show.begin(&format!("load: {checks} checks"), seconds);
    let begin = Instant::now();
    let (node, took) = configured.start(&bench.binaries.mainstay, Core::Any)?;
    bench.remark(format!("load: the page stood after {:.2} s", took.as_secs_f64()));
    let length = Duration::from_secs(seconds);
    let is_over = AtomicBool::new(false);
    let (resident, answers) = std::thread::scope(|scope| {
        let client = scope.spawn(|| ask(&node, checks, begin, &is_over));
        let resident = watch_memory(bench, &node, begin, length);
        is_over.store(true, Ordering::Relaxed);
        (resident, client.join().expect("the client does not panic"))
    });
    report_memory(bench, &resident?, checks);
    report_answers(bench, &answers?);
    report_rounds(bench, &node, &nginx, begin)
}

/// Resident bytes second by second.
fn watch_memory(bench: &Bench, node: &Node, begin: Instant, length: Duration) -> Result<Vec<u64>> {
    let mut resident = Vec::new();
    while begin.elapsed() < length {
        std::thread::sleep(Duration::from_secs(1));
        resident.push(machine::resident_bytes(node.program().pid())?);
        bench.show.step();
    }
    Ok(resident)
}

fn report_memory(bench: &mut Bench, resident: &[u64], checks: u32) {
    let of = |bytes: Option<&u64>| bytes.map_or(0.0, |bytes| *bytes as f64 / f64::from(checks));
    let most = of(resident.iter().max());
    let end = of(resident.last());
    bench.found(Figure::once("load", "resident memory at the end", end, "B/check", Target::AtMost(2_000.0)));
    bench.found(Figure::once("load", "resident memory at its most", most, "B/check", Target::AtMost(2_000.0)));
}

/// Asks in turn; returns the milliseconds of each answer, by what was asked.
fn ask(node: &Node, checks: u32, begin: Instant, is_over: &AtomicBool) -> Result<BTreeMap<&'static str, Vec<f64>>> {
    let mut took: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for count in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        // A stride that visits all checks, whatever their number.
        let check = count as u64 * 7_919 % u64::from(checks.max(1));
        let (name, path) = match count % 6 {
            0 => ("/", "/".to_owned()),
            1 => ("/api/v1/checks?limit=100", "/api/v1/checks?limit=100".to_owned()),
            2 => ("/api/v2/summary.json", "/api/v2/summary.json".to_owned()),
            3 => ("/api/v1/status", "/api/v1/status".to_owned()),
            4 => ("/api/v1/checks/ID", format!("/api/v1/checks/c{check}")),
            _ => ("/api/v1/checks/ID/results", format!("/api/v1/checks/c{check}/results")),
        };
        let (name, path) =
            if count % SCRAPE_EVERY == SCRAPE_EVERY - 1 { ("/metrics", "/metrics".to_owned()) } else { (name, path) };
        let answer = client::get(node.port, &path)?;
        anyhow::ensure!(answer.status == 200, "{path} answers {}", answer.status);
        if begin.elapsed() > SETTLES_WITHIN {
            took.entry(name).or_default().push(answer.took.as_secs_f64() * 1e3);
        }
        std::thread::sleep(REST);
    }
    Ok(took)
}

fn report_answers(bench: &mut Bench, answers: &BTreeMap<&'static str, Vec<f64>>) {
    for (name, samples) in answers {
        // A scrape carries all checks, tens of megabytes; it is neither a page nor a request of the API.
        let target = if *name == "/metrics" { Target::None } else { Target::AtMost(50.0) };
        if let (Some(p99), Some(p50)) = (percentile(samples, 0.99), percentile(samples, 0.5)) {
            let label = format!("{name}, p99 of {}", samples.len());
            bench.found(Figure::once("load", label, p99, "ms", target));
            bench.found(Figure::once("load", format!("{name}, p50"), p50, "ms", Target::None));
        }
    }
}

fn report_rounds(bench: &mut Bench, node: &Node, nginx: &Nginx, begin: Instant) -> Result<()> {
    let metrics = node.metrics()?;
    let ran_for = begin.elapsed();
    // The server's log is written a second late.
    std::thread::sleep(Duration::from_secs(2));
    let number = |name: &str| metrics.get(name).copied().with_context(|| format!("no {name} in /metrics"));
    let started = number("mainstay_probe_started_total")?;
    let late = number("mainstay_probe_late_total")?;
    let skipped = number("mainstay_probe_skipped_total")?;
    let judged = number("mainstay_probe_checks_total")?;
    let punctual = 100.0 * (started - late) / (started + skipped).max(1.0);
    bench.found(Figure::once("load", "started within 1 s", punctual, "%", Target::AtLeast(99.9)));
    let judged = 100.0 * judged / started.max(1.0);
    bench.found(Figure::once("load", "started rounds that are judged", judged, "%", Target::AtLeast(99.5)));
    let mut rounds: BTreeMap<String, u64> = BTreeMap::new();
    for path in nginx.paths_asked()? {
        *rounds.entry(path).or_default() += 1;
    }
    let due = ran_for.as_secs() / EVERY.as_secs();
    let behind = rounds.values().filter(|count| **count < due).count() + missing(bench, &rounds);
    bench.found(Figure::once("load", "checks that missed a round", behind as f64, "", Target::AtMost(0.0)));
    let used = node.program().used()? / ran_for.as_secs_f64() * 100.0;
    bench.found(Figure::once("load", "processor of the node", used, "% of one", Target::None));
    let mut threads: Vec<(f64, String)> = node.threads().into_iter().map(|(kind, used)| (used, kind)).collect();
    threads.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said: Vec<String> = threads.iter().take(6).map(|(used, kind)| format!("{kind} {used:.1} s")).collect();
    bench.remark(format!("load: {started} rounds, {late} late, {skipped} skipped; {}", said.join(", ")));
    Ok(())
}

fn missing(bench: &Bench, rounds: &BTreeMap<String, u64>) -> usize {
    (bench.arguments.checks as usize).saturating_sub(rounds.len())
}

//! From the start of the process to the page and to the first check, with very
//! many checks and a large history, and whether the size of the history matters.

use super::Bench;
use super::figure::{Figure, Target, median};
use super::node::{Configured, Node, Watch};
use super::program::Core;
use super::server::Server;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Checks with single results, the larger history and the smaller one.
const RAW_CHECKS: [u32; 2] = [10_000, 1_000];
/// Days of single results.
const RAW_DAYS: &str = "30";
/// Days of roll-ups.
const DAYS: &str = "90";
/// How long a node runs before it is started again.
const RUNS: Duration = Duration::from_secs(12);
/// How long the first check may take to come.
const FIRST_CHECK_WITHIN: Duration = Duration::from_secs(60);

/// How a node ended before it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It was asked to stop.
    Stopped,
    /// It was killed in the middle of its work.
    Killed,
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "after a stop",
            Self::Killed => "after kill -9",
        }
    }
}

/// Seconds of one start.
#[derive(Debug, Clone, Copy)]
struct Took {
    page: f64,
    first_check: f64,
}

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let rounds = bench.arguments.pairs;
    let server = Server::start()?;
    let mut pages = Vec::new();
    for raw_checks in RAW_CHECKS {
        let name = format!("{RAW_DAYS} days raw of {raw_checks} checks");
        let configured = fill(bench, &server, raw_checks)?;
        let first = start(bench, &configured, &server)?.0;
        bench.found(Figure::once("start", format!("{name}, new configuration: page"), first.page, "s", Target::None));
        bench.show.begin(&format!("start: {name}"), 2 * rounds as u64);
        for ending in [Ending::Stopped, Ending::Killed] {
            let mut took = Vec::new();
            for _ in 0..rounds {
                run_and_end(bench, &configured, &server, ending)?;
                let (once, node) = start(bench, &configured, &server)?;
                took.push(once);
                drop(node);
                bench.show.step();
            }
            let page: Vec<f64> = took.iter().map(|took| took.page).collect();
            let check: Vec<f64> = took.iter().map(|took| took.first_check).collect();
            if ending == Ending::Stopped {
                pages.push(median(&page).context("no rounds")?);
            }
            let ending = ending.name();
            for (what, samples) in [("page", page), ("first check", check)] {
                let name = format!("{name}, {ending}: {what}");
                bench.found(Figure::of("start", name, &samples, "s", Target::AtMost(1.0)));
            }
        }
        std::fs::remove_dir_all(&configured.directory)?;
    }
    let ratio = pages[0] / pages[1];
    bench.found(Figure::once("start", "page, ten times the raw history / once", ratio, "x", Target::AtMost(1.25)));
    Ok(())
}

fn fill(bench: &mut Bench, server: &Server, raw_checks: u32) -> Result<Configured> {
    let base = format!("http://127.0.0.1:{}", server.port);
    let watch = Watch::http(bench.arguments.checks, Duration::from_secs(60), base);
    let configured = Node::configure(&bench.directory.join(format!("raw-{raw_checks}")), &watch)?;
    let begin = Instant::now();
    bench.show.begin(&format!("start: making up {RAW_DAYS} days raw of {raw_checks} checks"), 1);
    let raw = raw_checks.to_string();
    let arguments = ["--days", DAYS, "--raw-checks", &raw, "--raw-days", RAW_DAYS];
    configured.fill(&bench.binaries.mainstay, &arguments)?;
    let bytes = bytes_below(&configured.directory)? / (1 << 20);
    bench.remark(format!(
        "start: history of {raw_checks} raw checks made up in {:.0} s, {bytes} MiB",
        begin.elapsed().as_secs_f64()
    ));
    Ok(configured)
}

fn start(bench: &Bench, configured: &Configured, server: &Server) -> Result<(Took, Node)> {
    server.take();
    let begin = super::machine::wall();
    let (node, page) = configured.start(&bench.binaries.mainstay, Core::Any)?;
    let deadline = Instant::now() + FIRST_CHECK_WITHIN;
    loop {
        if let Some(came) = server.take().first() {
            let first_check = came.at.saturating_sub(begin).as_secs_f64();
            return Ok((Took { page: page.as_secs_f64(), first_check }, node));
        }
        anyhow::ensure!(Instant::now() < deadline, "no check came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn run_and_end(bench: &Bench, configured: &Configured, server: &Server, ending: Ending) -> Result<()> {
    let (_, node) = start(bench, configured, server)?;
    std::thread::sleep(RUNS);
    match ending {
        Ending::Stopped => {}
        Ending::Killed => node.program().signal(Signal::KILL)?,
    }
    drop(node);
    Ok(())
}

/// Bytes of all files below a directory.
///
/// # Errors
/// It cannot be listed.
pub(super) fn bytes_below(directory: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        bytes += if facts.is_dir() { bytes_below(&entry.path())? } else { facts.len() };
    }
    Ok(bytes)
}

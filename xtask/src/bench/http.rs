//! HTTP checks over a new connection each, judged and stored, for a second of
//! processor time: the whole node against wrk and against blackbox_exporter.
//!
//! The node watches so many checks every second that it fills about half of a
//! processor, which is how it is run, and then so many that they do not fit.

use super::engine::{RUN_SECONDS, checks_for_a_second, wrk};
use super::figure::{Figure, Target, median};
use super::node::{Node, Watch};
use super::pairs::Pairs;
use super::program::{Core, Program, free_port, need, on, wait_for_port};
use super::target::{AccessLog, Nginx};
use super::{Bench, machine};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::time::Duration;

/// The header without which wrk keeps its connections; without the space it is silently ignored.
const CLOSE: &str = "Connection: close";
/// How long a node that was halted may take to be as before.
const WARM_UP: Duration = Duration::from_secs(2);
/// Part of a processor that the relaxed node is given checks for, by what the engine alone can do.
const RELAXED: f64 = 0.35;
/// The same for the node that is given too many.
const TOO_MANY: f64 = 1.3;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    need(&["nginx", "wrk", "prometheus-blackbox-exporter", "taskset"])?;
    let nginx = Nginx::start(&bench.directory, Core::Other, AccessLog::Off, None)?;
    let base = format!("http://127.0.0.1:{}", nginx.port);
    let engine = against_wrk(bench, &base)?;
    for (name, load) in [("half a processor", RELAXED), ("more than fits", TOO_MANY)] {
        let checks = (engine * load) as u32;
        let watch = Watch::http(checks, Duration::from_secs(1), base.clone());
        let node = Halted::start(bench, &nginx, &watch)?;
        whole_node(bench, &node, &base, name)?;
        node.conclude(bench, name)?;
    }
    Ok(())
}

/// The engine alone; returns what it can do.
fn against_wrk(bench: &mut Bench, base: &str) -> Result<f64> {
    let count = bench.arguments.pairs;
    bench.show.begin("http: engine and wrk", count as u64);
    let (show, rate) = (&bench.show, &bench.binaries.rate);
    let engine = || checks_for_a_second(rate, base, None);
    let opponent = || Ok(wrk(Core::Measured, base, Some(CLOSE))?.0);
    let pairs = Pairs::measure(count, &mut bench.shuffle, engine, opponent, || show.step())?;
    let of = |name: &str, samples: &[f64], unit| Figure::of("http", name, samples, unit, Target::None);
    let found = [
        of("wrk, new connections", &pairs.second, "/CPU-s"),
        of("engine alone", &pairs.first, "/CPU-s"),
        of("engine alone / wrk", &pairs.ratios(), "x"),
    ];
    found.into_iter().for_each(|figure| bench.found(figure));
    median(&pairs.first).context("no pairs")
}

fn whole_node(bench: &mut Bench, node: &Halted, base: &str, name: &str) -> Result<()> {
    let count = bench.arguments.pairs;
    bench.show.begin(&format!("http: node with {name}, and wrk"), count as u64);
    let show = &bench.show;
    let opponent = || Ok(wrk(Core::Measured, base, Some(CLOSE))?.0);
    let pairs = Pairs::measure(count, &mut bench.shuffle, || node.checks_for_a_second(), opponent, || show.step())?;
    bench.found(Figure::of("http", format!("node, {name}"), &pairs.first, "/CPU-s", Target::None));
    let target = Target::AtLeast(0.85);
    bench.found(Figure::of("http", format!("node, {name} / wrk"), &pairs.ratios(), "x", target));
    bench.show.begin(&format!("http: node with {name}, and blackbox_exporter"), count as u64);
    let exporter = Exporter::start(bench)?;
    let show = &bench.show;
    let opponent = || exporter.checks_for_a_second(base);
    let pairs = Pairs::measure(count, &mut bench.shuffle, || node.checks_for_a_second(), opponent, || show.step())?;
    bench.found(Figure::of("http", "blackbox_exporter", &pairs.second, "/CPU-s", Target::None));
    let target = Target::AtLeast(10.0);
    bench.found(Figure::of("http", format!("node, {name} / blackbox_exporter"), &pairs.ratios(), "x", target));
    Ok(())
}

/// A node that runs only while it is measured.
pub(super) struct Halted<'a> {
    node: Node,
    nginx: &'a Nginx,
}

impl<'a> Halted<'a> {
    /// Starts a node and halts it.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(bench: &Bench, nginx: &'a Nginx, watch: &Watch) -> Result<Self> {
        let configured = Node::configure(&bench.directory.join(format!("node-{}", watch.checks)), watch)?;
        let (node, _) = configured.start(&bench.binaries.mainstay, Core::Measured)?;
        // Every check has had its first round, which is in full.
        std::thread::sleep(WARM_UP * 3);
        let halted = Self { node, nginx };
        halted.halt()?;
        Ok(halted)
    }

    /// Checks for a second of the node's processor time.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn checks_for_a_second(&self) -> Result<f64> {
        self.go_on()?;
        std::thread::sleep(WARM_UP);
        let (requests, used) = (self.nginx.requests()?, self.node.program().used()?);
        std::thread::sleep(Duration::from_secs(RUN_SECONDS));
        let requests = self.nginx.requests()? - requests;
        let used = self.node.program().used()? - used;
        self.halt()?;
        Ok(requests as f64 / used)
    }

    /// Proves that what was counted at the server was judged and kept, and says who used the time.
    ///
    /// # Errors
    /// Results are missing.
    pub(super) fn conclude(self, bench: &mut Bench, name: &str) -> Result<()> {
        self.go_on()?;
        std::thread::sleep(WARM_UP);
        let (before, used) = (self.node.metrics()?, self.node.threads());
        std::thread::sleep(Duration::from_secs(RUN_SECONDS));
        let (threads, after) = (self.node.threads(), self.node.metrics()?);
        let grown = |name: &str| {
            let of = |metrics: &std::collections::BTreeMap<String, f64>| metrics.get(name).copied().unwrap_or(0.0);
            of(&after) - of(&before)
        };
        let (judged, started) = (grown("mainstay_probe_checks_total"), grown("mainstay_probe_started_total"));
        let skipped = grown("mainstay_probe_skipped_total");
        if judged < 0.9 * started {
            bail!("of {started} checks only {judged} were judged");
        }
        let mut shares: Vec<(f64, &String)> =
            threads.iter().map(|(kind, now)| (now - used.get(kind).unwrap_or(&0.0), kind)).collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        let all: f64 = shares.iter().map(|(seconds, _)| seconds).sum();
        let shares: Vec<String> =
            shares.iter().take(6).map(|(seconds, kind)| format!("{kind} {:.0} %", 100.0 * seconds / all)).collect();
        let load = 100.0 * all / RUN_SECONDS as f64;
        let seconds = RUN_SECONDS;
        bench.remark(format!(
            "node, {name}: in {seconds} s {started} checks started, {judged} judged, {skipped} skipped; it used {load:.0} % of its processor: {}",
            shares.join(", ")
        ));
        Ok(())
    }

    fn halt(&self) -> Result<()> {
        self.node.program().signal(Signal::STOP)
    }

    fn go_on(&self) -> Result<()> {
        self.node.program().signal(Signal::CONT)
    }
}

/// A running blackbox_exporter.
struct Exporter {
    program: Program,
    port: u16,
}

impl Exporter {
    fn start(bench: &Bench) -> Result<Self> {
        let configuration = bench.directory.join("blackbox.yml");
        std::fs::write(&configuration, "modules: { http_2xx: { prober: http, timeout: 5s } }\n")?;
        let port = free_port()?;
        let mut command = on(Core::Measured, "prometheus-blackbox-exporter");
        command.arg(format!("--config.file={}", configuration.display()));
        command.args([&format!("--web.listen-address=127.0.0.1:{port}"), "--log.level=error"]);
        let program = Program::start("blackbox_exporter", &mut command, &bench.directory.join("blackbox"))?;
        wait_for_port(port, Duration::from_secs(10))?;
        Ok(Self { program, port })
    }

    /// wrk asks it to probe, on connections that stay: only the probing is compared.
    fn checks_for_a_second(&self, base: &str) -> Result<f64> {
        let url = format!("http://127.0.0.1:{}/probe?module=http_2xx&target={base}/", self.port);
        let before = machine::used_by(self.program.pid())?;
        let (_, requests) = wrk(Core::Other, &url, None)?;
        Ok(requests / (machine::used_by(self.program.pid())? - before))
    }
}

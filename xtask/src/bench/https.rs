//! HTTPS checks with full handshakes and verified chains, for a second of
//! processor time, against `openssl s_time -new`.
//!
//! The engine remembers verified chains and checks the handshake's signature
//! every time; there is no switch, so only that is measured.

use super::Bench;
use super::engine::{checks_for_a_second, s_time};
use super::figure::{Figure, Target, median};
use super::http::Halted;
use super::node::Watch;
use super::pairs::Pairs;
use super::program::{Core, need};
use super::target::{AccessLog, Chain, Nginx};
use anyhow::{Context, Result};
use std::time::Duration;

/// Part of a processor that the node is given checks for, by what the engine alone can do.
const RELAXED: f64 = 0.4;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    need(&["nginx", "openssl", "taskset"])?;
    let chain = Chain::make(&bench.directory)?;
    let nginx = Nginx::start(&bench.directory, Core::Other, AccessLog::Off, Some(&chain))?;
    let base = format!("https://127.0.0.1:{}", nginx.tls_port);
    let count = bench.arguments.pairs;
    bench.show.begin("https: engine and s_time", count as u64);
    let (show, rate) = (&bench.show, &bench.binaries.rate);
    let engine = || checks_for_a_second(rate, &base, Some(&chain.root));
    let opponent = || s_time(nginx.tls_port, &chain.root);
    let pairs = Pairs::measure(count, &mut bench.shuffle, engine, opponent, || show.step())?;
    let of = |name: &str, samples: &[f64], unit| Figure::of("https", name, samples, unit, Target::None);
    let found = [
        of("openssl s_time -new", &pairs.second, "/CPU-s"),
        of("engine alone", &pairs.first, "/CPU-s"),
        of("engine alone / s_time", &pairs.ratios(), "x"),
    ];
    found.into_iter().for_each(|figure| bench.found(figure));
    let checks = (median(&pairs.first).context("no pairs")? * RELAXED) as u32;
    let keys = format!(", ca_file: \"{}\"", chain.root.display());
    let watch = Watch { keys, ..Watch::http(checks, Duration::from_secs(1), base) };
    let node = Halted::start(bench, &nginx, &watch)?;
    bench.show.begin("https: node and s_time", count as u64);
    let show = &bench.show;
    let opponent = || s_time(nginx.tls_port, &chain.root);
    let pairs = Pairs::measure(count, &mut bench.shuffle, || node.checks_for_a_second(), opponent, || show.step())?;
    bench.found(Figure::of("https", "node, chains remembered", &pairs.first, "/CPU-s", Target::None));
    let target = Target::AtLeast(4.0);
    bench.found(Figure::of("https", "node, chains remembered / s_time", &pairs.ratios(), "x", target));
    node.conclude(bench, "https")
}

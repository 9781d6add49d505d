//! Long runs of what the tests run briefly: random faults on real nodes, by a
//! seed, and kills of one.

use crate::process;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One torture of a soak; then another seed begins with a fresh cluster.
const SOAK_MINUTES: u64 = 10;

/// Which nodes, how long, by which seed.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// Nodes: 3 or 5
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    nodes: u8,
    /// How long faults come and go
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// What draws the faults; a new one if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Kinds of faults to leave out, by the names in the summary: to look behind a mistake that is known
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Torture the binary as it is released: faster, and without the switches that find mistakes early
    #[arg(long)]
    release: bool,
}

/// How much.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Kills of a single node, about a second each
    #[arg(default_value_t = 1_000)]
    kills: u64,
    /// Hours of torture of three and five nodes in turn, each seed for ten minutes; instead of kills
    #[arg(long, conflicts_with = "kills")]
    hours: Option<u64>,
    /// Take the binary as it is released
    #[arg(long)]
    release: bool,
}

/// Tortures real nodes once.
///
/// # Errors
/// Something was found; what, and where it is kept, has been said.
pub(crate) fn run(torture: &Torture) -> Result<()> {
    let binary = torture.release.then(release_binary).transpose()?;
    once(torture, torture.seed.unwrap_or_else(new_seed), binary.as_ref())
}

/// Kills the real binary over and over, or tortures several for hours.
///
/// # Errors
/// Something was found.
pub(crate) fn soak(soak: &Soak) -> Result<()> {
    let binary = soak.release.then(release_binary).transpose()?;
    let Some(hours) = soak.hours else {
        let mut command = process::cargo(&["test", "--package", "it", "--test", "kills"])?;
        command.env("MAINSTAY_KILLS", soak.kills.to_string());
        return process::run(with_binary(&mut command, binary.as_ref()));
    };
    let end = Instant::now() + Duration::from_secs(hours * 3600);
    let (mut runs, mut failed) = (0, Vec::new());
    while Instant::now() < end {
        let (nodes, seed) = (if runs % 2 == 0 { 3 } else { 5 }, new_seed());
        // One that found something does not stop the others: they may find something else.
        let torture = Torture { nodes, minutes: SOAK_MINUTES, seed: None, without: Vec::new(), release: soak.release };
        if let Err(error) = once(&torture, seed, binary.as_ref()) {
            eprintln!("{error:#}");
            failed.push(format!("--nodes {nodes} --minutes {SOAK_MINUTES} --seed {seed}"));
        }
        runs += 1;
        println!("soak: {runs} tortures of {SOAK_MINUTES} minutes, {} found something", failed.len());
    }
    if !failed.is_empty() {
        bail!(
            "of {runs} tortures {} found something:\ncargo xtask torture {}",
            failed.len(),
            failed.join("\ncargo xtask torture ")
        );
    }
    Ok(())
}

fn once(torture: &Torture, seed: u64, binary: Option<&PathBuf>) -> Result<()> {
    let mut command = process::cargo(&["test", "--package", "it", "--test", "torture", "--", "--nocapture"])?;
    command.env("MAINSTAY_TORTURE_NODES", torture.nodes.to_string());
    command.env("MAINSTAY_TORTURE_SECONDS", (torture.minutes * 60).to_string());
    command.env("MAINSTAY_TORTURE_SEED", seed.to_string());
    command.env("MAINSTAY_TORTURE_WITHOUT", torture.without.join(","));
    // What cannot be done here fails rather than pass as nothing.
    process::run(with_binary(command.env("CI", "true"), binary))
}

fn with_binary<'a>(command: &'a mut std::process::Command, binary: Option<&PathBuf>) -> &'a mut std::process::Command {
    match binary {
        Some(binary) => command.env("MAINSTAY_BIN", binary),
        None => command,
    }
}

fn release_binary() -> Result<PathBuf> {
    process::run(&mut process::cargo(&["build", "--release", "--package", "mainstay"])?)?;
    Ok(crate::workspace::root()?.join("target/release/mainstay"))
}

/// Short enough to be told over a telephone.
fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64) % 1_000_000
}

//! Long runs of what the tests run briefly: seeds of the simulator, and kills
//! of the real binary.

use crate::process;
use anyhow::Result;
use clap::Args;

/// How many seeds, and from which on.
#[derive(Debug, Args)]
pub(crate) struct Seeds {
    /// Seeds to run
    #[arg(default_value_t = 1_000)]
    count: u64,
    /// The first of them
    #[arg(default_value_t = 1)]
    first: u64,
}

/// How many kills.
#[derive(Debug, Args)]
pub(crate) struct Kills {
    /// Kills of the real binary, about a second each
    #[arg(default_value_t = 1_000)]
    kills: u64,
}

/// Runs the simulator.
pub(crate) fn run(seeds: &Seeds) -> Result<()> {
    let mut command = process::cargo(&["run", "--release", "--quiet", "--package", "sim", "--"])?;
    process::run(command.arg(seeds.count.to_string()).arg(seeds.first.to_string()))
}

/// Kills the real binary over and over, under load.
pub(crate) fn soak(kills: &Kills) -> Result<()> {
    let mut command = process::cargo(&["test", "--package", "it", "--test", "kills"])?;
    command.env("MAINSTAY_KILLS", kills.kills.to_string());
    process::run(&mut command)
}

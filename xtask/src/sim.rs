//! Long runs of what the tests run briefly: seeds of the simulator.

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

/// Runs the simulator.
pub(crate) fn run(seeds: &Seeds) -> Result<()> {
    let mut command = process::cargo(&["run", "--release", "--quiet", "--package", "sim", "--"])?;
    process::run(command.arg(seeds.count.to_string()).arg(seeds.first.to_string()))
}

//! Long runs of what the tests run briefly: seeds of the simulator, and kills
//! of the real binary.

use crate::mutations;
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
    from: u64,
    /// Seeds to run, the same by name
    #[arg(long, conflicts_with = "count")]
    seeds: Option<u64>,
    /// The first of them, the same by name
    #[arg(long, conflicts_with = "from")]
    first: Option<u64>,
    /// Steps told of a run that shows a violation
    #[arg(long, default_value_t = 60)]
    steps: usize,
    /// Run all seeds, and count what they show
    #[arg(long)]
    keep_going: bool,
    /// Plant bugs into a copy, and fail if one is not found
    #[arg(long)]
    mutations: bool,
    /// Only the bug of this name
    #[arg(long, requires = "mutations")]
    only: Option<String>,
}

/// Runs the simulator.
pub(crate) fn run(seeds: &Seeds) -> Result<()> {
    if seeds.mutations {
        return mutations::run(seeds.only.as_deref(), seeds.seeds);
    }
    let mut command = process::cargo(&["run", "--release", "--quiet", "--package", "sim", "--"])?;
    command.arg("--seeds").arg(seeds.seeds.unwrap_or(seeds.count).to_string());
    command.arg("--first").arg(seeds.first.unwrap_or(seeds.from).to_string());
    command.arg("--steps").arg(seeds.steps.to_string());
    command.args(seeds.keep_going.then_some("--keep-going"));
    process::run(&mut command)
}

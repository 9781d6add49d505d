//! Automation of the house: everything a contributor or a machine runs is a
//! subcommand of `cargo xtask`, so that there are no scripts to drift apart.
//!
//! Each subcommand is one module with one `run`. To add one: write the module,
//! add a variant to [`Task`], add a line to [`perform`]. What is checked by
//! `tidy` and `arrows` is also an ordinary test of this crate, therefore plain
//! `cargo test --workspace` has no secrets from whoever runs it.

mod arrows;
mod bench;
mod mutations;
mod process;
mod report;
mod schema;
mod setup;
mod sim;
mod suite;
mod tidy;
mod torture;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Automation of the Mainstay workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
enum Task {
    /// Everything a change must pass: format, lints, tidy, arrows, all tests
    Test,
    /// As `test`, and a missing program fails instead of skipping its tests
    Ci,
    /// Installs the Debian packages that the tests use, without starting their services
    Setup,
    /// The style guide's rules that a program can check
    Tidy,
    /// Who may know whom, and that the pure rooms are pure
    Arrows,
    /// Writes the configuration's JSON schema and reference page anew
    Schema,
    /// Seeds of the simulator, as many as wanted
    Sim(sim::Seeds),
    /// Random faults on three or five real nodes, by a seed, for as long as wanted
    Torture(torture::Torture),
    /// Kills of the real binary under load, as many as wanted, or hours of torture
    Soak(torture::Soak),
    /// The figures to reach: measured, and compared with the programs people know
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Test => suite::run(suite::Missing::Skips),
        Task::Ci => suite::run(suite::Missing::Fails),
        Task::Setup => setup::run(),
        Task::Tidy => tidy::run(),
        Task::Arrows => arrows::run(),
        Task::Schema => schema::run(),
        Task::Sim(seeds) => sim::run(seeds),
        Task::Torture(torture) => torture::run(torture),
        Task::Soak(soak) => torture::soak(soak),
        Task::Bench(arguments) => bench::run(arguments),
    }
}

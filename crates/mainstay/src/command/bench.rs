//! `mainstay bench fill`: a made-up history in an empty data directory, to try
//! out and to measure with.

use super::ConfigurationPath;
use crate::files::{self, LoadError};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use history::fill::{Plan, fill, observations};
use indicatif::{ProgressBar, ProgressStyle};
use model::entry::{Body, Entry};
use model::id::CheckSlot;
use model::observation::Observation;
use model::time::Timestamp;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Fill the data directory of a configuration with made-up results
    Fill(Fill),
}

#[derive(Debug, Args)]
pub(crate) struct Fill {
    #[command(flatten)]
    path: ConfigurationPath,
    /// Days with roll-ups, for all checks
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Checks with single results too
    #[arg(long, default_value_t = 10_000)]
    raw_checks: u32,
    /// Days of single results
    #[arg(long, default_value_t = 30)]
    raw_days: u32,
    /// Minutes of single results of all checks just before now, so that as much
    /// waits to be packed as in a server that has been running
    #[arg(long, default_value_t = 0)]
    recent_minutes: u32,
    /// Same seed, same history
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(command: Bench) -> anyhow::Result<ExitCode> {
    let Bench::Fill(command) = command;
    let loaded = files::load(&command.path.config).map_err(|error| match error {
        LoadError::Wrong(mistakes) => anyhow!("{mistakes}"),
        LoadError::Unreadable(error) => error,
    })?;
    let data = files::data_directory(&command.path.config, &loaded.node.data);
    let checks = u32::try_from(loaded.configuration.checks().count()).unwrap_or(u32::MAX);
    let directory = files::history(&data);
    let store = history::Store::open(&directory, history::Options::default())
        .with_context(|| format!("cannot open the history in {}", directory.display()))?;
    let plan = Plan {
        checks,
        location: loaded.node.location,
        until: Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        every: Duration::from_secs(60),
        day_rollups: command.days,
        five_minute_rollups: command.days,
        raw_checks: command.raw_checks.min(checks),
        raw_days: command.raw_days,
        seed: command.seed,
    };
    tokio::runtime::Runtime::new()?.block_on(begin_log(&data, RECENT_INDEX))?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} days  {eta} left")?);
    let filled = fill(&store, &plan, &mut |done, all| {
        bar.set_length(u64::from(all));
        bar.set_position(u64::from(done));
    })?;
    let recent = add_recent(&store, &plan, Duration::from_secs(u64::from(command.recent_minutes) * 60))?;
    store.flush()?;
    bar.finish_and_clear();
    println!(
        "{} results and {recent} recent ones, {} days of 5-minute roll-ups, {} daily roll-ups for {checks} checks",
        filled.results, filled.five_minute_days, filled.days
    );
    Ok(ExitCode::SUCCESS)
}

/// Log entries that the made-up history stands for: one for what is written
/// packed, one for the recent results.
const RECENT_INDEX: u64 = 2;

/// Begins the log with as many entries as the history will claim to know: a
/// history ahead of its log means that the log has lost something, and then
/// nothing starts.
async fn begin_log(data: &Path, entries: u64) -> anyhow::Result<()> {
    cluster::prepare(data)?;
    let node = cluster::Node::open(&files::log(data), cluster::Options::default(), Nobody).await?;
    while node.state().applied_index() < entries {
        node.propose(Body::Tick).await?;
    }
    Ok(node.close().await?)
}

/// Follows a log in which nothing happens.
struct Nobody;

impl cluster::Observer for Nobody {
    fn applied(&mut self, _: u64, _: &Arc<Entry>, _: &control::Applied, _: &control::State) {}
}

/// Adds the results of the last while in the way results come, so that they are
/// not packed yet. Returns how many.
fn add_recent(store: &history::Store, plan: &Plan, recent: Duration) -> anyhow::Result<usize> {
    if recent.is_zero() {
        return Ok(0);
    }
    let from = plan.until.minus(recent);
    let is_recent = |one: &Observation| from <= one.scheduled && one.scheduled < plan.until;
    let results: Vec<Observation> = (from.day()..=plan.until.day())
        .flat_map(|day| (0..plan.checks).flat_map(move |slot| observations(plan, CheckSlot(slot), day)))
        .filter(is_recent)
        .collect();
    store.apply(RECENT_INDEX, plan.until, &plan.location, &results).context("cannot add the recent results")?;
    Ok(results.len())
}

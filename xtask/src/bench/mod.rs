//! The figures to reach, measured on this machine.
//!
//! ```text
//!  cargo xtask bench [http|https|icmp|disk|start|load|down|cluster]... [--json]
//! ```
//!
//! Rules, learned from figures that did not repeat:
//!
//! - What is compared runs in **adjacent pairs in shuffled order**, at least
//!   six, and the median of the ratios of pairs counts: machines drift by a
//!   factor while a bench runs, the two halves of a pair much less.
//! - What is measured has processor 0, everything else processor 1, and what
//!   is compared is **processor time for each check**: rates mislead when the
//!   server is full.
//! - Processor time that programs other than ours used meanwhile is told
//!   beside the figures, because a busy machine spoils them silently.
//!
//! Mainstay is measured as people run it, the real binary with its log and its
//! history on disk; what only the engine can do is told beside it.

mod build;
mod client;
mod cluster;
mod delay;
mod disk;
mod down;
mod engine;
mod figure;
mod http;
mod https;
mod icmp;
mod load;
mod local;
mod machine;
mod node;
mod nodes;
mod pairs;
mod program;
mod server;
mod show;
mod start;
mod target;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use figure::{Figure, Findings};
use machine::Machine;
use pairs::Shuffle;
use show::Show;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Pairs below which a median says little.
const PAIRS_MIN: usize = 6;

/// What is to be measured, and how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Which figures; all when none is named
    #[arg(value_enum)]
    which: Vec<Which>,
    /// Adjacent pairs of each comparison; fewer than 6 are for trying out
    #[arg(long, default_value_t = PAIRS_MIN)]
    pairs: usize,
    /// Checks of `start` and `load`
    #[arg(long, default_value_t = 100_000)]
    checks: u32,
    /// Length of `load`
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Measure the release binaries as they are
    #[arg(long)]
    no_build: bool,
}

/// One bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// HTTP checks for a second of processor time, against wrk and blackbox_exporter
    Http,
    /// HTTPS checks with full handshakes, against openssl s_time
    Https,
    /// Echoes, against fping
    Icmp,
    /// Bytes for a stored result
    Disk,
    /// From start to the page and to the first check, with a large history
    Start,
    /// Memory, punctuality and answer times with very many checks
    Load,
    /// From the failing check to page, API and first delivery
    Down,
    /// Three nodes: time without a leader, commands, the start of one with much data
    Cluster,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Icmp => "icmp",
            Self::Disk => "disk",
            Self::Start => "start",
            Self::Load => "load",
            Self::Down => "down",
            Self::Cluster => "cluster",
        }
    }

    fn measure(self, bench: &mut Bench) -> Result<()> {
        match self {
            Self::Http => http::measure(bench),
            Self::Https => https::measure(bench),
            Self::Icmp => icmp::measure(bench),
            Self::Disk => disk::measure(bench),
            Self::Start => start::measure(bench),
            Self::Load => load::measure(bench),
            Self::Down => down::measure(bench),
            Self::Cluster => cluster::measure(bench),
        }
    }
}

/// What every bench works with.
struct Bench {
    arguments: Arguments,
    binaries: build::Binaries,
    directory: PathBuf,
    show: Show,
    shuffle: Shuffle,
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

impl Bench {
    /// Keeps a figure, and says it at once.
    fn found(&mut self, figure: impl Into<Option<Figure>>) {
        let Some(figure) = figure.into() else {
            return;
        };
        self.show.say(&figure::line(&figure));
        self.figures.push(figure);
    }

    /// Keeps a sentence that belongs to the figures.
    fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.show.say(&text);
        self.remarks.push(text);
    }
}

/// Measures what was asked for.
///
/// # Errors
/// A program is missing or fails, or a figure misses its target.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = Which::value_variants().to_vec();
    let which = if arguments.which.is_empty() { all } else { arguments.which.clone() };
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("a bench needs two processors: one for what is measured and one for everything else");
    }
    let binaries = build::binaries(&which, arguments.no_build)?;
    let directory = tempfile::Builder::new().prefix("mainstay-bench-").tempdir()?;
    let mut bench = Bench {
        arguments: arguments.clone(),
        binaries,
        directory: directory.path().to_owned(),
        show: Show::new(std::io::stderr().is_terminal()),
        shuffle: Shuffle::new(machine::wall().as_nanos() as u64),
        figures: Vec::new(),
        remarks: Vec::new(),
    };
    if arguments.pairs < PAIRS_MIN {
        bench.remark(format!("only {} pairs: not good enough to compare with a target", arguments.pairs));
    }
    for one in which {
        alone(one, &mut bench)?;
    }
    conclude(bench, arguments.json)
}

/// Measures one thing in a fresh directory, and says what other programs used meanwhile.
fn alone(which: Which, bench: &mut Bench) -> Result<()> {
    let root = bench.directory.clone();
    bench.directory = root.join(which.name());
    std::fs::create_dir_all(&bench.directory)?;
    let used = || Ok::<f64, anyhow::Error>(machine::used_by_ended()? + machine::used_by(std::process::id())?);
    let (busy, ours, begin) = (machine::busy(), used()?, std::time::Instant::now());
    which.measure(bench)?;
    let took = begin.elapsed().as_secs_f64();
    let others = (machine::busy() - busy - (used()? - ours)).max(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let share = 100.0 * others / took / cores;
    bench.remark(format!(
        "{}: {took:.0} s, during which others used {share:.0} % of the machine's processors",
        which.name()
    ));
    std::fs::remove_dir_all(&bench.directory)?;
    bench.directory = root;
    Ok(())
}

fn conclude(bench: Bench, as_json: bool) -> Result<()> {
    let Bench { figures, remarks, show, .. } = bench;
    show.end();
    let at = crate::bench::build::now()?;
    let findings = Findings { at, machine: Machine::this(), figures, remarks };
    if as_json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        println!("\n{}", findings.table());
    }
    let missed = findings.figures.iter().filter(|figure| figure.holds() == Some(false)).count();
    if missed > 0 {
        bail!("{missed} of {} figures miss their target", findings.figures.len());
    }
    Ok(())
}

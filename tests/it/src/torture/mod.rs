//! Torture of the real thing: three or five real processes, each with a
//! network, a disk and a clock of its own, under random faults by a seed, while
//! clients send commands through any of them. At the end everything is healed
//! and compared.
//!
//! ```text
//!   weather ── kills, pauses, cuts, fills, shifts, harms ──▶ machines
//!   operator ── removes, replaces, invites, hands over ────▶   │
//!   clients ── commands, each with a key, and what came back ──▶ records
//!                                                               │
//!                                    verdict ◀── all healed ────┘
//! ```
//!
//! A seed gives the same faults again, not the same instants: processes run as
//! they are scheduled. What a run did stands in its journal, with times.
//!
//! Reading order: [`fault`], [`machine`], [`stage`], [`weather`], [`operator`],
//! [`clients`], [`verdict`].

mod clients;
mod fault;
mod machine;
mod operator;
mod stage;
mod verdict;
mod weather;

use crate::random::Random;
use clients::{Clients, Records};
use stage::Stage;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use weather::Weather;

/// How long the clients go on when all is well again.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// How soon the first nodes must be together.
const BEGINS_WITHIN: Duration = Duration::from_secs(90);
/// Locations, one after the other.
const LOCATIONS: [&str; 3] = ["a", "b", "c"];

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Nodes, 3 or 5.
    pub nodes: u8,
    /// How long faults come and go.
    pub length: Duration,
    /// What draws them.
    pub seed: u64,
    /// Kinds of faults that are left out, by the names that the summary has: to
    /// look for what hides behind a mistake that is known.
    pub without: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What must not have been; empty if all is well.
    pub violations: Vec<String>,
    /// What was done, in a few lines.
    pub summary: String,
    /// Where the journal and the logs are, with the data of all nodes; `None` if all is well.
    pub kept: Option<PathBuf>,
}

/// Tortures. `None` if this machine cannot, after saying why.
///
/// # Panics
/// The stage itself fails.
pub fn run(settings: &Settings) -> Option<Outcome> {
    let mut directory = tempfile::Builder::new().prefix("torture-").tempdir().expect("a temporary directory");
    let mut random = Random::new(settings.seed);
    // Nodes beside each other, in one country, on two sides of an ocean.
    let one_way = Duration::from_millis(random.one_of(&[0, 0, 1, 20, 40]));
    let stage = Stage::new(settings.nodes, one_way, directory.path())?;
    stage.note(&format!("{settings:?}, {} ms each way", one_way.as_millis()));
    gather(&stage, settings.nodes)?;
    let (records, counts, recovered) = rage(&stage, settings, &mut random);
    if stage.is_well() {
        verdict::judge_all(&stage, &records);
    }
    verdict::nobody_panicked(&stage);
    let violations = stage.violations();
    let mut summary = format!(
        "{} nodes, {} ms each way, {} s of faults by seed {}: {counts}\nwell again {:.1} s after the last fault\n",
        settings.nodes,
        one_way.as_millis(),
        settings.length.as_secs(),
        settings.seed,
        recovered.as_secs_f64()
    );
    let _ = writeln!(summary, "commands: {}; {}", list(&records.counts), longest_silence(&records));
    stage.note(&summary);
    let kept = (!violations.is_empty()).then(|| {
        keep_data(&stage);
        directory.disable_cleanup(true);
        directory.path().to_owned()
    });
    Some(Outcome { violations, summary, kept })
}

/// The first node founds the cluster, the others join it. From then on all have
/// files that concern only themselves, so that one who has lost its disk cannot
/// take itself for the first of another cluster.
fn gather(stage: &Stage, nodes: u8) -> Option<()> {
    let mut first = stage.new_machine(LOCATIONS[0], &stage.configuration())?;
    first.node.start();
    let door = first.node.door.clone();
    stage.add(first);
    for at in 1..usize::from(nodes) {
        let machine = stage.new_machine(LOCATIONS[at % LOCATIONS.len()], "")?;
        let name = machine.name().to_owned();
        let ticket = crate::wait::expect("a ticket", BEGINS_WITHIN, || {
            let body = serde_json::json!({ "actor": "test", "key": format!("first-{name}") });
            match door.send("/api/v1/nodes/invite", &body, BEGINS_WITHIN) {
                crate::door::Said::Accepted(answer) => answer["invitation"]["ticket"].as_str().map(str::to_owned),
                _ => None,
            }
        });
        crate::cluster::succeeds(&machine.node.join(&ticket));
        stage.add(machine);
        stage.with(&name, |machine| machine.node.start());
        crate::wait::expect(&format!("{name} to vote"), BEGINS_WITHIN, || {
            let status = door.status()?;
            let mut members = status["nodes"].as_array()?.iter();
            members.find(|member| member["name"] == name.as_str() && member["is_voter"] == true).map(drop)
        });
    }
    stage.with_machines(|machines| machines[0].node.configure(stage.keys(), ""));
    if let Err(missing) = verdict::settles(stage, BEGINS_WITHIN) {
        panic!("the first nodes do not settle: {missing}");
    }
    stage.note("all first nodes vote");
    Some(())
}

fn rage(stage: &Stage, settings: &Settings, random: &mut Random) -> (Records, String, Duration) {
    let clients = Clients::new(stage);
    let mut draw = || Random::new(random.number());
    let (mut counts, mut recovered) = (String::new(), Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let random = draw();
            scope.spawn(|| clients.fight(random));
        }
        for name in ["guard-1", "guard-2"] {
            let random = draw();
            scope.spawn(|| clients.guard(random, name));
        }
        let (planning, operating, raging) = (draw(), draw(), draw());
        scope.spawn(|| clients.plan(planning));
        scope.spawn(|| clients.watch());
        scope.spawn(|| operator::work(stage, operating));
        // Whatever happens the others must hear that it is over, or nobody would ever come home.
        let over = Over(stage);
        counts = list(&Weather::new(stage, raging, &settings.without).rage(settings.length));
        recovered = verdict::recovers(stage);
        let end = Instant::now() + AFTERWARDS;
        while Instant::now() < end {
            weather::supervise(stage);
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(over);
    });
    (clients.into_records(), counts, recovered)
}

/// Sends the clients home when it is dropped.
struct Over<'a>(&'a Stage);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

fn list<'a>(counts: impl IntoIterator<Item = (&'a &'static str, &'a u64)>) -> String {
    let parts: Vec<String> = counts.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    parts.join(", ")
}

fn longest_silence(records: &Records) -> String {
    let mut at = records.accepted_at.clone();
    at.sort_unstable();
    let longest = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    format!("longest time without an accepted one {:.1} s", longest as f64 / 1e6)
}

/// The disks are in memory and vanish; what is on them is kept beside the logs.
fn keep_data(stage: &Stage) {
    stage.with_machines(|machines| {
        for machine in machines {
            machine.node.kill9();
            machine.make_room();
            machine.copy_data(&stage.directory().join(format!("data-of-{}", machine.name())));
        }
    });
}

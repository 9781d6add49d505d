//! Three nodes: how long they are without a leader, how many commands they
//! take, and how soon one is back that has much to carry.

use super::figure::{Figure, Target, median, percentile};
use super::nodes::Nodes;
use super::start::bytes_below;
use super::{Bench, client};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the leader is killed, nodes beside each other.
const KILLS: usize = 50;
/// How often, far from each other: each takes four times as long.
const KILLS_FAR: usize = 20;
/// Half of a round trip of 100 ms: two sides of an ocean.
const ONE_WAY: Duration = Duration::from_millis(50);
/// Clients at a time.
const CLIENTS: [usize; 4] = [1, 4, 8, 32];
/// How long commands are counted.
const COUNTED: Duration = Duration::from_secs(10);
/// Pieces of planned work that one client writes in turn; the cluster keeps 1,000 in all.
const WORKS: u64 = 20;
/// A try at a command while nobody leads.
const TRY: Duration = Duration::from_millis(1_500);
/// Longest that a command is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a node has to carry when it is started again.
const CARRIED_BYTES: u64 = 1 << 30;
/// Checks with single results that make about so much, in 30 days.
const CARRIED_CHECKS: &str = "8000";
/// Commands that a node misses while it is away.
const MISSED: u64 = 2_000;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    leaders(bench, "nodes beside each other", Duration::ZERO, KILLS)?;
    leaders(bench, "round trip of 100 ms", ONE_WAY, KILLS_FAR)?;
    commands(bench)?;
    restart(bench)
}

fn leaders(bench: &mut Bench, name: &str, one_way: Duration, kills: usize) -> Result<()> {
    let mut nodes = three(bench, name, one_way)?;
    bench.show.begin(&format!("cluster: leaders killed, {name}"), kills as u64);
    let mut took = Vec::new();
    for round in 0..kills {
        nodes.settle()?;
        let leader = nodes.leader()?;
        nodes.kill(leader)?;
        let begin = Instant::now();
        first_accepted(&nodes, round)?;
        took.push(begin.elapsed().as_secs_f64());
        nodes.start(leader)?;
        bench.show.step();
    }
    let is_near = one_way.is_zero();
    let target = |bound| if is_near { Target::AtMost(bound) } else { Target::None };
    let middle = median(&took).context("no kills")?;
    let worst = took.iter().copied().fold(0.0, f64::max);
    let label = format!("leader killed until a command is accepted, {name}");
    bench.found(Figure::once("cluster", format!("{label}: median of {kills}"), middle, "s", target(1.0)));
    bench.found(Figure::once("cluster", format!("{label}: worst"), worst, "s", target(2.0)));
    Ok(())
}

fn three(bench: &Bench, name: &str, one_way: Duration) -> Result<Nodes> {
    let directory = bench.directory.join(name.replace(' ', "-"));
    let mut nodes = Nodes::found(&bench.binaries.mainstay, &directory, one_way, &watching(1))?;
    nodes.start(0)?;
    nodes.join("full")?;
    nodes.join("full")?;
    Ok(nodes)
}

/// What is replicated; checks that never run, so that they are not what is measured.
fn watching(checks: u32) -> String {
    let mut yaml = "page: { name: Bench }\nlocations: [here]\ndefaults: { every: 24h }\nservices:\n".to_owned();
    for check in 0..checks {
        if check % 100 == 0 {
            yaml.push_str(&format!("- id: s{}\n  name: Service {check}\n  checks:\n", check / 100));
        }
        yaml.push_str(&format!("  - {{ id: c{check}, http: \"http://127.0.0.1:9/{check}\" }}\n"));
    }
    yaml
}

/// Asks the nodes that are left in turn, as somebody would who does not know which one leads.
fn first_accepted(nodes: &Nodes, round: usize) -> Result<()> {
    let begin = Instant::now();
    for attempt in 0.. {
        let running: Vec<_> = nodes.members.iter().filter(|member| member.is_running()).collect();
        let member = running[attempt % running.len()];
        let said = member.local_within(TRY).and_then(|mut local| {
            local.post("/api/v1/commands", &command(&format!("k{round}-{attempt}"), round as u64))
        });
        if said.is_ok_and(|said| said["is_accepted"] == true) {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < PATIENCE, "no command is accepted any more");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn command(key: &str, number: u64) -> Value {
    json!({ "actor": "bench", "key": key, "action": { "schedule_maintenance": {
        "id": format!("w{number}"), "title": key, "from": "2090-01-01T00:00:00Z", "until": "2090-01-01T01:00:00Z",
        "services": ["s0"], "impact": "at-risk" } } })
}

fn commands(bench: &mut Bench) -> Result<()> {
    let nodes = three(bench, "commands", Duration::ZERO)?;
    let leader = nodes.leader()?;
    let follower = (leader + 1) % nodes.members.len();
    bench.show.begin("cluster: commands", CLIENTS.len() as u64 * 2);
    for clients in CLIENTS {
        for (name, at) in [("the leader", leader), ("a follower", follower)] {
            let took = acknowledged(&nodes, at, clients)?;
            let rate = took.len() as f64 / COUNTED.as_secs_f64();
            let label = format!("commands through {name}, {clients} clients");
            // What is asked for is many at a time; one alone waits for one flush after the other.
            let counts = clients == 8 && at == leader;
            let target = |target| if counts { target } else { Target::None };
            bench.found(Figure::once("cluster", label.clone(), rate, "/s", target(Target::AtLeast(1_000.0))));
            for (share, what, bound) in [(0.5, "p50", target(Target::AtMost(5.0))), (0.99, "p99", Target::None)] {
                let value = percentile(&took, share).context("no commands")?;
                bench.found(Figure::once("cluster", format!("{label}: {what}"), value, "ms", bound));
            }
            bench.show.step();
        }
    }
    Ok(())
}

/// Milliseconds of each command that was acknowledged.
fn acknowledged(nodes: &Nodes, at: usize, clients: usize) -> Result<Vec<f64>> {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let all: Result<Vec<Vec<f64>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients as u64)
            .map(|client| {
                let (is_over, member) = (&is_over, &nodes.members[at]);
                scope.spawn(move || -> Result<Vec<f64>> {
                    let mut local = member.local()?;
                    let mut took = Vec::new();
                    for number in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let key = format!("b{}", KEYS.fetch_add(1, Ordering::Relaxed));
                        let body = command(&key, client * WORKS + number % WORKS);
                        let begin = Instant::now();
                        let said = local.post("/api/v1/commands", &body)?;
                        anyhow::ensure!(said["is_accepted"] == true, "a command was refused: {said}");
                        took.push(begin.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(took)
                })
            })
            .collect();
        std::thread::sleep(COUNTED);
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect()
    });
    Ok(all?.concat())
}

/// Two witnesses beside the node that carries much, so that nobody copies its history meanwhile.
fn restart(bench: &mut Bench) -> Result<()> {
    let rounds = bench.arguments.pairs;
    let directory = bench.directory.join("restart");
    let mut nodes = Nodes::found(&bench.binaries.mainstay, &directory, Duration::ZERO, &watching(10_000))?;
    bench.show.begin("cluster: making up a history", 1);
    fill(bench, &nodes.members[0].directory)?;
    let bytes = bytes_below(&nodes.members[0].directory.join("data"))?;
    bench.remark(format!("cluster: the node that is started again has {} MiB", bytes >> 20));
    anyhow::ensure!(bytes >= CARRIED_BYTES * 9 / 10, "only {bytes} bytes were made up");
    nodes.start(0)?;
    nodes.join("witness")?;
    nodes.join("witness")?;
    bench.show.begin("cluster: starts of a node with 1 GB", rounds as u64);
    let (mut pages, mut caught_up) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        nodes.settle()?;
        nodes.kill(0)?;
        first_accepted(&nodes, 1_000 + round)?;
        miss_commands(&nodes, round)?;
        let wanted = nodes.members[1].status()?["node"]["applied_index"].as_u64().context("no index")?;
        let begin = Instant::now();
        pages.push(nodes.start(0)?.as_secs_f64());
        while applied(nodes.members[0].port).is_none_or(|index| index < wanted) {
            anyhow::ensure!(begin.elapsed() < PATIENCE, "it does not catch up");
            std::thread::sleep(Duration::from_millis(2));
        }
        caught_up.push(begin.elapsed().as_secs_f64());
        bench.show.step();
    }
    bench.found(Figure::of("cluster", "start of a node with 1 GB: page", &pages, "s", Target::AtMost(1.0)));
    let label = format!("start of a node with 1 GB: {MISSED} missed commands caught up");
    bench.found(Figure::of("cluster", label, &caught_up, "s", Target::AtMost(5.0)));
    Ok(())
}

fn fill(bench: &Bench, directory: &Path) -> Result<()> {
    let mut command = std::process::Command::new(&bench.binaries.mainstay);
    command.args(["bench", "fill", "--days", "90", "--raw-checks", CARRIED_CHECKS, "--raw-days", "30"]);
    let output = command.current_dir(directory).output().context("cannot start mainstay")?;
    anyhow::ensure!(output.status.success(), "no history was made up: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn miss_commands(nodes: &Nodes, round: usize) -> Result<()> {
    let mut local = nodes.members[1].local()?;
    for number in 0..MISSED {
        local.post("/api/v1/commands", &command(&format!("m{round}-{number}"), number % 500))?;
    }
    Ok(())
}

fn applied(port: u16) -> Option<u64> {
    client::json(port, "/api/v1/status").ok()?["node"]["applied_index"].as_u64()
}

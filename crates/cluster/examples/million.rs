//! What very many checks cost three nodes: memory, snapshots, replay and the
//! rate of results, without a single check being made.
//!
//! ```text
//! cargo run --release -p cluster --example million -- [CHECKS] [ROUNDS]
//! ```
//!
//! Three nodes in one process, with real sockets and files; the figures are for
//! all of them together unless it says otherwise.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers: it fails loudly and prints")]

use cluster::{About, InviteOptions, JoinOptions, Node, Observer, Options};
use control::{Applied, CommandOutcome, State};
use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::configuration::Configuration;
use model::entry::{Action, Body, Command, Entry, Origin};
use model::id::{CheckId, CheckSlot, LocationId, ServiceId};
use model::limits::{BATCH_OBSERVATIONS_MAX, CONFIGURATION_PART_BYTES};
use model::member::{NodeFacts, Role};
use model::observation::{Batch, Observation, Outcome};
use model::service::Service;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Checks of one service.
const CHECKS_OF_A_SERVICE: u32 = 100;
/// Batches under way at a time, as three locations would have.
const AT_A_TIME: u64 = 4;

struct Nothing;

impl Observer for Nothing {
    fn applied(&mut self, _: u64, _: &Arc<Entry>, _: &Applied, _: &State) {}
}

fn local() -> LocationId {
    LocationId::new("local").unwrap()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().unwrap());
    let (checks, rounds) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(checks, u64::from(rounds)));
}

async fn measure(checks: u32, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    println!("begin: {} MiB resident", resident() >> 20);
    let first = open(&directory.path().join("a"), "a", true).await;
    first.found_if_needed().await.unwrap();
    let mut nodes = vec![first];
    for name in ["b", "c"] {
        let node = join(&nodes[0], &directory.path().join(name), name).await;
        nodes.push(node);
    }
    println!("three nodes: {} MiB resident", resident() >> 20);
    let began = Instant::now();
    configure(&nodes[0], checks).await;
    everywhere(&nodes).await;
    println!(
        "configuration of {checks} checks active everywhere after {:.1} s; {} MiB",
        began.elapsed().as_secs_f64(),
        resident() >> 20
    );
    for round in 1..=rounds {
        let began = Instant::now();
        feed(&nodes[0], checks, round).await;
        everywhere(&nodes).await;
        let seconds = began.elapsed().as_secs_f64();
        println!("round {round}: {:.0} results/s on all three; {} MiB", f64::from(checks) / seconds, resident() >> 20);
    }
    let began = Instant::now();
    let encoded = nodes[0].state().encode();
    let bytes = encoded.len();
    println!(
        "state: {} MiB, {:.0} B a check, encoded in {:.2} s",
        bytes >> 20,
        bytes as f64 / f64::from(checks),
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    drop(State::decode(&encoded).unwrap());
    println!("decoded in {:.2} s", began.elapsed().as_secs_f64());
    drop(encoded);
    let began = Instant::now();
    nodes[1].snapshot_now().await.unwrap();
    println!("snapshot of one node written in {:.2} s", began.elapsed().as_secs_f64());
    let resting = resident();
    println!("resident: {} MiB, {:.0} B a check and node", resting >> 20, resting as f64 / 3.0 / f64::from(checks));
    for node in &nodes {
        node.close().await.unwrap();
    }
    drop(nodes);
    let began = Instant::now();
    let again = open(&directory.path().join("b"), "b", false).await;
    println!(
        "one node opened again in {:.2} s, at entry {}",
        began.elapsed().as_secs_f64(),
        again.state().applied_index()
    );
}

fn about(name: &str, address: String) -> About {
    About { name: name.to_owned(), address, location: local(), role: Role::Full, facts: NodeFacts::default() }
}

async fn open(path: &Path, name: &str, may_found: bool) -> Node {
    let port_file = path.with_extension("port");
    let port = std::fs::read_to_string(&port_file).ok().and_then(|text| text.parse().ok()).unwrap_or(0_u16);
    let listen = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let address = listen.local_addr().unwrap().to_string();
    let options = Options { may_found, listen: Some(listen), about: about(name, address), ..Options::default() };
    Node::open(path, options, Nothing).await.unwrap()
}

async fn join(at: &Node, path: &Path, name: &str) -> Node {
    let invite =
        InviteOptions { actor: "example".into(), role: Role::Full, good_for: Duration::from_secs(60), replaces: None };
    let ticket = at.invite(invite).await.unwrap().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(path.with_extension("port"), port.to_string()).unwrap();
    let options = JoinOptions {
        name: name.to_owned(),
        address: format!("127.0.0.1:{port}"),
        location: local(),
        facts: NodeFacts::default(),
        patience: Duration::from_secs(20),
    };
    cluster::join(path, &ticket, options).await.unwrap();
    let node = open(path, name, false).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while at.peers().iter().any(|peer| !peer.is_voter) || at.state().members().count() < 2 {
        assert!(Instant::now() < deadline, "the new node does not vote");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node
}

async fn command(node: &Node, action: Action) {
    let command =
        Command { actor: "example".into(), origin: Origin::File, key: String::new(), expected_revision: None, action };
    let answer = node.propose(Body::Command(command)).await.unwrap().applied.outcome;
    assert_eq!(answer, CommandOutcome::Accepted);
}

async fn configure(node: &Node, checks: u32) {
    let services = (0..checks.div_ceil(CHECKS_OF_A_SERVICE)).map(|number| service(number, checks)).collect();
    let configuration = Configuration { locations: vec![local()], services, ..Configuration::default() };
    let bytes = configuration.encode();
    drop(configuration);
    let digest = format!("{checks}");
    let parts = bytes.chunks(CONFIGURATION_PART_BYTES);
    let count = u32::try_from(parts.len()).unwrap();
    for (part, bytes) in (0..).zip(parts) {
        command(node, Action::StoreConfiguration { digest: digest.clone(), part, parts: count, bytes: bytes.to_vec() })
            .await;
    }
    command(node, Action::ActivateConfiguration { digest, offered_by: Some(node.id()) }).await;
}

fn service(number: u32, checks: u32) -> Service {
    let first = number * CHECKS_OF_A_SERVICE;
    let check = |number: u32| Check {
        id: CheckId::new(&format!("c{number}")).unwrap(),
        kind: CheckKind::Icmp(IcmpCheck { host: format!("h{number}.example.com"), count: 1 }),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: vec![local()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    };
    Service {
        id: ServiceId::new(&format!("s{number}")).unwrap(),
        name: format!("Service {number}"),
        description: None,
        group: None,
        needs: Vec::new(),
        checks: (first..(first + CHECKS_OF_A_SERVICE).min(checks)).map(check).collect(),
        receivers: None,
        is_public: true,
        announces: true,
    }
}

/// One result of each check.
async fn feed(node: &Node, checks: u32, round: u64) {
    let at = node.now();
    let size = BATCH_OBSERVATIONS_MAX as u32;
    let batches = u64::from(checks.div_ceil(size));
    let mut under_way = tokio::task::JoinSet::new();
    for batch in 0..batches {
        let first = batch as u32 * size;
        let observation = |slot| Observation {
            slot: CheckSlot(slot),
            scheduled: at,
            outcome: Outcome::Pass,
            latency_us: 10_000 + slot % 977,
            detail: None,
        };
        let observations = (first..(first + size).min(checks)).map(observation).collect();
        let sequence = (round - 1) * batches + batch + 1;
        let body = Body::Results(Batch { location: local(), node: node.id(), incarnation: 1, sequence, observations });
        let node = node.clone();
        under_way.spawn(async move { node.propose(body).await.unwrap() });
        while under_way.len() as u64 >= AT_A_TIME {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap();
    }
}

/// Waits until all nodes have applied what the first has.
async fn everywhere(nodes: &[Node]) {
    let index = nodes[0].state().applied_index();
    for node in nodes {
        let mut applied = node.watch();
        applied.wait_for(|applied| *applied >= index).await.unwrap();
    }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

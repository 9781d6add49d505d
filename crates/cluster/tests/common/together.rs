//! Nodes with real sockets in one process, each with a runtime of its own, so
//! that one can be killed: its tasks vanish, its files are as they were.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use cluster::{About, InviteOptions, JoinOptions, Node, Observer, OpenError, Options, Profile, SnapshotPolicy};
use cluster::{DirectoryError, PeerService};
use control::{Applied, State};
use model::entry::{Action, Body, Command, Entry, Origin};
use model::id::LocationId;
use model::member::{NodeFacts, NodeId, Role};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest wait for anything that should come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Threads of each node's runtime.
const WORKERS: usize = 2;

/// The digest of the state after each entry, and the key of the command in it.
pub(crate) type Digests = Arc<Mutex<BTreeMap<u64, (u32, String)>>>;

/// An observer that takes down what the state was after each entry, or nothing.
pub(crate) struct Digester(Option<Digests>);

impl Observer for Digester {
    fn applied(&mut self, index: u64, entry: &Arc<Entry>, _applied: &Applied, state: &State) {
        let Some(digests) = &self.0 else { return };
        let key = match &entry.body {
            Body::Command(command) => command.key.clone(),
            _ => String::new(),
        };
        digests.lock().unwrap().insert(index, (crc32fast::hash(&state.encode()), key));
    }
}

/// One node, running or not.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) digests: Digests,
    /// Whether they are taken down, which costs more than all the rest.
    pub(crate) is_digesting: bool,
    pub(crate) snapshots: SnapshotPolicy,
    pub(crate) profile: Profile,
    pub(crate) service: Option<Arc<dyn PeerService>>,
    /// Where others find it; kept over a restart unless a test moves it.
    pub(crate) port: u16,
    /// Where others are told to find it instead, if something lies between.
    pub(crate) proxy: Option<u16>,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) node: Option<Node>,
    _directory: Arc<tempfile::TempDir>,
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            name: name.to_owned(),
            path: directory.path().join("data"),
            digests: Digests::default(),
            is_digesting: true,
            snapshots: SnapshotPolicy::default(),
            profile: Profile::Lan,
            service: None,
            port: listener.local_addr().unwrap().port(),
            proxy: None,
            runtime: None,
            node: None,
            _directory: directory,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.unwrap_or(self.port))
    }

    pub(crate) fn facts() -> NodeFacts {
        NodeFacts { version: "test".into(), ..NodeFacts::default() }
    }

    fn options(&self, may_found: bool) -> Options {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let deadline = Instant::now() + PATIENCE;
        let listen = loop {
            match TcpListener::bind(address) {
                // The one that was killed may still be ending.
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                bound => break bound.unwrap(),
            }
        };
        let about = About {
            name: self.name.clone(),
            address: self.address(),
            location: LocationId::new("local").unwrap(),
            role: Role::Full,
            facts: Self::facts(),
        };
        Options {
            reserve_bytes: 1 << 20,
            snapshots: self.snapshots,
            may_found,
            listen: Some(listen),
            profile: self.profile,
            about,
            service: self.service.clone(),
            ..Options::default()
        }
    }

    /// Starts the node, and waits while its predecessor ends.
    pub(crate) fn try_start(&mut self) -> Result<(), OpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let node = loop {
            let may_found = self.name == "a";
            let digests = self.is_digesting.then(|| Arc::clone(&self.digests));
            let (options, digester) = (self.options(may_found), Digester(digests));
            match runtime.block_on(Node::open(&self.path, options, digester)) {
                Err(OpenError::Directory(DirectoryError::InUse { .. })) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened,
            }
        };
        match node {
            Ok(node) => {
                (self.node, self.runtime) = (Some(node), Some(runtime));
                Ok(())
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    pub(crate) fn start(&mut self) {
        self.try_start().unwrap();
    }

    /// Makes it vanish: nothing is closed or said.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.node = None;
    }

    /// Makes it stand still for a while, as a stopped process does.
    pub(crate) fn pause(&self, span: Duration) {
        for _ in 0..WORKERS {
            self.runtime.as_ref().unwrap().spawn(async move { std::thread::sleep(span) });
        }
    }

    pub(crate) fn stop(&mut self) {
        let (Some(node), Some(runtime)) = (self.node.take(), self.runtime.take()) else { return };
        runtime.block_on(node.close()).unwrap();
        runtime.shutdown_background();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Runs something on the node's own runtime.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(work)
    }

    pub(crate) fn propose(&self, body: Body) -> Result<cluster::Proposed, cluster::ProposeError> {
        let node = self.node().clone();
        self.run(async move { node.propose(body).await })
    }

    pub(crate) fn id(&self) -> NodeId {
        self.node().id()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Several nodes that make one cluster.
pub(crate) struct Together {
    pub(crate) machines: Vec<Machine>,
}

impl Together {
    /// One node, founded.
    pub(crate) fn one() -> Self {
        Self::one_with(|_| {})
    }

    pub(crate) fn one_with(adapt: impl Fn(&mut Machine)) -> Self {
        let mut first = Machine::new("a");
        adapt(&mut first);
        first.start();
        let node = first.node().clone();
        first.run(async move { node.found_if_needed().await }).unwrap();
        Self { machines: vec![first] }
    }

    /// A cluster of so many nodes, all of which vote.
    pub(crate) fn of(count: usize) -> Self {
        Self::of_with(count, |_| {})
    }

    pub(crate) fn of_with(count: usize, adapt: impl Fn(&mut Machine)) -> Self {
        let mut together = Self::one_with(&adapt);
        for number in 1..count {
            let mut machine = Machine::new(&"abcdefghi"[number..=number]);
            adapt(&mut machine);
            together.join(machine, None);
        }
        together.wait_for_voters(count);
        together
    }

    /// Lets a further node in and starts it.
    pub(crate) fn join(&mut self, machine: Machine, replaces: Option<NodeId>) {
        let ticket = self.invite(replaces);
        self.join_with(machine, &ticket);
    }

    pub(crate) fn invite(&self, replaces: Option<NodeId>) -> String {
        let host = self.up().next().unwrap();
        let options =
            InviteOptions { actor: "test".into(), role: Role::Full, good_for: Duration::from_secs(600), replaces };
        let node = host.node().clone();
        host.run(async move { node.invite(options).await }).unwrap().to_string()
    }

    pub(crate) fn join_with(&mut self, mut machine: Machine, ticket: &str) {
        join(&machine, ticket).unwrap();
        machine.start();
        self.machines.push(machine);
    }

    pub(crate) fn up(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.is_up())
    }

    /// The number of the node that leads and has a majority, waited for.
    pub(crate) fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leads = |machine: &Machine| {
                let status = machine.node().status();
                status.is_leader && status.has_quorum
            };
            let found = (0..self.machines.len()).find(|at| self.machines[*at].is_up() && leads(&self.machines[*at]));
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < deadline, "nobody leads: {}", self.describe());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        (0..self.machines.len()).filter(|at| *at != leader && self.machines[*at].is_up()).collect()
    }

    pub(crate) fn wait_for_voters(&self, count: usize) {
        let has_them = |machine: &Machine| {
            let status = machine.node().status();
            status.voters == count && !status.is_changing_voters
        };
        self.wait(has_them, &format!("{count} voters"));
    }

    /// Waits until something holds on every node that is up.
    pub(crate) fn wait(&self, holds: impl Fn(&Machine) -> bool, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.up().all(&holds) {
            assert!(Instant::now() < deadline, "{what}: {}", self.describe());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until all nodes have applied the same, and checks that their
    /// states were equal after every entry that both of two nodes applied.
    pub(crate) fn check_equal(&self) {
        let deadline = Instant::now() + PATIENCE;
        let top = loop {
            let applied: Vec<u64> = self.up().map(|machine| machine.node().state().applied_index()).collect();
            if applied.iter().all(|index| *index == applied[0]) {
                break applied[0];
            }
            assert!(Instant::now() < deadline, "{}", self.describe());
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut all: BTreeMap<u64, (u32, String)> = BTreeMap::new();
        for machine in &self.machines {
            for (index, digest) in machine.digests.lock().unwrap().iter().filter(|(index, _)| **index <= top) {
                let known = all.entry(*index).or_insert_with(|| digest.clone());
                assert_eq!(known, digest, "node {} is another after entry {index}", machine.name);
            }
        }
        let mut states = self.up().map(|machine| (machine.node().state().applied_index(), machine.node().state()));
        if let Some((first, state)) = states.next() {
            for (index, other) in states.filter(|(index, _)| *index == first) {
                assert_eq!(other.encode(), state.encode(), "after entry {index}");
            }
        }
    }

    /// Checks that everything that was answered is where the answer said.
    pub(crate) fn check_answered(&self, answered: &BTreeMap<u64, String>) {
        let mut all: BTreeMap<u64, String> = BTreeMap::new();
        for machine in &self.machines {
            all.extend(machine.digests.lock().unwrap().iter().map(|(index, (_, key))| (*index, key.clone())));
        }
        for (index, key) in answered {
            assert_eq!(all.get(index), Some(key), "entry {index} was acknowledged");
        }
    }

    pub(crate) fn describe(&self) -> String {
        self.machines
            .iter()
            .map(|machine| match &machine.node {
                Some(node) => format!("\n{} {}: {:?} {:?}", machine.name, node.id(), node.status(), node.peers()),
                None => format!("\n{}: down", machine.name),
            })
            .collect()
    }
}

/// Makes the directory of a machine that of a further node.
pub(crate) fn join(machine: &Machine, ticket: &str) -> Result<cluster::Joined, cluster::JoinError> {
    let options = JoinOptions {
        name: machine.name.clone(),
        address: machine.address(),
        location: LocationId::new("local").unwrap(),
        facts: Machine::facts(),
        patience: PATIENCE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(cluster::join(&machine.path, ticket, options))
}

/// A command with a key of its own that is refused by the machine and logged all the same.
pub(crate) fn command(key: &str) -> Body {
    Body::Command(Command {
        actor: "test".into(),
        origin: Origin::Api,
        key: key.to_owned(),
        expected_revision: None,
        action: Action::EndMaintenance { maintenance: model::id::MaintenanceId::new("none").unwrap() },
    })
}

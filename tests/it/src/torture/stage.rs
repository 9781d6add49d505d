//! What all threads of the torture share: the world, the machines, what was
//! found, and a journal of everything that was done.

use super::machine::{Machine, Standing};
use crate::cluster::own;
use crate::door::Door;
use crate::node::Node;
use crate::random::Random;
use crate::webhook::{Mood, Receiver, Target};
use crate::world::{PlaceNumber, World};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Places besides those of the first nodes: for those that come before others have left.
const SPARE_PLACES: u8 = 2;
/// Checks that keep the log busy besides those that matter.
const LOAD_CHECKS: usize = 12;
/// How long one is asked whether it leads; one that is paused does not answer.
const LEADS_WITHIN: Duration = Duration::from_millis(500);

/// What the operator is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Replace a node that has lost its data, or may have.
    Replace(String),
    /// Let a node join and another one leave.
    Churn,
    /// Let another node lead.
    Transfer,
    /// Let another authority sign certificates.
    Authority,
}

/// What all threads share.
pub(super) struct Stage {
    pub(super) world: World,
    /// The service whose target works or does not, as the weather is.
    pub(super) target: Target,
    pub(super) receiver: Receiver,
    /// When the last fault was taken back; from then on everybody may expect answers.
    pub(super) healed: OnceLock<Instant>,
    /// Set when all is well again after the last fault.
    pub(super) well: OnceLock<()>,
    /// Whether the clients go home.
    pub(super) is_over: AtomicBool,
    /// Whether the operator is in the middle of a job.
    pub(super) is_operator_busy: AtomicBool,
    machines: Mutex<Vec<Machine>>,
    free_places: Mutex<Vec<PlaceNumber>>,
    jobs: Mutex<VecDeque<Job>>,
    keys: String,
    one_way: Duration,
    directory: PathBuf,
    begin: Instant,
    journal: Mutex<File>,
    violations: Mutex<Vec<String>>,
    named: AtomicU64,
}

impl Stage {
    /// Makes a world for this many nodes that are this far from each other.
    /// `None` if that is not possible here, after saying so.
    pub(super) fn new(nodes: u8, one_way: Duration, directory: &Path) -> Option<Self> {
        let world = World::with_places(nodes + SPARE_PLACES)?;
        let address = world.place(crate::world::HERE).address();
        let target = world.here(|| Target::start_at(address));
        let receiver = world.here(|| Receiver::start_at(address, Mood::Takes));
        // What is "far" for the product begins at some 20 ms.
        let profile = if one_way > Duration::from_millis(10) { "wan" } else { "lan" };
        let stage = Self {
            free_places: Mutex::new(world.numbers().collect()),
            world,
            target,
            receiver,
            healed: OnceLock::new(),
            well: OnceLock::new(),
            is_over: AtomicBool::new(false),
            is_operator_busy: AtomicBool::new(false),
            machines: Mutex::default(),
            jobs: Mutex::default(),
            keys: format!(", profile: {profile}"),
            one_way,
            directory: directory.to_owned(),
            begin: Instant::now(),
            journal: Mutex::new(File::create(directory.join("journal")).expect("the directory is ours")),
            violations: Mutex::default(),
            named: AtomicU64::new(0),
        };
        stage.calm();
        Some(stage)
    }

    /// What is replicated: where checks are made, what is watched, who is told.
    pub(super) fn configuration(&self) -> String {
        let at = self.target.address();
        let mut yaml = format!(
            "page: {{ name: Torture }}\nlocations: [a, b, c]\ndefaults: {{ every: 2s, timeout: 1s, retry: 1s }}\n\
             receivers: [ {{ id: ops, webhook: \"{}\" }} ]\nservices:\n\
             - {{ id: website, name: Website, checks: [ {{ id: website, http: \"http://{at}/\" }} ] }}\n\
             - {{ id: broken, name: Broken, checks: [ {{ id: broken, http: \"http://{at}/\", expect: {{ status: 418 }} }} ] }}\n\
             - name: Load\n  announce: false\n  checks:\n",
            self.receiver.url()
        );
        for number in 0..LOAD_CHECKS {
            yaml.push_str(&format!("  - {{ id: load-{number}, tcp: \"{at}\" }}\n"));
        }
        yaml
    }

    /// A new machine in a free place, with an empty disk. `None` if it cannot
    /// be given a disk, after saying so.
    pub(super) fn new_machine(&self, location: &str, rest: &str) -> Option<Machine> {
        let place = lock(&self.free_places).remove(0);
        let name = format!("n{}", self.named.fetch_add(1, Ordering::Relaxed) + 1);
        let directory = self.directory.join(&name);
        std::fs::create_dir(&directory).expect("each name is used once");
        let node = Node::new(&name, location, self.world.place(place), &directory);
        node.configure(&self.keys, rest);
        Machine::new(node)
    }

    /// Adds a machine whose node belongs to the cluster.
    pub(super) fn add(&self, machine: Machine) {
        lock(&self.machines).push(machine);
    }

    /// Takes back a machine that was never added.
    pub(super) fn put_away(&self, machine: Machine) {
        lock(&self.free_places).push(machine.node.place());
    }

    /// Takes a machine away for good; its place is free for another one.
    pub(super) fn retire(&self, name: &str) {
        let mut machines = lock(&self.machines);
        if let Some(at) = machines.iter().position(|machine| machine.name() == name) {
            let mut machine = machines.remove(at);
            machine.node.kill9();
            self.note(&format!("{name} is taken away"));
            lock(&self.free_places).push(machine.node.place());
        }
    }

    /// Does something with all machines. Nobody else can meanwhile, so it must be short.
    pub(super) fn with_machines<T>(&self, act: impl FnOnce(&mut Vec<Machine>) -> T) -> T {
        act(&mut lock(&self.machines))
    }

    /// Does something with one machine, if it is still there.
    pub(super) fn with<T>(&self, name: &str, act: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        self.with_machines(|machines| machines.iter_mut().find(|machine| machine.name() == name).map(act))
    }

    /// The doors of all machines, those included that do not run.
    pub(super) fn doors(&self) -> Vec<Door> {
        self.with_machines(|machines| machines.iter().map(|machine| machine.node.door.clone()).collect())
    }

    /// The doors of the machines that can be relied on.
    pub(super) fn whole_doors(&self) -> Vec<Door> {
        self.with_machines(|machines| {
            let whole = machines.iter().filter(|machine| machine.standing == Standing::Whole);
            whole.map(|machine| machine.node.door.clone()).collect()
        })
    }

    /// A door, drawn.
    pub(super) fn any_door(&self, random: &mut Random) -> Option<Door> {
        let doors = self.doors();
        doors.get(random.below(doors.len() as u64) as usize).cloned()
    }

    /// The name and place of whoever says that it leads a majority.
    pub(super) fn leader(&self) -> Option<(String, PlaceNumber)> {
        let running: Vec<(Door, PlaceNumber)> = self.with_machines(|machines| {
            let running = machines.iter().filter(|machine| machine.node.is_running());
            running.map(|machine| (machine.node.door.clone(), machine.node.place())).collect()
        });
        running.into_iter().find_map(|(door, place)| {
            let answer = door.get_within("/api/v1/status", LEADS_WITHIN)?;
            let status: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            let leads = status["node"]["has_quorum"] == true && own(&status)["is_leader"] == true;
            leads.then(|| (door.node().to_owned(), place))
        })
    }

    /// Gives the wire its ordinary delays and losses; cuts stay.
    pub(super) fn calm(&self) {
        let places: Vec<PlaceNumber> = self.world.numbers().collect();
        for (at, a) in places.iter().enumerate() {
            for b in &places[at + 1..] {
                self.world.links().delay(*a, *b, self.one_way, self.one_way / 20);
                self.world.links().lose(*a, *b, 0);
                self.world.links().lose(*b, *a, 0);
            }
        }
    }

    /// Gives the operator something to do.
    pub(super) fn order(&self, job: Job) {
        let mut jobs = lock(&self.jobs);
        if !jobs.contains(&job) {
            jobs.push_back(job);
        }
    }

    /// Takes the next thing to do. Whoever takes it is busy from the same moment.
    pub(super) fn next_job(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        let job = jobs.pop_front();
        self.is_operator_busy.store(job.is_some(), Ordering::SeqCst);
        job
    }

    /// Whether the operator has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let jobs = lock(&self.jobs);
        jobs.is_empty() && !self.is_operator_busy.load(Ordering::SeqCst)
    }

    /// Whether the cluster has come back by itself.
    pub(super) fn is_well(&self) -> bool {
        self.well.get().is_some()
    }

    /// Whether all faults have been over for so long.
    pub(super) fn has_been_healed_for(&self, time: Duration) -> bool {
        self.healed.get().is_some_and(|healed| healed.elapsed() > time)
    }

    /// Microseconds since the beginning: the clock of all calls.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes down what was done.
    pub(super) fn note(&self, what: &str) {
        let at = self.begin.elapsed().as_secs_f64();
        // The journal is for people; without it the torture goes on.
        let _ = writeln!(lock(&self.journal), "{at:9.3} {what}");
    }

    /// Keeps what must not be.
    pub(super) fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(&format!("VIOLATION {what}"));
        lock(&self.violations).push(what);
    }

    /// All that must not have been.
    pub(super) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    /// What stands under `cluster:` in each node's file besides name and addresses.
    pub(super) fn keys(&self) -> &str {
        &self.keys
    }

    /// Where everything is kept.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What a thread that panicked has left is looked at all the same: the panic is reported by itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Brings faults over the machines, several at a time, and takes them back.
//!
//! Also what a supervisor does: a node that ends by itself is started again.
//! One that is whole must not.

use super::fault::{Fault, Harm, Hunt, Shape, Sight, choose};
use super::machine::{Machine, Standing};
use super::stage::{Job, Stage};
use super::verdict;
use crate::random::Random;
use crate::wait;
use crate::world::PlaceNumber;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How often whoever leads is hunted in a row.
const HUNTS: u64 = 4;
/// A start on a busy machine, with debug switches.
const STARTS_WITHIN: Duration = Duration::from_secs(40);
/// How a program of Rust ends that panicked.
const PANICKED: i32 = 101;
/// How long members may need to agree when nothing goes wrong.
const CALMS_WITHIN: Duration = Duration::from_secs(60);
/// How often the watched website goes down or comes back.
const TARGET_TURNS: Duration = Duration::from_secs(15);

/// What takes a fault back, or goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Start(String),
    Continue(String),
    Mend,
    Calm,
    Room(String),
    RightClock(String),
    Hunt(Hunt, u64),
    RollBack(String),
}

/// The faults that are there, and those to come.
pub(super) struct Weather<'a> {
    stage: &'a Stage,
    random: Random,
    later: Vec<(Instant, Then)>,
    next: Instant,
    is_cut: bool,
    target_turns: Instant,
    counts: BTreeMap<&'static str, u64>,
    without: &'a [String],
    /// Whether all members have agreed since the last change of who they are.
    /// Before, one loss more than usual can be too much: while two become
    /// three, both of the two are needed.
    is_steady: bool,
}

impl<'a> Weather<'a> {
    pub(super) fn new(stage: &'a Stage, random: Random, without: &'a [String]) -> Self {
        let now = Instant::now();
        let (later, counts) = (Vec::new(), BTreeMap::new());
        Self {
            stage,
            random,
            later,
            next: now,
            is_cut: false,
            target_turns: now + TARGET_TURNS,
            counts,
            without,
            is_steady: true,
        }
    }

    /// Lets faults come and go for a while, then takes all of them back.
    /// Returns how many of each kind there were.
    pub(super) fn rage(mut self, length: Duration) -> BTreeMap<&'static str, u64> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.take_back(false);
            supervise(self.stage);
            if !self.is_steady && self.stage.is_idle() {
                self.calm_down();
            }
            if Instant::now() >= self.next {
                self.begin_one();
            }
            if Instant::now() >= self.target_turns {
                self.stage.target.fail(self.random.chance(50));
                self.target_turns = Instant::now() + TARGET_TURNS;
            }
            std::thread::sleep(PAUSE);
        }
        self.take_back(true);
        self.stage.target.fail(false);
        self.stage.note("all faults are over");
        // Nobody else sets it.
        let _ = self.stage.healed.set(Instant::now());
        self.counts
    }

    /// Takes all faults back until the members agree who they are.
    fn calm_down(&mut self) {
        self.stage.note("a calm, until the members have settled");
        self.take_back(true);
        if let Err(missing) = verdict::settles(self.stage, CALMS_WITHIN) {
            let seconds = CALMS_WITHIN.as_secs();
            self.stage.violation(format!("not settled after {seconds} s without a fault: {missing}"));
        }
        self.is_steady = self.stage.is_idle();
    }

    fn begin_one(&mut self) {
        let sight = self.sight();
        let chosen = choose(&mut self.random, &sight);
        if let Some(fault) = chosen.filter(|fault| self.without.iter().all(|kind| kind != fault.kind())) {
            self.stage.note(&fault.to_string());
            *self.counts.entry(fault.kind()).or_default() += 1;
            self.inflict(fault);
        }
        // Often before the last one is over, and now and then long after.
        self.next = Instant::now() + Duration::from_millis(self.random.between(200, 3_500));
    }

    fn sight(&self) -> Sight {
        let is_idle = self.stage.is_idle();
        self.stage.with_machines(|machines| {
            let is_here = |machine: &&Machine| machine.standing == Standing::Whole && machine.node.is_running();
            let running = machines.iter().filter(is_here).map(|m| (m.name().to_owned(), m.node.place())).collect();
            let lost = machines.iter().filter(|machine| machine.standing != Standing::Whole).count();
            Sight {
                running,
                may_harm: is_idle && self.is_steady && lost < machines.len().saturating_sub(1) / 2,
                may_change: is_idle,
                may_cut: !self.is_cut,
                has_clocks: machines.iter().all(Machine::has_clock),
            }
        })
    }

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(names) => names.iter().for_each(|name| self.kill(name)),
            Fault::Restart(name) => {
                self.stage.with(&name, |machine| {
                    machine.is_asked_to_stop = true;
                    machine.node.signal(Signal::TERM);
                });
                self.after(2_000, 4_000, Then::Start(name));
            }
            Fault::Pause(names) => names.iter().for_each(|name| self.pause(name)),
            Fault::Cut(shape) => self.cut(&shape),
            Fault::Slow(place, delay) => {
                for other in self.others(place) {
                    self.stage.world.links().delay(place, other, delay, delay);
                }
                self.after(1_000, 6_000, Then::Calm);
            }
            Fault::Lossy(place, per_thousand) => {
                for other in self.others(place) {
                    self.stage.world.links().lose(place, other, per_thousand);
                    self.stage.world.links().lose(other, place, per_thousand);
                }
                self.after(1_000, 6_000, Then::Calm);
            }
            Fault::Full(name) => {
                self.stage.with(&name, |machine| machine.fill_disk());
                self.after(1_000, 8_000, Then::Room(name));
            }
            Fault::Clock(name, seconds) => {
                self.stage.with(&name, |machine| machine.shift_clock(seconds));
                self.after(2_000, 10_000, Then::RightClock(name));
            }
            Fault::Hunt(hunt) => self.hunt(hunt, HUNTS),
            Fault::Harm(name, harm) => self.harm(&name, harm),
            Fault::Transfer => self.stage.order(Job::Transfer),
            Fault::Churn => {
                self.is_steady = false;
                self.stage.order(Job::Churn);
            }
            Fault::Authority => self.stage.order(Job::Authority),
        }
    }

    fn kill(&mut self, name: &str) {
        self.stage.with(name, |machine| machine.node.kill9());
        self.after(0, 4_000, Then::Start(name.to_owned()));
    }

    fn pause(&mut self, name: &str) {
        self.stage.with(name, |machine| machine.node.signal(Signal::STOP));
        self.after(300, 6_000, Then::Continue(name.to_owned()));
    }

    fn cut(&mut self, shape: &Shape) {
        let links = self.stage.world.links();
        let all: Vec<PlaceNumber> = self.stage.world.numbers().collect();
        match shape {
            Shape::Sides(side) => {
                let others: Vec<PlaceNumber> = all.into_iter().filter(|place| !side.contains(place)).collect();
                links.part(side, &others);
            }
            Shape::Nobody => links.part(&all, &all),
            Shape::Pair(a, b) => links.cut(*a, *b),
            Shape::Mute(place) => self.others(*place).for_each(|other| links.cut_one_way(*place, other)),
            Shape::Deaf(place) => self.others(*place).for_each(|other| links.cut_one_way(other, *place)),
            Shape::OneWayRound => {
                for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
                    if from < to {
                        links.cut_one_way(from, to);
                    }
                }
            }
        }
        self.is_cut = true;
        self.after(500, 8_000, Then::Mend);
    }

    fn others(&self, place: PlaceNumber) -> impl Iterator<Item = PlaceNumber> + use<> {
        self.stage.world.numbers().filter(move |other| *other != place)
    }

    fn hunt(&mut self, hunt: Hunt, left: u64) {
        let leader = self.stage.leader();
        if let Some((name, place)) = leader {
            self.stage.note(&format!("{name} leads and is hunted"));
            match hunt {
                Hunt::Kills => self.kill(&name),
                Hunt::Pauses => self.pause(&name),
                Hunt::CutsOff if !self.is_cut => self.cut(&Shape::Sides(vec![place])),
                Hunt::CutsOff => {}
            }
        }
        if left > 1 {
            self.after(500, 2_500, Then::Hunt(hunt, left - 1));
        }
    }

    fn harm(&mut self, name: &str, harm: Harm) {
        match harm {
            Harm::Wiped => self.wipe(name),
            Harm::Flipped => self.flip(name),
            Harm::RolledBack => {
                let copy = self.copy_of(name);
                self.stage.with(name, |machine| {
                    machine.node.kill9();
                    machine.copy_data(&copy);
                    machine.node.launch();
                    // From here on a bit of what it says is lost sooner or later; nobody else may lose anything.
                    machine.standing = Standing::Suspect;
                });
                self.after(2_000, 6_000, Then::RollBack(name.to_owned()));
            }
        }
    }

    /// A node that has lost its disk must not come back under its name.
    fn wipe(&mut self, name: &str) {
        self.is_steady = false;
        self.stage.with(name, |machine| {
            machine.standing = Standing::Lost;
            machine.node.kill9();
            machine.make_room();
            machine.wipe();
            machine.node.launch();
        });
        if self.stays(name) == Some(true) {
            self.stage
                .violation(format!("{name} served again after its disk was wiped; {}", log_tail(self.stage, name)));
            self.stage.with(name, |machine| machine.node.kill9());
        }
        self.stage.order(Job::Replace(name.to_owned()));
    }

    /// A node whose files are damaged says so and ends, or nothing comes of it.
    fn flip(&mut self, name: &str) {
        self.is_steady = false;
        let random = &mut self.random;
        let flipped = self.stage.with(name, |machine| {
            machine.standing = Standing::Suspect;
            machine.node.kill9();
            machine.make_room();
            let flipped = machine.flip(random);
            machine.node.launch();
            flipped
        });
        let stays = self.stays(name);
        self.stage.note(&format!("{name}: bits turned in {:?}; it stays: {stays:?}", flipped.flatten()));
        if stays == Some(false) {
            self.stage.with(name, |machine| machine.standing = Standing::Lost);
        }
        self.stage.order(Job::Replace(name.to_owned()));
    }

    /// Whether a node that was just started serves; it ended otherwise, and
    /// must have done so in an orderly way.
    fn stays(&self, name: &str) -> Option<bool> {
        let door = self.stage.with(name, |machine| machine.node.door.clone())?;
        let known = wait::until(STARTS_WITHIN, || {
            let ended = self.stage.with(name, |machine| machine.node.ended())?;
            if let Some(status) = ended {
                if status.code().is_none_or(|code| code == 0 || code == PANICKED) {
                    self.stage.violation(format!("{name} ended with {status}; {}", log_tail(self.stage, name)));
                }
                return Some(false);
            }
            door.get_within("/healthz", PAUSE).is_some_and(|answer| answer.status == 200).then_some(true)
        });
        if known.is_none() {
            self.stage.violation(format!("{name} neither serves nor ends; {}", log_tail(self.stage, name)));
        }
        known
    }

    fn copy_of(&self, name: &str) -> PathBuf {
        self.stage.directory().join(format!("copy-of-{name}"))
    }

    fn roll_back(&mut self, name: &str) {
        self.is_steady = false;
        let copy = self.copy_of(name);
        self.stage.with(name, |machine| {
            machine.node.kill9();
            machine.make_room();
            machine.put_back(&copy);
            machine.standing = Standing::Lost;
            machine.node.launch();
        });
        self.stage.order(Job::Replace(name.to_owned()));
    }

    /// Goes on with what is due, or with everything.
    fn take_back(&mut self, is_all: bool) {
        let now = Instant::now();
        let mut due: Vec<(Instant, Then)> = Vec::new();
        self.later.retain(|(at, then)| {
            let is_due = is_all || *at <= now;
            if is_due {
                due.push((*at, then.clone()));
            }
            !is_due
        });
        due.sort_by_key(|(at, _)| *at);
        for (_, then) in due {
            self.go_on(then, is_all);
        }
    }

    fn go_on(&mut self, then: Then, is_last: bool) {
        let stage = self.stage;
        match then {
            Then::Start(name) => {
                stage.with(&name, |machine| {
                    machine.is_asked_to_stop = false;
                    // One that was asked to stop and has not, by now.
                    machine.node.kill9();
                    if machine.standing != Standing::Lost {
                        machine.node.launch();
                    }
                });
            }
            Then::Continue(name) => {
                stage.with(&name, |machine| machine.node.signal(Signal::CONT));
            }
            Then::Mend => {
                stage.world.links().mend();
                self.is_cut = false;
                stage.note("the wire is mended");
            }
            Then::Calm => stage.calm(),
            Then::Room(name) => {
                stage.with(&name, |machine| machine.make_room());
            }
            Then::RightClock(name) => {
                stage.with(&name, |machine| machine.shift_clock(0));
            }
            Then::Hunt(..) if is_last => {}
            Then::Hunt(hunt, left) => self.hunt(hunt, left),
            Then::RollBack(name) => self.roll_back(&name),
        }
    }

    fn after(&mut self, from_ms: u64, to_ms: u64, then: Then) {
        let after = Duration::from_millis(self.random.between(from_ms, to_ms));
        self.later.push((Instant::now() + after, then));
    }
}

/// Starts what ended by itself, and says so if it should not have.
pub(super) fn supervise(stage: &Stage) {
    let mut found = Vec::new();
    let mut lost = Vec::new();
    stage.with_machines(|machines| {
        for machine in machines {
            let Some(status) = machine.node.ended() else { continue };
            match machine.standing {
                // It is started when its time has come.
                _ if machine.is_asked_to_stop => {}
                Standing::Whole => {
                    let log = machine.node.log_tail();
                    found.push(format!("{} ended by itself with {status}; its log ends:\n{log}", machine.name()));
                    machine.node.launch();
                }
                Standing::Suspect => {
                    machine.standing = Standing::Lost;
                    lost.push(machine.name().to_owned());
                }
                Standing::Lost | Standing::Leaving => {}
            }
        }
    });
    for name in lost {
        stage.note(&format!("{name} found its damage and ended"));
        stage.order(Job::Replace(name));
    }
    found.into_iter().for_each(|what| stage.violation(what));
}

fn log_tail(stage: &Stage, name: &str) -> String {
    let tail = stage.with(name, |machine| machine.node.log_tail()).unwrap_or_default();
    format!("its log ends:\n{tail}")
}

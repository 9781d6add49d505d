//! The made-up world around the real machine.

use crate::changes::{self, local};
use crate::random::Random;
use crate::weather::Target;
use control::State;
use control::delivery;
use control::edge::{Collector, Due, Schedule};
use model::check::{Check, CheckKind, HeartbeatSchedule};
use model::configuration::Configuration;
use model::entry::{Action, Answer, Body, Command, Entry, Origin};
use model::id::{CheckSlot, MaintenanceId, ReceiverId, ServiceId};
use model::message::Step;
use model::member::NodeId;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::service::{Impact, Maintenance};
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The first moment of every run.
const BEGIN_MS: i64 = 1_795_000_000_000;
/// Virtual seconds of a run before it calms down.
const SECONDS: u64 = 3 * 3600;
/// Virtual seconds in which everything works again and must settle: longer
/// than the longest pause between two attempts, and than flapping takes to end.
const CALM_SECONDS: u64 = 2 * 3600;

/// A delivery that a receiver took, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Who took it.
    pub receiver: ReceiverId,
    /// Its key.
    pub key: String,
    /// Its thread.
    pub thread: String,
    /// Which step it told.
    pub step: Step,
}

/// What happened in a run, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Story {
    /// Entries applied.
    pub entries: u64,
    /// Rounds made.
    pub rounds: u64,
    /// Incidents opened.
    pub incidents: u64,
    /// Messages taken by receivers.
    pub taken: u64,
    /// Times the node died.
    pub deaths: u64,
}

/// The world.
pub struct World {
    pub(crate) seed: u64,
    random: Random,
    pub(crate) state: State,
    index: u64,
    seconds: u64,
    targets: Vec<Target>,
    configuration: Configuration,
    /// Whether people change things in this run.
    pub(crate) is_changed: bool,
    /// Receivers that were removed at some time.
    pub(crate) removed: BTreeSet<ReceiverId>,
    /// The checks whose rounds are planned.
    planned: BTreeMap<CheckSlot, Check>,
    receivers_well: bool,
    schedule: Schedule,
    collector: Collector,
    /// Keys whose attempt this life of the node makes.
    in_flight: BTreeSet<String>,
    /// Failed rounds of each check since it last passed, as the world counts them.
    pub(crate) failed_rounds: BTreeMap<CheckSlot, u64>,
    pub(crate) taken: Vec<Taken>,
    /// The log since the last snapshot, and that snapshot.
    snapshot: Vec<u8>,
    tail: Vec<(u64, Entry)>,
    pub(crate) replayed_equal: bool,
    story: Story,
}

impl World {
    /// The world of a seed, with its configuration active.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let configuration = changes::configuration(&mut random);
        let begin = Timestamp::from_ms(BEGIN_MS);
        let state = State::default();
        let mut world = Self {
            seed,
            random,
            snapshot: state.encode(),
            state,
            index: 0,
            seconds: 0,
            targets: Vec::new(),
            configuration,
            is_changed: seed.is_multiple_of(2),
            removed: BTreeSet::new(),
            planned: BTreeMap::new(),
            receivers_well: false,
            schedule: Schedule::new(begin),
            collector: Collector::new(local(), NodeId(1), 1),
            in_flight: BTreeSet::new(),
            failed_rounds: BTreeMap::new(),
            taken: Vec::new(),
            tail: Vec::new(),
            replayed_equal: true,
            story: Story::default(),
        };
        world.reload();
        world
    }

    /// Lets one virtual second pass; false when the run is over.
    pub fn step(&mut self) -> bool {
        self.second();
        if self.random.happens(2) {
            self.die();
        }
        if self.random.happens(1) {
            self.plan_work();
        }
        if self.random.happens(1) {
            self.end_work();
        }
        if self.is_changed && self.random.happens(2) {
            self.change();
        }
        if self.is_changed && self.random.happens(1) && self.random.happens(200) {
            // The machine is off for a while.
            self.seconds += self.random.between(30, 3600);
            self.die();
        }
        self.seconds < SECONDS
    }

    /// Lets everything work again, and waits until it has settled.
    pub fn calm_down(&mut self) {
        self.targets.iter_mut().for_each(Target::mend);
        self.receivers_well = true;
        for _ in 0..CALM_SECONDS {
            self.second();
        }
    }

    /// The run in numbers.
    pub fn story(&self) -> Story {
        Story {
            entries: self.index,
            incidents: self.state.incidents().count() as u64,
            taken: self.taken.len() as u64,
            ..self.story
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(BEGIN_MS + self.seconds as i64 * 1000)
    }

    fn second(&mut self) {
        self.seconds += 1;
        for target in &mut self.targets {
            target.pass(&mut self.random);
        }
        self.look();
        self.beat();
        self.apply(Body::Tick);
        self.deliver();
    }

    fn look(&mut self) {
        let now = self.now();
        let mut due: Vec<Due> = Vec::new();
        self.schedule.turn(now, &mut due);
        for round in due {
            let Some(check) = self.state.target(round.slot).map(|(_, check)| check.clone()) else {
                continue;
            };
            let outcome = self.targets[round.slot.0 as usize].outcome(&mut self.random);
            self.story.rounds += 1;
            match outcome {
                Outcome::Fail => *self.failed_rounds.entry(round.slot).or_default() += 1,
                Outcome::Pass | Outcome::Degraded | Outcome::Own => {}
            }
            let is_news = self.schedule.finished(round.slot, &check, outcome, now);
            let failure = Failure { cause: Cause::Refused, sentence: "made up".to_owned() };
            let detail =
                (outcome != Outcome::Pass).then(|| Box::new(Detail { failure: Some(failure), ..Detail::default() }));
            let observation =
                Observation { slot: round.slot, scheduled: round.scheduled, outcome, latency_us: 1_000, detail };
            self.collector.add(observation, is_news, now);
        }
        while let Some(batch) = self.collector.take(now) {
            self.apply(Body::Results(batch));
        }
    }

    /// Heartbeats come on the dot as long as their senders are well.
    fn beat(&mut self) {
        let now = self.now();
        for slot in self.state.slots().collect::<Vec<_>>() {
            let Some((_, Check { kind: CheckKind::Heartbeat(heartbeat), .. })) = self.state.target(slot) else {
                continue;
            };
            let HeartbeatSchedule::Period(period) = heartbeat.expected else { continue };
            if !self.seconds.is_multiple_of(period.as_secs()) {
                continue;
            }
            match self.targets[slot.0 as usize].outcome(&mut self.random) {
                Outcome::Pass | Outcome::Degraded => {
                    let outcome = Outcome::Pass;
                    let observation = Observation { slot, scheduled: now, outcome, latency_us: 0, detail: None };
                    self.collector.add(observation, true, now);
                }
                Outcome::Fail | Outcome::Own => *self.failed_rounds.entry(slot).or_default() += 1,
            }
        }
        while let Some(batch) = self.collector.take(now) {
            self.apply(Body::Results(batch));
        }
    }

    fn deliver(&mut self) {
        let (due, _) = delivery::due(&self.state, self.now(), NodeId(1), &self.in_flight);
        for delivery in due {
            let (key, attempt) = (delivery.message.key.clone(), delivery.attempt + 1);
            self.apply(Body::AttemptBegins { key: key.clone(), attempt, node: NodeId(1) });
            self.in_flight.insert(key.clone());
            let works = self.receivers_well || self.random.happens(600);
            if works {
                let (receiver, message) = (delivery.receiver.clone(), &delivery.message);
                self.taken.push(Taken {
                    receiver,
                    key: key.clone(),
                    thread: message.thread.clone(),
                    step: message.step,
                });
            }
            // The node may die between the receiver's answer and its entry.
            if self.random.happens(20) {
                self.die();
                return;
            }
            let failed = Answer::Failed { reason: "made up".to_owned(), retry_after_seconds: None };
            let answer = if works { Answer::Delivered { said: "ok".to_owned() } } else { failed };
            self.apply(Body::AttemptEnded { key: key.clone(), attempt, answer });
            self.in_flight.remove(&key);
        }
    }

    /// The process is killed and starts again from its snapshot and its log.
    fn die(&mut self) {
        self.story.deaths += 1;
        let mut replayed = State::decode(&self.snapshot).expect("an own snapshot");
        for (index, entry) in &self.tail {
            replayed.apply(*index, entry);
        }
        self.replayed_equal &= replayed == self.state;
        self.state = replayed;
        self.in_flight.clear();
        self.schedule = Schedule::new(self.now());
        self.planned.clear();
        let incarnation = self.story.deaths + 1;
        self.collector = Collector::new(local(), NodeId(1), incarnation);
        self.plan_rounds();
    }

    /// What stays the same keeps its schedule.
    fn plan_rounds(&mut self) {
        let now = self.now();
        let mut before = std::mem::take(&mut self.planned);
        let slots: Vec<CheckSlot> = self.state.slots().collect();
        for (order, slot) in slots.into_iter().enumerate() {
            let Some((_, check)) = self.state.target(slot) else { continue };
            if self.targets.len() <= slot.0 as usize {
                self.targets.resize(slot.0 as usize + 1, Target::new());
            }
            if matches!(check.kind, CheckKind::Heartbeat(_)) {
                continue;
            }
            if before.remove(&slot).as_ref() != Some(check) {
                self.schedule.insert(slot, check, now, order);
            }
            self.planned.insert(slot, check.clone());
        }
        before.into_keys().for_each(|slot| self.schedule.remove(slot));
    }

    fn change(&mut self) {
        let before = self.configuration.receivers.clone();
        changes::change(&mut self.random, &mut self.configuration, self.index);
        let gone = before.into_iter().filter(|receiver| self.configuration.receiver(&receiver.id).is_none());
        self.removed.extend(gone.map(|receiver| receiver.id));
        self.reload();
    }

    fn reload(&mut self) {
        let digest = format!("simulated-{}", self.index);
        let bytes = self.configuration.encode();
        self.command(Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes });
        self.command(Action::ActivateConfiguration { digest, offered_by: None });
        self.plan_rounds();
    }

    fn end_work(&mut self) {
        let work: Vec<MaintenanceId> = self.state.maintenance().map(|work| work.id.clone()).collect();
        if !work.is_empty() {
            let maintenance = work[self.random.between(0, work.len() as u64) as usize].clone();
            self.command(Action::EndMaintenance { maintenance });
        }
    }

    fn plan_work(&mut self) {
        let services: Vec<ServiceId> = self.state.services().map(|(service, _)| service.id.clone()).collect();
        let at = self.random.between(0, services.len() as u64) as usize;
        let impact = [Impact::AtRisk, Impact::Degraded, Impact::Outage][self.random.between(0, 3) as usize];
        let from = self.now().plus(Duration::from_secs(self.random.between(0, 300)));
        let until = from.plus(Duration::from_secs(self.random.between(60, 1800)));
        let id = MaintenanceId::new(&format!("work-{}", self.index)).expect("a legal id");
        self.command(Action::ScheduleMaintenance(Maintenance {
            id,
            title: "made-up work".to_owned(),
            from,
            until,
            services: vec![services[at].clone()],
            impact,
        }));
    }

    fn command(&mut self, action: Action) {
        let key = format!("key-{}", self.index);
        let command =
            Command { actor: "sim".to_owned(), origin: Origin::CommandLine, key, expected_revision: None, action };
        self.apply(Body::Command(command));
    }

    fn apply(&mut self, body: Body) {
        self.index += 1;
        let entry = Entry { at: self.now(), body };
        self.state.apply(self.index, &entry);
        self.tail.push((self.index, entry));
        if self.tail.len() >= 500 {
            self.snapshot = self.state.encode();
            self.tail.clear();
        }
    }
}

//! The made-up world around the real machine.

use crate::random::Random;
use crate::weather::Target;
use control::State;
use control::delivery;
use control::edge::{Collector, Due, Schedule};
use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::configuration::Configuration;
use model::entry::{Action, Answer, Body, Command, Entry, Origin};
use model::id::{CheckId, CheckSlot, LocationId, MaintenanceId, ReceiverId, ServiceId};
use model::message::Step;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::receiver::{Means, Receiver};
use model::service::{Impact, Maintenance, Need, NeedClass, Service};
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
        let configuration = configuration(&mut random);
        let targets = vec![Target::new(); configuration.checks().count()];
        let begin = Timestamp::from_ms(BEGIN_MS);
        let state = State::default();
        let mut world = Self {
            seed,
            random,
            snapshot: state.encode(),
            state,
            index: 0,
            seconds: 0,
            targets,
            receivers_well: false,
            schedule: Schedule::new(begin),
            collector: Collector::new(local(), 1),
            in_flight: BTreeSet::new(),
            failed_rounds: BTreeMap::new(),
            taken: Vec::new(),
            tail: Vec::new(),
            replayed_equal: true,
            story: Story::default(),
        };
        let digest = "simulated".to_owned();
        let bytes = configuration.encode();
        world.command(Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes });
        world.command(Action::ActivateConfiguration { digest });
        world.plan_rounds();
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

    fn deliver(&mut self) {
        let (due, _) = delivery::due(&self.state, self.now(), &self.in_flight);
        for delivery in due {
            let (key, attempt) = (delivery.message.key.clone(), delivery.attempt + 1);
            self.apply(Body::AttemptBegins { key: key.clone(), attempt });
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
        let incarnation = self.story.deaths + 1;
        self.collector = Collector::new(local(), incarnation);
        self.plan_rounds();
    }

    fn plan_rounds(&mut self) {
        let now = self.now();
        let slots: Vec<CheckSlot> = self.state.slots().collect();
        for (order, slot) in slots.into_iter().enumerate() {
            if let Some((_, check)) = self.state.target(slot) {
                self.schedule.insert(slot, &check.clone(), now, order);
            }
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

fn local() -> LocationId {
    LocationId::new("local").expect("a legal id")
}

fn configuration(random: &mut Random) -> Configuration {
    let count = random.between(2, 9);
    let services = (0..count).map(|at| service(random, at)).collect();
    let receivers = ["ops", "boss"].into_iter().map(|id| Receiver {
        id: ReceiverId::new(id).expect("a legal id"),
        means: Means::Exec { command: vec!["true".to_owned()] },
        wants_degraded: id == "ops",
        wants_resolved: true,
    });
    Configuration { services, receivers: receivers.collect(), ..Configuration::default() }
}

/// A service; it may need services before it, so needs are never circular.
fn service(random: &mut Random, at: u64) -> Service {
    let id = |n: u64| ServiceId::new(&format!("service-{n}")).expect("a legal id");
    let mut needs = Vec::new();
    if at > 0 && random.happens(500) {
        let class = if random.happens(700) { NeedClass::Hard } else { NeedClass::Soft };
        needs.push(Need { service: id(random.between(0, at)), class });
    }
    let checks = (0..random.between(1, 3)).map(|n| check(random, &format!("check-{at}-{n}"))).collect();
    Service {
        id: id(at),
        name: format!("Service {at}"),
        description: None,
        group: None,
        needs,
        checks,
        receivers: None,
        is_public: true,
        announces: true,
    }
}

fn check(random: &mut Random, id: &str) -> Check {
    Check {
        id: CheckId::new(id).expect("a legal id"),
        kind: CheckKind::Icmp(IcmpCheck { host: "192.0.2.1".to_owned(), count: 1 }),
        every: Duration::from_secs(random.between(10, 120)),
        timeout: Duration::from_secs(5),
        retry: Duration::from_secs(5),
        down_after: random.between(1, 4) as u8,
        up_after: random.between(1, 4) as u8,
        from: vec![local()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

//! Runs the checks: one thread for each core, each with its own runtime, its
//! own schedule and its share of the checks.
//!
//! A check costs a task only while it runs. Rounds are started in small groups,
//! because a burst of hundreds costs a quarter more than the same rounds in
//! groups of 64 (measured), and slow targets that merely wait cost memory only.

use super::House;
use super::collect::Packet;
use control::edge::{self, Due, Schedule};
use model::check::Check;
use model::configuration::Configuration;
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Evidence, Failure, Observation, Outcome};
use model::time::Timestamp;
use probe::{Measured, Prepared, Prober, ProberOptions};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::LocalSet;

/// How often a thread looks at its schedule and passes results on.
const TURN: Duration = Duration::from_millis(5);
/// Rounds started together.
const STARTED_TOGETHER: usize = 64;
/// Rounds running at a time in one thread; at 6 to 10 kB each this bounds memory.
const RUNNING_MAX: usize = 8_000;
/// Every so many rounds the certificate of a round that passed is kept with it.
const CERTIFICATE_EVERY: u32 = 60;
/// Checks that run at least this often are kept prepared. For the others the
/// microseconds of preparing them anew are nothing, and what is kept of each
/// would be a quarter of all its memory, several times that with expressions.
const PREPARED_KEPT_BELOW: Duration = Duration::from_secs(30);
/// Up to so many checks every round keeps its phases; beyond it one in [`CERTIFICATE_EVERY`].
const PHASES_ALWAYS_UP_TO: usize = 2_000;

/// The threads that run checks.
pub(crate) struct Checks {
    threads: Vec<JoinHandle<()>>,
    configurations: watch::Sender<Option<Arc<Share>>>,
}

/// What all threads run; each takes the slots that fall to it.
struct Share {
    configuration: Arc<Configuration>,
    targets: Vec<(CheckSlot, u32, u32)>,
}

impl Checks {
    /// Starts the threads, with nothing to do yet.
    pub(crate) fn start(
        house: &Arc<House>,
        results: mpsc::Sender<Packet>,
        looks: &broadcast::Sender<CheckSlot>,
    ) -> anyhow::Result<Self> {
        let options = ProberOptions { allow_plugins: house.allow_plugins, ..ProberOptions::default() };
        let prober = Arc::new(Prober::new(options)?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (configurations, receiver) = watch::channel(None);
        let mut threads = Vec::new();
        for core in 0..cores {
            let (house, prober, results, receiver) =
                (Arc::clone(house), Arc::clone(&prober), results.clone(), receiver.clone());
            let looks = looks.subscribe();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let work = move || {
                let local = LocalSet::new();
                local.block_on(&runtime, Core::new(core, cores, house, prober, results).run(receiver, looks));
            };
            threads.push(std::thread::Builder::new().name(format!("checks-{core}")).spawn(work)?);
        }
        Ok(Self { threads, configurations })
    }

    /// Gives the threads the active configuration whenever it changes, until the node stops.
    pub(crate) async fn run(self, house: Arc<House>, mut reconfigured: watch::Receiver<u64>) {
        loop {
            reconfigured.mark_unchanged();
            self.configurations.send_replace(Some(Arc::new(share(&house))));
            tokio::select! {
                changed = reconfigured.changed() => if changed.is_err() { break },
                () = house.stopped() => break,
            }
        }
        drop(self.configurations);
        for thread in self.threads {
            // A thread that panicked has said so; there is nothing to add.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn share(house: &House) -> Share {
    let state = house.node.state();
    let configuration = Arc::clone(state.configuration());
    let ours = edge::Share::of(&state, house.node.id(), &house.location);
    let mut targets = Vec::with_capacity(configuration.checks().count());
    for (service_at, service) in configuration.services.iter().enumerate() {
        for (check_at, check) in service.checks.iter().enumerate() {
            if !ours.holds(check) {
                continue;
            }
            if let Some(slot) = state.slot(&check.id) {
                targets.push((slot, service_at as u32, check_at as u32));
            }
        }
    }
    Share { configuration, targets }
}

/// One check of a thread.
struct Job {
    configuration: Arc<Configuration>,
    service: u32,
    check: u32,
    /// Boxed because most checks keep nothing here.
    prepared: OnceCell<Box<Result<Prepared, String>>>,
    is_running: Cell<bool>,
    rounds: Cell<u32>,
}

impl Job {
    fn check(&self) -> &Check {
        &self.configuration.services[self.service as usize].checks[self.check as usize]
    }

    async fn probe(&self, prober: &Prober) -> Measured {
        let check = self.check();
        let prepare = || Box::new(prober.prepare(check).map_err(|error| crate::chain(&error.into())));
        let for_once;
        let prepared = if check.every < PREPARED_KEPT_BELOW {
            self.prepared.get_or_init(prepare)
        } else {
            for_once = prepare();
            &for_once
        };
        match &**prepared {
            Ok(prepared) => prober.probe(prepared).await,
            Err(why) => {
                let failure = Failure { cause: Cause::Own, sentence: format!("cannot be checked: {why}") };
                let detail = Detail { failure: Some(failure), ..Detail::default() };
                Measured { outcome: Outcome::Own, latency_us: 0, detail }
            }
        }
    }
}

/// Counts a round as running while it lives, so that one that panics does not run for ever.
struct Running {
    job: Rc<Job>,
    count: Rc<Cell<usize>>,
}

impl Running {
    fn new(job: Rc<Job>, count: Rc<Cell<usize>>) -> Self {
        job.is_running.set(true);
        count.set(count.get() + 1);
        Self { job, count }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.is_running.set(false);
        self.count.set(self.count.get() - 1);
    }
}

/// A round that has ended.
struct Ended {
    due: Due,
    job: Rc<Job>,
    measured: Measured,
}

/// One thread's part.
struct Core {
    number: usize,
    cores: usize,
    house: Arc<House>,
    prober: Arc<Prober>,
    results: mpsc::Sender<Packet>,
    /// Knows the checks by their positions in `jobs`: a thread's wheel has room
    /// for its own checks only.
    schedule: Schedule,
    jobs: Vec<Option<Rc<Job>>>,
    job_count: usize,
    ended: Rc<RefCell<Vec<Ended>>>,
    running: Rc<Cell<usize>>,
}

impl Core {
    fn new(number: usize, cores: usize, house: Arc<House>, prober: Arc<Prober>, results: mpsc::Sender<Packet>) -> Self {
        let schedule = Schedule::new(house.now());
        Self {
            number,
            cores,
            house,
            prober,
            results,
            schedule,
            jobs: Vec::new(),
            job_count: 0,
            ended: Rc::default(),
            running: Rc::default(),
        }
    }

    async fn run(mut self, mut shares: watch::Receiver<Option<Arc<Share>>>, mut looks: broadcast::Receiver<CheckSlot>) {
        let mut due = Vec::new();
        loop {
            match shares.has_changed() {
                Ok(true) => {
                    let share = shares.borrow_and_update().clone();
                    self.take(share.as_deref());
                }
                Ok(false) => {}
                Err(_) => return,
            }
            loop {
                match looks.try_recv() {
                    Ok(slot) => self.look_now(slot),
                    // The oldest were too many; they are looked at in their regular time.
                    Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
            self.schedule.turn(self.house.now(), &mut due);
            for (count, round) in due.drain(..).enumerate() {
                self.begin(round);
                if (count + 1).is_multiple_of(STARTED_TOGETHER) {
                    tokio::task::yield_now().await;
                }
            }
            if !self.pass_on().await {
                return;
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// Takes over a configuration: what stays the same keeps its schedule.
    fn take(&mut self, share: Option<&Share>) {
        let Some(share) = share else {
            return;
        };
        let now = self.house.now();
        let mut before = std::mem::take(&mut self.jobs);
        self.job_count = 0;
        let mut order = 0;
        let (number, cores) = (self.number, self.cores);
        let of_slot = |slot: CheckSlot| (slot.0 as usize % cores == number).then_some(slot.0 as usize / cores);
        let ours =
            || share.targets.iter().filter_map(|(slot, service, check)| Some((of_slot(*slot)?, *service, *check)));
        let room = ours().map(|(at, _, _)| at + 1).max().unwrap_or(0);
        self.jobs.reserve_exact(room);
        self.jobs.resize_with(room, || None);
        self.schedule.reserve(room);
        for (at, service, check) in ours() {
            let wanted = &share.configuration.services[service as usize].checks[check as usize];
            let known = before.get_mut(at).and_then(Option::take);
            let stays = known.as_ref().is_some_and(|job| job.check() == wanted);
            let prepared = known.filter(|_| stays).and_then(|job| Rc::try_unwrap(job).ok()).map(|job| job.prepared);
            if !stays {
                self.schedule.insert(CheckSlot(at as u32), wanted, now, order);
                order += 1;
            }
            let job = Job {
                configuration: Arc::clone(&share.configuration),
                service,
                check,
                prepared: prepared.unwrap_or_default(),
                is_running: Cell::new(false),
                rounds: Cell::new(0),
            };
            self.jobs[at] = Some(Rc::new(job));
            self.job_count += 1;
        }
        for (at, _) in before.iter().enumerate().filter(|(_, job)| job.is_some()) {
            self.schedule.remove(CheckSlot(at as u32));
        }
    }

    /// Somebody else saw a check fail: what does it look like from here?
    fn look_now(&mut self, slot: CheckSlot) {
        let slot = slot.0 as usize;
        if slot % self.cores == self.number {
            self.schedule.hasten(CheckSlot((slot / self.cores) as u32), self.house.now());
        }
    }

    fn begin(&self, due: Due) {
        let Some(job) = self.jobs.get(due.slot.0 as usize).and_then(Option::as_ref) else {
            return;
        };
        // A target that takes all its time is no lack of ours.
        if job.is_running.get() {
            return;
        }
        if self.running.get() >= RUNNING_MAX {
            self.house.lag.skip();
            return;
        }
        self.house.lag.start(self.house.now().since(due.scheduled));
        let (job, prober) = (Rc::clone(job), Arc::clone(&self.prober));
        let ended = Rc::clone(&self.ended);
        let running = Running::new(Rc::clone(&job), Rc::clone(&self.running));
        tokio::task::spawn_local(async move {
            let measured = job.probe(&prober).await;
            drop(running);
            ended.borrow_mut().push(Ended { due, job, measured });
        });
    }

    /// Passes on what has ended; false when nobody takes it any more.
    async fn pass_on(&mut self) -> bool {
        let ended = std::mem::take(&mut *self.ended.borrow_mut());
        if ended.is_empty() {
            return !self.results.is_closed();
        }
        let now = self.house.now();
        let mut observations = Vec::with_capacity(ended.len());
        let mut is_urgent = false;
        for Ended { due, job: begun, measured } in ended {
            let Some(job) = self.jobs.get(due.slot.0 as usize).and_then(Option::as_ref) else {
                continue;
            };
            // The check was changed meanwhile: this says nothing about what it looks at by now.
            if !Rc::ptr_eq(job, &begun) && job.check() != begun.check() {
                continue;
            }
            let is_news = self.schedule.finished(due.slot, job.check(), measured.outcome, now);
            let rounds = job.rounds.get();
            job.rounds.set(rounds.wrapping_add(1));
            is_urgent |= is_news;
            let in_full = is_news || rounds.is_multiple_of(CERTIFICATE_EVERY);
            let with_phases = in_full || self.job_count * self.cores <= PHASES_ALWAYS_UP_TO;
            let slot = CheckSlot((due.slot.0 as usize * self.cores + self.number) as u32);
            observations.push(observation(slot, due.scheduled, measured, in_full, with_phases));
        }
        self.results.send(Packet { observations, is_urgent, answered: None }).await.is_ok()
    }
}

/// What is logged of a round: evidence where it is news, phases where there is
/// room, the failure always.
fn observation(
    slot: CheckSlot,
    scheduled: Timestamp,
    measured: Measured,
    in_full: bool,
    with_phases: bool,
) -> Observation {
    let Measured { outcome, latency_us, detail } = measured;
    let detail = if in_full {
        Some(detail)
    } else if detail.failure.is_some() || with_phases {
        let evidence = Evidence { status: detail.evidence.status, ..Evidence::default() };
        Some(Detail { evidence, ..detail })
    } else {
        None
    };
    Observation { slot, scheduled, outcome, latency_us, detail: detail.map(Box::new) }
}

/// When a heartbeat arrived is when it was due, as far as results go.
pub(crate) fn heartbeat(
    slot: CheckSlot,
    now: Timestamp,
    outcome: Outcome,
    detail: Option<Detail>,
    took: Duration,
) -> Observation {
    let latency_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    Observation { slot, scheduled: now, outcome, latency_us, detail: detail.map(Box::new) }
}

//! Where backups are ordered, made one after the other, and remembered.
//!
//! Commands and the timetable come to one loop. It decides nothing but what is
//! due, tells the owners when a backup of the timetable fails, and removes the
//! ones that are too many **only after a new one is whole**.

use super::make::{self, Made, Order};
use super::name::Maker;
use super::progress::Progress;
use super::seal::Encryption;
use super::target::Target;
use crate::files;
use crate::serve::House;
use age::secrecy::SecretString;
use anyhow::{Context, anyhow};
use config::BackupSettings;
use control::edge::Timetable;
use model::entry::{Body, Condition, ConditionKind};
use model::secret::Secret;
use model::time::{Timestamp, humane_duration};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use web::commands::{BackupRefused, BackupRequest, BackupRun, BackupStage};

/// Backups remembered; older ones are known by their files.
const REMEMBERED_MAX: usize = 20;
/// Rest after a backup of the timetable that failed: long enough for a short
/// trouble to pass, short beside any interval that makes sense.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// Rest while an order has its turn.
const TURN_AFTER: Duration = Duration::from_secs(1);

/// The desk of a node.
pub(crate) struct Desk {
    house: Arc<House>,
    data: PathBuf,
    maker: Maker,
    plan: Option<Plan>,
    runs: Mutex<Runs>,
    orders: mpsc::Sender<(Arc<Run>, Order)>,
}

/// Backups that come by themselves.
struct Plan {
    target: Target,
    passphrase: Option<Secret>,
    recipients: Vec<String>,
    timetable: Timetable,
}

#[derive(Default)]
struct Runs {
    begun: u64,
    is_busy: bool,
    newest_first: VecDeque<Arc<Run>>,
}

/// One backup of this process.
struct Run {
    number: u64,
    is_scheduled: bool,
    started: Timestamp,
    to: String,
    encryption: &'static str,
    progress: Progress,
    ended: Mutex<Option<(Timestamp, Result<Made, String>)>>,
}

/// The loop's end.
pub(crate) struct Orders(mpsc::Receiver<(Arc<Run>, Order)>);

impl Desk {
    /// Opens the desk of a node. Relative paths of the settings begin beside its configuration.
    ///
    /// # Errors
    /// The settings name no place.
    pub(crate) fn open(
        house: &Arc<House>,
        data: &Path,
        settings: Option<BackupSettings>,
    ) -> anyhow::Result<(Arc<Self>, Orders)> {
        make::remove_leftovers(data)?;
        let maker = Maker::new(&house.node.recovery().cluster.to_string(), house.node.id().0);
        // Where relative names begin.
        let base = std::path::absolute(files::data_directory(&house.configuration, "."));
        let base = base.context("cannot find the current directory")?;
        let plan = settings.map(|settings| Plan::new(settings, &base)).transpose()?;
        // One order at a time: a second one is refused while one is carried out.
        let (orders, receiver) = mpsc::channel(1);
        let (house, data) = (Arc::clone(house), data.to_owned());
        let desk = Self { house, data, maker, plan, runs: Mutex::default(), orders };
        Ok((Arc::new(desk), Orders(receiver)))
    }

    /// Orders a backup; returns its number as soon as it is sure to be tried.
    ///
    /// # Errors
    /// What was asked for makes no sense, or another one is being made.
    pub(crate) async fn order(self: &Arc<Self>, request: BackupRequest) -> Result<u64, BackupRefused> {
        let refused = |error: anyhow::Error| BackupRefused { why: crate::chain(&error) };
        let desk = Arc::clone(self);
        // The passphrase of the settings may be in a file.
        let order = tokio::task::spawn_blocking(move || desk.understand(request)).await;
        let order = order.map_err(anyhow::Error::from).and_then(|order| order).map_err(refused)?;
        let run = self.begin(false, &order).ok_or_else(|| self.busy())?;
        let number = run.number;
        self.orders.try_send((run, order)).map_err(|_| BackupRefused { why: "the server is stopping".to_owned() })?;
        Ok(number)
    }

    /// Backups of this process, newest first.
    pub(crate) fn list(&self) -> Vec<BackupRun> {
        self.runs().newest_first.iter().map(|run| run.show()).collect()
    }

    /// Carries out orders, and what the timetable says, until the node stops.
    pub(crate) async fn run(self: Arc<Self>, Orders(mut orders): Orders) {
        if self.plan.is_none() {
            self.say(None).await;
        }
        let mut look_at = self.house.now();
        loop {
            let rest = self.plan.as_ref().map(|_| look_at.since(self.house.now()));
            tokio::select! {
                order = orders.recv() => {
                    let Some((run, order)) = order else { return };
                    // How it went is told to whoever asked.
                    let _ = self.carry_out(&run, order).await;
                }
                () = tokio::time::sleep(rest.unwrap_or_default()), if rest.is_some() => {
                    if let Some(plan) = &self.plan {
                        look_at = self.follow(plan).await;
                    }
                }
                () = self.house.stopped() => return,
            }
        }
    }

    /// Makes the backup that is due, if one is; returns when to look again.
    async fn follow(self: &Arc<Self>, plan: &Plan) -> Timestamp {
        let now = self.house.now();
        let due = plan.timetable.last(now).minute();
        let failed = match self.newest(plan).await {
            Ok(newest) if !plan.timetable.is_due(newest, now) => None,
            Ok(_) => match self.due(plan).await {
                Ok(true) => None,
                Ok(false) => return now.plus(TURN_AFTER),
                Err(error) => Some((format!("that was due {due} failed"), error)),
            },
            // Perhaps it is there; nobody can tell.
            Err(error) => Some((format!("that was due {due} cannot be looked for"), error)),
        };
        match failed {
            None => {
                self.say(None).await;
                plan.timetable.next(now)
            }
            Some(_) if self.is_stopping() => plan.timetable.next(now),
            Some((what, error)) => {
                let again = RETRY_AFTER.min(plan.timetable.every);
                let (why, again_in) = (crate::chain(&error), humane_duration(again));
                let text = format!("The backup to {} {what}: {why}. It is tried again every {again_in}.", plan.target);
                tracing::error!("{text}");
                self.say(Some(text)).await;
                self.house.now().plus(again)
            }
        }
    }

    /// Makes a backup of the timetable, and removes those that are too many
    /// then; false if an order has its turn first.
    async fn due(self: &Arc<Self>, plan: &Plan) -> anyhow::Result<bool> {
        let (passphrase, recipients) = (plan.passphrase.clone(), plan.recipients.clone());
        let encryption = tokio::task::spawn_blocking(move || encryption(passphrase.as_ref(), &recipients)).await??;
        let order = Order { target: plan.target.clone(), encryption };
        let Some(run) = self.begin(true, &order) else { return Ok(false) };
        let overdue = plan.timetable.next(run.started);
        let carried_out = self.carry_out(&run, order);
        let mut carried_out = std::pin::pin!(carried_out);
        let made = tokio::select! {
            made = carried_out.as_mut() => made,
            () = tokio::time::sleep(overdue.since(run.started)) => {
                let (phase, done, total) = run.progress.get();
                let text = format!(
                    "The backup to {} that began {} is not finished although the next is due ({}, {done} of {total} bytes).",
                    plan.target, run.started.minute(), phase.name()
                );
                tracing::error!("{text}");
                self.say(Some(text)).await;
                carried_out.await
            }
        }?;
        let (target, maker, timetable) = (plan.target.clone(), self.maker.clone(), plan.timetable);
        tokio::task::spawn_blocking(move || remove_surplus(&target, &maker, timetable, &made)).await??;
        Ok(true)
    }

    async fn newest(&self, plan: &Plan) -> anyhow::Result<Option<Timestamp>> {
        let (target, maker) = (plan.target.clone(), self.maker.clone());
        let listed = tokio::task::spawn_blocking(move || target.list(&maker)).await??;
        Ok(listed.last().map(|(made, _)| *made))
    }

    /// Has a thread make a backup and waits for it, also when the node stops:
    /// then the thread ends at its next opportunity.
    async fn carry_out(&self, run: &Arc<Run>, order: Order) -> anyhow::Result<Made> {
        tracing::info!(to = run.to, encryption = run.encryption, "a backup begins");
        let (told, mut ended) = oneshot::channel();
        let (house, data, maker) = (Arc::clone(&self.house), self.data.clone(), self.maker.clone());
        let (running, runtime) = (Arc::clone(run), Handle::current());
        let started = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            // Nobody is left to be told only when the process ends.
            let _ = told.send(make::make(&house, &data, &maker, &order, &running.progress));
        });
        let made = match started {
            Err(error) => Err(anyhow!(error).context("cannot start a thread for the backup")),
            Ok(_) => {
                let made = tokio::select! {
                    made = &mut ended => made,
                    () = self.house.stopped() => {
                        run.progress.stop();
                        ended.await
                    }
                };
                made.unwrap_or_else(|_| Err(anyhow!("the thread of the backup ended badly")))
            }
        };
        match &made {
            Ok(made) => {
                tracing::info!(place = made.kept.place, bytes = made.kept.bytes, index = made.index, "backed up")
            }
            Err(error) if !run.is_scheduled => {
                tracing::warn!("the backup to {} failed: {}", run.to, crate::chain(error))
            }
            // What comes of that is said where it is decided.
            Err(_) => {}
        }
        let outcome = made.as_ref().map(Made::clone).map_err(crate::chain);
        *run.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.house.now(), outcome));
        self.runs().is_busy = false;
        made
    }

    fn begin(&self, is_scheduled: bool, order: &Order) -> Option<Arc<Run>> {
        let mut runs = self.runs();
        if runs.is_busy {
            return None;
        }
        runs.is_busy = true;
        runs.begun += 1;
        let run = Arc::new(Run {
            number: runs.begun,
            is_scheduled,
            started: self.house.now(),
            to: order.target.to_string(),
            encryption: order.encryption.name(),
            progress: Progress::default(),
            ended: Mutex::default(),
        });
        runs.newest_first.push_front(Arc::clone(&run));
        runs.newest_first.truncate(REMEMBERED_MAX);
        Some(run)
    }

    fn busy(&self) -> BackupRefused {
        let running = self.runs().newest_first.front().map(|run| (run.number, run.to.clone()));
        let which = running.map(|(number, to)| format!(" (number {number}, to {to})")).unwrap_or_default();
        BackupRefused { why: format!("another backup is being made{which}; wait until it is done") }
    }

    fn understand(&self, request: BackupRequest) -> anyhow::Result<Order> {
        let target = match (&request.to, &self.plan) {
            (Some(to), _) => Target::parse(to, Path::new("/"))?,
            (None, Some(plan)) => plan.target.clone(),
            (None, None) => anyhow::bail!("name a place with --to, or write one under `backup:` in the configuration"),
        };
        let is_said = request.passphrase.is_some() || !request.recipients.is_empty();
        let encryption = match &self.plan {
            Some(plan) if !is_said => encryption(plan.passphrase.as_ref(), &plan.recipients)?,
            _ => encryption(request.passphrase.as_ref(), &request.recipients)?,
        };
        Ok(Order { target, encryption })
    }

    /// Tells the owners that backups fail, or that they work again if they did not.
    async fn say(&self, failed: Option<String>) {
        let node = self.house.node.id();
        if failed.is_none() && !self.house.node.state().condition_holds(ConditionKind::BackupFailed, node) {
            return;
        }
        let text = match (&failed, &self.plan) {
            (Some(text), _) => text.clone(),
            (None, Some(plan)) => format!("Backups to {} work again.", plan.target),
            (None, None) => "Backups are no longer configured.".to_owned(),
        };
        let condition = Condition { kind: ConditionKind::BackupFailed, node, holds: failed.is_some(), text };
        if let Err(error) = self.house.node.propose(Body::Condition(condition)).await {
            tracing::error!(%error, "the state of the backups could not be logged");
        }
    }

    fn is_stopping(&self) -> bool {
        *self.house.stopping.borrow()
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn new(settings: BackupSettings, base: &Path) -> anyhow::Result<Self> {
        let BackupSettings { to, every, at, keep, passphrase, recipients } = settings;
        let target = Target::parse_directory(&to, base).context("`backup:` names no place")?;
        let timetable = Timetable { every, at, keep: usize::try_from(keep).unwrap_or(usize::MAX) };
        Ok(Self { target, passphrase, recipients, timetable })
    }
}

impl Run {
    fn show(&self) -> BackupRun {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stage = match ended {
            None => {
                let (phase, done_bytes, total_bytes) = self.progress.get();
                BackupStage::Running { phase: phase.name(), done_bytes, total_bytes }
            }
            Some((ended, Ok(Made { kept, index, stamp }))) => {
                BackupStage::Done { ended, place: kept.place, bytes: kept.bytes, index, stamp }
            }
            Some((ended, Err(because))) => BackupStage::Failed { ended, because },
        };
        let Self { number, is_scheduled, started, encryption, .. } = *self;
        BackupRun { number, is_scheduled, started, to: self.to.clone(), encryption, stage }
    }
}

/// Removes those that are too many; the one that was just made must be there.
fn remove_surplus(target: &Target, maker: &Maker, timetable: Timetable, made: &Made) -> anyhow::Result<()> {
    let listed = target.list(maker)?;
    let is_there = listed.iter().any(|(_, name)| made.kept.place.ends_with(name.as_str()));
    anyhow::ensure!(is_there, "{} is not listed although it was written", made.kept.place);
    for (_, name) in timetable.surplus(&listed) {
        target.remove(name)?;
        tracing::info!(name, "an old backup was removed");
    }
    Ok(())
}

/// Reads what a backup is encrypted with.
fn encryption(passphrase: Option<&Secret>, recipients: &[String]) -> anyhow::Result<Encryption> {
    if !recipients.is_empty() {
        return Encryption::for_recipients(recipients).map_err(|wrong| anyhow!("{wrong} is no public key of age"));
    }
    let text = match passphrase {
        None => return Ok(Encryption::None),
        Some(Secret::Inline(text)) => text.clone(),
        Some(Secret::File(path)) => first_line(Path::new(path))?,
    };
    Ok(Encryption::Passphrase(SecretString::from(text)))
}

/// The first line of a file that holds a secret.
///
/// # Errors
/// It cannot be read, or holds nothing.
pub(crate) fn first_line(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the passphrase in {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    anyhow::ensure!(!line.is_empty(), "{} holds no passphrase in its first line", path.display());
    Ok(line)
}

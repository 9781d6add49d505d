//! The state of the machine, and the one door through which it changes.
//!
//! **[`State::apply`] is the only function that changes a state, and it sees
//! nothing but the state and the entry.** Everything that grows has its bound
//! in [`model::limits`].

use crate::decision::{Decision, Reason};
use crate::delivery::{Alarm, Delivery, ReceiverHealth};
use crate::flap::Flap;
use crate::incident::Incident;
use crate::index::Index;
use crate::judge::Seen;
use crate::shards::Shards;
use crate::standing::ServiceState;
use crate::{admit, delivery, heartbeat, standing};
use model::check::{Check, CheckKind, HeartbeatCheck};
use model::configuration::{Configuration, DecodeError};
use model::entry::{Body, Condition, ConditionKind, Entry};
use model::id::{CheckId, CheckSlot, IncidentId, LocationId, MaintenanceId, ReceiverId, ServiceId};
use model::limits::{COMMAND_KEYS_MAX, DECISIONS_MAX};
use model::observation::{Batch, Failure, Outcome, Phases};
use model::service::{Maintenance, Service};
use model::time::Timestamp;
use model::verdict::Verdict;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Version of the stored form of the state.
const VERSION: u8 = 1;
/// Version of the decisions made here; new code becomes active by an entry, never by an upgrade alone.
const MACHINE_VERSION: u32 = 1;

/// The parts of a configuration on its way; each is shared, because every part that comes makes a new state.
pub(crate) type Upload = Vec<Option<Arc<Vec<u8>>>>;

/// All that the machine knows. Cloning is cheap: the large parts are shared until they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    machine_version: u32,
    applied: u64,
    now: Timestamp,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) digest: String,
    pub(crate) revision: u64,
    pub(crate) uploads: Arc<BTreeMap<String, Upload>>,
    pub(crate) slots: Arc<BTreeMap<CheckId, CheckSlot>>,
    pub(crate) checks: Shards<CheckState>,
    pub(crate) services: Shards<ServiceState>,
    pub(crate) incidents: Arc<BTreeMap<IncidentId, Arc<Incident>>>,
    pub(crate) incidents_opened: u64,
    pub(crate) incidents_closed: Arc<VecDeque<IncidentId>>,
    pub(crate) deliveries: Arc<BTreeMap<String, Arc<Delivery>>>,
    pub(crate) deliveries_open: u32,
    pub(crate) deliveries_decided: u64,
    pub(crate) deliveries_finished: Arc<VecDeque<String>>,
    pub(crate) delivery_counts: BTreeMap<(String, String), u64>,
    pub(crate) receivers: BTreeMap<ReceiverId, ReceiverHealth>,
    pub(crate) maintenance: BTreeMap<MaintenanceId, Maintenance>,
    pub(crate) maintenance_ended: BTreeSet<MaintenanceId>,
    pub(crate) conditions: BTreeMap<ConditionKind, (Timestamp, String)>,
    pub(crate) own_alarms: u64,
    pub(crate) own_raised: BTreeMap<String, Alarm>,
    pub(crate) attention: BTreeSet<u32>,
    sources: BTreeMap<LocationId, (u64, u64)>,
    results: BTreeMap<(LocationId, String, Outcome), u64>,
    decisions: Arc<VecDeque<Arc<Decision>>>,
    pub(crate) command_keys: Arc<VecDeque<(String, CommandOutcome)>>,
    #[serde(skip)]
    pub(crate) index: Arc<Index>,
}

/// What is known of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// What was concluded.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// When it was configured first.
    pub created: Timestamp,
    /// Last round that really looked; for a heartbeat the last sign of life.
    pub looked: Option<Timestamp>,
    /// How the last round ended.
    pub outcome: Option<Outcome>,
    /// Time the last round took, in microseconds.
    pub latency_us: u32,
    /// What the last round that did not pass said; gone once it is up again.
    pub failure: Option<Arc<Failure>>,
    /// The last measured phases, and the end of the certificate shown.
    pub measured: Option<Arc<LastMeasured>>,
    /// When a heartbeat becomes late.
    pub deadline: Option<Timestamp>,
    /// Whether it goes up and down too often.
    pub flap: Flap,
    /// What each location has seen.
    pub seens: SmallVec<[Seen; 1]>,
}

/// What the last round with details measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMeasured {
    /// Where the time went.
    pub phases: Phases,
    /// When the certificate that was shown ends.
    pub certificate_until: Option<Timestamp>,
    /// The status of the answer.
    pub status: Option<String>,
}

impl CheckState {
    /// A check that nobody has looked at yet and, if it is a heartbeat, when it should have come first.
    pub(crate) fn of(check: &Check, now: Timestamp) -> Self {
        let mut state = Self::new(now);
        if let CheckKind::Heartbeat(heartbeat) = &check.kind {
            state.deadline = Some(heartbeat::deadline(heartbeat, now));
        }
        state
    }

    /// The same heartbeat, expected at other times; a new one if it comes from elsewhere.
    pub(crate) fn expecting(mut self, before: &HeartbeatCheck, check: &Check, now: Timestamp) -> Self {
        if let CheckKind::Heartbeat(heartbeat) = &check.kind
            && heartbeat.token == before.token
        {
            self.deadline = Some(heartbeat::deadline(heartbeat, self.looked.unwrap_or(now)));
            return self;
        }
        Self::of(check, now)
    }

    /// A check nobody has looked at yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            since: now,
            created: now,
            looked: None,
            outcome: None,
            latency_us: 0,
            failure: None,
            measured: None,
            deadline: None,
            flap: Flap::default(),
            seens: SmallVec::new(),
        }
    }
}

/// What applying one entry gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The answer to a command; `Accepted` for every other entry.
    pub outcome: CommandOutcome,
    /// What is to be done about it, without doubles.
    pub effects: Vec<Effect>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandOutcome {
    /// Done.
    Accepted,
    /// Not done, and why, with what is allowed.
    Refused(String),
}

/// What is to be done in the world. Effects wake; the hands look at the state
/// for what there is to do, so a lost effect delays but loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Deliveries are due or became so.
    Deliver,
    /// Another configuration is active.
    Reconfigure,
    /// What the page shows has changed.
    Publish,
    /// The other locations of a check should look at once.
    LookNow(CheckSlot),
}

impl Default for State {
    fn default() -> Self {
        Self {
            machine_version: MACHINE_VERSION,
            applied: 0,
            now: Timestamp::EPOCH,
            configuration: Arc::new(Configuration::default()),
            digest: String::new(),
            revision: 0,
            uploads: Arc::default(),
            slots: Arc::default(),
            checks: Shards::default(),
            services: Shards::default(),
            incidents: Arc::default(),
            incidents_opened: 0,
            incidents_closed: Arc::default(),
            deliveries: Arc::default(),
            deliveries_open: 0,
            deliveries_decided: 0,
            deliveries_finished: Arc::default(),
            delivery_counts: BTreeMap::new(),
            receivers: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            maintenance_ended: BTreeSet::new(),
            conditions: BTreeMap::new(),
            own_alarms: 0,
            own_raised: BTreeMap::new(),
            attention: BTreeSet::new(),
            sources: BTreeMap::new(),
            results: BTreeMap::new(),
            decisions: Arc::default(),
            command_keys: Arc::default(),
            index: Arc::default(),
        }
    }
}

impl State {
    /// Applies one entry.
    ///
    /// # Panics
    /// When entries come out of order: the log is broken, and going on would spread it.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        assert!(index > self.applied, "entries are applied once and in the order of the log");
        self.applied = index;
        let before = self.now;
        self.now = self.now.max(entry.at);
        standing::pass(self, before);
        let mut effects = BTreeSet::new();
        let outcome = match &entry.body {
            Body::Tick => {
                standing::tick(self, &mut effects);
                CommandOutcome::Accepted
            }
            Body::Results(batch) => {
                self.apply_batch(batch, &mut effects);
                CommandOutcome::Accepted
            }
            Body::Command(command) => admit::admit(self, command, &mut effects),
            Body::AttemptBegins { key, attempt } => delivery::begin(self, key, *attempt),
            Body::AttemptEnded { key, attempt, answer } => delivery::end(self, key, *attempt, answer, &mut effects),
            Body::Condition(condition) => {
                self.apply_condition(condition, &mut effects);
                CommandOutcome::Accepted
            }
        };
        Applied { outcome, effects: effects.into_iter().collect() }
    }

    fn apply_batch(&mut self, batch: &Batch, effects: &mut BTreeSet<Effect>) {
        let (incarnation, sequence) = self.sources.get(&batch.location).copied().unwrap_or((0, 0));
        if incarnation == batch.incarnation && batch.sequence <= sequence {
            return;
        }
        self.sources.insert(batch.location.clone(), (batch.incarnation, batch.sequence));
        standing::results(self, batch, effects);
    }

    fn apply_condition(&mut self, condition: &Condition, effects: &mut BTreeSet<Effect>) {
        let held = self.conditions.contains_key(&condition.kind);
        match (held, condition.holds) {
            (false, true) => {
                self.conditions.insert(condition.kind, (self.now, condition.text.clone()));
                delivery::tell_own(
                    self,
                    condition.kind.name(),
                    "Mainstay needs attention",
                    &condition.text,
                    true,
                    effects,
                );
            }
            (true, false) => {
                self.conditions.remove(&condition.kind);
                delivery::tell_own(
                    self,
                    condition.kind.name(),
                    "Mainstay is well again",
                    &condition.text,
                    false,
                    effects,
                );
            }
            (true, true) => {
                let since = self.conditions[&condition.kind].0;
                self.conditions.insert(condition.kind, (since, condition.text.clone()));
            }
            (false, false) => {}
        }
        effects.insert(Effect::Publish);
    }

    pub(crate) fn decide(&mut self, service: Option<&ServiceId>, check: Option<&CheckId>, reason: Reason) {
        let decision =
            Decision { index: self.applied, at: self.now, service: service.cloned(), check: check.cloned(), reason };
        let decisions = Arc::make_mut(&mut self.decisions);
        decisions.push_back(Arc::new(decision));
        if decisions.len() > DECISIONS_MAX {
            decisions.pop_front();
        }
    }

    pub(crate) fn count_result(&mut self, location: &LocationId, kind: &'static str, outcome: Outcome, count: u64) {
        *self.results.entry((location.clone(), kind.to_owned(), outcome)).or_default() += count;
    }

    pub(crate) fn remember_command(&mut self, key: &str, outcome: &CommandOutcome) {
        if key.is_empty() {
            return;
        }
        let keys = Arc::make_mut(&mut self.command_keys);
        keys.push_back((key.to_owned(), outcome.clone()));
        if keys.len() > COMMAND_KEYS_MAX {
            keys.pop_front();
        }
    }

    pub(crate) fn rebuild_index(&mut self) {
        self.index = Arc::new(Index::new(&self.configuration, &self.slots, self.checks.len()));
        // The map shares its names with the configuration, and one that is made
        // of sorted pairs at once is packed tightly.
        let shared = |(id, slot): (&CheckId, &CheckSlot)| {
            let same = self.target(*slot).map(|(_, check)| &check.id).filter(|of_check| *of_check == id);
            (same.unwrap_or(id).clone(), *slot)
        };
        self.slots = Arc::new(self.slots.iter().map(shared).collect());
    }

    /// The stored form, with its version in front.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("own types always encode")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&found, rest) = bytes.split_first().ok_or(DecodeError::Damaged)?;
        if found > VERSION {
            return Err(DecodeError::Newer { found, supported: VERSION });
        }
        let mut state: Self = postcard::from_bytes(rest).map_err(|_| DecodeError::Damaged)?;
        if state.machine_version > MACHINE_VERSION {
            return Err(DecodeError::Newer { found, supported: VERSION });
        }
        state.rebuild_index();
        Ok(state)
    }
}

/// Reading.
impl State {
    /// Index of the last entry applied; 0 before the first.
    pub const fn applied_index(&self) -> u64 {
        self.applied
    }

    /// The stamp of the last entry applied.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The active configuration.
    pub const fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// The digest under which the active configuration was stored; empty before the first.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether something waits for time to pass, so that a tick should come soon.
    pub fn wants_ticks(&self) -> bool {
        !self.attention.is_empty()
    }

    /// The entry that made the active configuration active; 0 before the first.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The slot of a check that is or was configured.
    pub fn slot(&self, id: &CheckId) -> Option<CheckSlot> {
        self.slots.get(id).copied()
    }

    /// The service and the check of a slot, if it is configured now.
    pub fn target(&self, slot: CheckSlot) -> Option<(&Service, &Check)> {
        let (service, check) = self.index.targets.get(slot.0 as usize).copied().flatten()?;
        let service = self.configuration.services.get(service as usize)?;
        Some((service, service.checks.get(check as usize)?))
    }

    /// The slots of all configured checks, in the configuration's order.
    pub fn slots(&self) -> impl Iterator<Item = CheckSlot> {
        self.index.slots.iter().flat_map(|slots| slots.iter().copied())
    }

    /// The slots of a service's checks.
    pub fn slots_of(&self, service: &ServiceId) -> &[CheckSlot] {
        self.index.services.get(service).map_or(&[], |at| &self.index.slots[*at as usize])
    }

    /// What is known of a check.
    pub fn check(&self, slot: CheckSlot) -> Option<&CheckState> {
        self.checks.get(slot.0 as usize)
    }

    /// What is known of a service.
    pub fn service(&self, id: &ServiceId) -> Option<&ServiceState> {
        self.services.get(*self.index.services.get(id)? as usize)
    }

    /// All services with what is known of them, in the configuration's order.
    pub fn services(&self) -> impl Iterator<Item = (&Service, &ServiceState)> {
        self.configuration.services.iter().zip(self.services.iter())
    }

    /// Incidents, oldest first: all that are open and the most recent closed ones.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Arc<Incident>> {
        self.incidents.values()
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        self.incidents.get(&id)
    }

    /// Deliveries that wait, run or are recently finished, by key.
    pub fn deliveries(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.deliveries.values()
    }

    /// One delivery.
    pub fn delivery(&self, key: &str) -> Option<&Arc<Delivery>> {
        self.deliveries.get(key)
    }

    /// How many deliveries ended how, by means and outcome.
    pub const fn delivery_counts(&self) -> &BTreeMap<(String, String), u64> {
        &self.delivery_counts
    }

    /// How well receivers can be reached.
    pub const fn receivers(&self) -> &BTreeMap<ReceiverId, ReceiverHealth> {
        &self.receivers
    }

    /// Planned work, declared and by command, that was not ended early.
    pub fn maintenance(&self) -> impl Iterator<Item = &Maintenance> {
        let declared = self.configuration.maintenance.iter().filter(|m| !self.maintenance.contains_key(&m.id));
        declared.chain(self.maintenance.values()).filter(|m| !self.maintenance_ended.contains(&m.id))
    }

    /// Conditions of Mainstay itself that hold, with their begin and their facts.
    pub const fn conditions(&self) -> &BTreeMap<ConditionKind, (Timestamp, String)> {
        &self.conditions
    }

    /// Decisions, oldest first, as many as are kept.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Arc<Decision>> {
        self.decisions.iter()
    }

    /// How many rounds ended how, by location, kind of check and outcome.
    pub const fn result_counts(&self) -> &BTreeMap<(LocationId, String, Outcome), u64> {
        &self.results
    }

    /// Whether an alarm about Mainstay itself is raised.
    pub(crate) fn is_raised(&self, subject: &str) -> bool {
        self.own_raised.contains_key(subject)
    }

    /// The receivers of whom it is raised that they cannot be reached.
    pub(crate) fn receivers_raised(&self) -> impl Iterator<Item = ReceiverId> {
        let prefix = delivery::UNREACHABLE_PREFIX;
        self.own_raised.keys().filter_map(move |subject| ReceiverId::new(subject.strip_prefix(prefix)?).ok())
    }

    /// The position of a location in the configuration.
    pub(crate) fn location_number(&self, id: &LocationId) -> Option<u16> {
        self.configuration.locations.iter().position(|known| known == id).and_then(|at| u16::try_from(at).ok())
    }
}

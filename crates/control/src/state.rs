//! The state of the machine, and the one door through which it changes.
//!
//! **[`State::apply`] is the only function that changes a state, and it sees
//! nothing but the state and the entry.** Everything that grows has its bound
//! in [`model::limits`]. What others may read of it stands in `read`.

mod read;
mod transplant;

pub use transplant::{Transplant, Unsent};

use crate::aside::{Aside, Recent};
use crate::decision::{Decision, Reason};
use crate::delivery::{Alarm, Delivery, ReceiverHealth};
use crate::flap::Flap;
use crate::incident::Incident;
use crate::index::Index;
use crate::judge::Seen;
use crate::members::{Membership, Sources};
use crate::shards::Shards;
use crate::standing::ServiceState;
use crate::{admit, delivery, heartbeat, members, rounds, standing};
use model::check::{Check, CheckKind, HeartbeatCheck};
use model::configuration::{Configuration, DecodeError};
use model::entry::{Body, Condition, ConditionKind, Entry};
use model::id::{CheckId, CheckSlot, IncidentId, LocationId, MaintenanceId, ReceiverId, ServiceId};
use model::limits::{COMMAND_KEYS_MAX, DECISIONS_MAX};
use model::member::NodeId;
use model::observation::{Batch, Failure, Outcome, Phases};
use model::service::Maintenance;
use model::time::Timestamp;
use model::verdict::Verdict;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Version of the stored form of the state.
const VERSION: u8 = 1;
/// Version of the decisions made here; new code becomes active by an entry, never by an upgrade alone.
pub const MACHINE_VERSION: u32 = 1;

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
    pub(crate) conditions: BTreeMap<(ConditionKind, NodeId), (Timestamp, String)>,
    pub(crate) own_alarms: u64,
    pub(crate) own_raised: BTreeMap<String, Alarm>,
    pub(crate) attention: BTreeSet<u32>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) asides: BTreeMap<LocationId, Aside>,
    pub(crate) recent: BTreeMap<LocationId, Recent>,
    pub(crate) late: BTreeMap<LocationId, u64>,
    pub(crate) sources: Sources,
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
    /// Another configuration is active, or its checks are shared out anew among the nodes.
    Reconfigure,
    /// What the page shows has changed.
    Publish,
    /// The other locations of a check should look at once. It comes of a batch;
    /// the location that made it has just looked.
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
            membership: Arc::default(),
            asides: BTreeMap::new(),
            recent: BTreeMap::new(),
            late: BTreeMap::new(),
            sources: Sources::default(),
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
                members::tick(self, &mut effects);
                CommandOutcome::Accepted
            }
            Body::Results(batch) => self.apply_batch(batch, &mut effects),
            Body::Command(command) => admit::admit(self, command, &mut effects),
            Body::AttemptBegins { key, attempt, node } => delivery::begin(self, key, *attempt, *node),
            Body::AttemptEnded { key, attempt, answer } => delivery::end(self, key, *attempt, answer, &mut effects),
            Body::Condition(condition) => {
                self.apply_condition(condition, &mut effects);
                CommandOutcome::Accepted
            }
            Body::Presence { node, is_present } => {
                members::presence(self, *node, *is_present, &mut effects);
                CommandOutcome::Accepted
            }
            Body::Egress { node, works, text } => {
                members::egress(self, *node, *works, text, &mut effects);
                CommandOutcome::Accepted
            }
        };
        Applied { outcome, effects: effects.into_iter().collect() }
    }

    fn apply_batch(&mut self, batch: &Batch, effects: &mut BTreeSet<Effect>) -> CommandOutcome {
        let (members, node) = (&self.membership.members, batch.node);
        if !members.is_empty() && !members.contains_key(&node) {
            return CommandOutcome::Refused(format!("node {node} is not a member; only members hand results in"));
        }
        if self.sources.take(node, batch.incarnation, batch.sequence) {
            rounds::results(self, batch, effects);
        }
        CommandOutcome::Accepted
    }

    fn apply_condition(&mut self, condition: &Condition, effects: &mut BTreeSet<Effect>) {
        let key = (condition.kind, condition.node);
        // Alone there is no need to say which node.
        let name = self.member(condition.node).filter(|_| self.membership.members.len() > 1);
        let (subject, text) = match name.map(|known| &known.member.name) {
            Some(name) => (members::condition_at(key.0, key.1), format!("Node {name}: {}", condition.text)),
            None => (key.0.name().to_owned(), condition.text.clone()),
        };
        match (self.conditions.get(&key).map(|(since, _)| *since), condition.holds) {
            (None, true) => {
                self.conditions.insert(key, (self.now, text.clone()));
                delivery::tell_own(self, &subject, "Mainstay needs attention", &text, true, effects);
            }
            (Some(_), false) => {
                self.conditions.remove(&key);
                // It may have begun when the node was alone.
                let raised = [subject, key.0.name().to_owned()].into_iter().find(|subject| self.is_raised(subject));
                if let Some(subject) = raised {
                    delivery::tell_own(self, &subject, "Mainstay is well again", &text, false, effects);
                }
            }
            (Some(since), true) => {
                self.conditions.insert(key, (since, text));
            }
            (None, false) => {}
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

    /// Counts the rounds of a batch by kind of check and outcome, and those of them that were late.
    pub(crate) fn count_results(
        &mut self,
        location: &LocationId,
        counts: BTreeMap<(&'static str, Outcome), u64>,
        late: u64,
    ) {
        for ((kind, outcome), count) in counts {
            *self.results.entry((location.clone(), kind.to_owned(), outcome)).or_default() += count;
        }
        if late > 0 {
            *self.late.entry(location.clone()).or_default() += late;
        }
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

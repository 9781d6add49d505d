//! Deliveries: decided before they are sent, retried until they are delivered
//! or given up, never lost.
//!
//! **An attempt is logged before anything is sent.** An attempt that never
//! ended is one that was in flight when its node died: it is repeated with
//! the same key, and said to be possibly double.

use crate::decision::{NotTold, Reason};
use crate::incident::Incident;
use crate::state::{CommandOutcome, Effect, State};
use model::entry::Answer;
use model::id::{ReceiverId, ServiceId};
use model::limits::{DELIVERIES_FINISHED_MAX, DELIVERIES_OPEN_MAX};
use model::member::NodeId;
use model::message::{Message, Step};
use model::receiver::Receiver;
use model::service::Service;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Wait after the first failed attempt; doubled after each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// Longest wait between attempts: an hour of outage at the receiver's side
/// costs at most ten minutes more.
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// Longest wait that a receiver's side can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// How long a delivery is retried, after the practice of mail servers to keep
/// trying for days, cut to what is still news.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How long an attempt takes at the most, connecting and talking, with room.
const ATTEMPT_ENDS_WITHIN: Duration = Duration::from_secs(120);
/// Failed attempts in a row from which a receiver counts as unreachable and
/// the others are told so.
const UNREACHABLE_AFTER: u32 = 4;

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The how manieth delivery it is; messages of a thread keep this order.
    pub number: u64,
    /// To whom.
    pub receiver: ReceiverId,
    /// What.
    pub message: Arc<Message>,
    /// The last attempt that began; 0 before the first.
    pub attempt: u32,
    /// Whether an attempt was in flight when its node died.
    pub is_possibly_double: bool,
    /// Where it stands.
    pub state: DeliveryState,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// It waits for its time.
    Waiting {
        /// Not before this.
        until: Timestamp,
        /// What the attempt before said.
        because: Option<String>,
    },
    /// An attempt has begun.
    InFlight {
        /// When.
        since: Timestamp,
        /// The node that makes it.
        node: NodeId,
    },
    /// The receiver's side has taken it.
    Delivered {
        /// When.
        at: Timestamp,
        /// What it said.
        said: String,
    },
    /// Given up.
    Dead {
        /// When.
        at: Timestamp,
        /// What the last attempt said.
        reason: String,
    },
}

impl DeliveryState {
    /// The name in JSON and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::InFlight { .. } => "in_flight",
            Self::Delivered { .. } => "delivered",
            Self::Dead { .. } => "dead",
        }
    }

    /// Whether nothing more will be done.
    pub const fn is_finished(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Dead { .. })
    }
}

/// How well a receiver can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiverHealth {
    /// Failed attempts in a row.
    pub failures: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// The last delivery that worked.
    pub delivered: Option<Timestamp>,
    /// Whether the others were told that it cannot be reached.
    pub is_alarmed: bool,
    /// What the last failed attempt said.
    pub because: Option<String>,
}

/// An alarm about Mainstay itself that is raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alarm {
    number: u64,
    since: Timestamp,
    /// Who was told that it began, and is told that it is over.
    told: BTreeSet<ReceiverId>,
}

/// Decides a delivery about an incident; false when there was no room for it.
pub(crate) fn tell_incident(
    state: &mut State,
    service: &Service,
    incident: &Incident,
    receiver: &Receiver,
    step: Step,
    text: &str,
    effects: &mut BTreeSet<Effect>,
) -> bool {
    let is_watched = !state.slots_of(&service.id).is_empty();
    let status = state.service(&service.id).filter(|_| is_watched);
    let status = status.map_or(ServiceStatus::Unknown, |known| known.status());
    let title = match step {
        Step::Resolved if !is_watched => format!("{} is no longer watched", service.name),
        Step::Resolved => format!("{} is up again", service.name),
        Step::Flapping => format!("{} goes up and down", service.name),
        Step::Opened | Step::Worsened | Step::Own | Step::Test => incident.title.clone(),
    };
    let page = state.configuration.page.url.clone();
    let message = Message {
        key: format!("incident-{}-{}-{}", incident.id, receiver.id, step.name()),
        thread: format!("incident-{}", incident.id),
        incident: Some(incident.id),
        step,
        service: Some((service.id.clone(), service.name.clone())),
        status,
        title,
        text: text.to_owned(),
        started: incident.started,
        at: state.now(),
        url: page.map(|page| format!("{page}/incidents/{}", incident.id)),
    };
    decide(state, Some(&service.id), &receiver.id, message, effects)
}

/// Tells every receiver something about Mainstay itself, once when it begins and once when it ends.
pub(crate) fn tell_own(
    state: &mut State,
    subject: &str,
    title: &str,
    text: &str,
    begins: bool,
    effects: &mut BTreeSet<Effect>,
) {
    tell_own_except(state, subject, None, title, text, begins, effects);
}

fn tell_own_except(
    state: &mut State,
    subject: &str,
    except: Option<&ReceiverId>,
    title: &str,
    text: &str,
    begins: bool,
    effects: &mut BTreeSet<Effect>,
) {
    let configuration = Arc::clone(&state.configuration);
    if begins {
        state.own_alarms += 1;
        let told = configuration.receivers.iter().map(|receiver| receiver.id.clone());
        let told = told.filter(|receiver| Some(receiver) != except).collect();
        let alarm = Alarm { number: state.own_alarms, since: state.now(), told };
        state.own_raised.insert(subject.to_owned(), alarm);
    }
    let alarm = if begins { state.own_raised.get(subject).cloned() } else { state.own_raised.remove(subject) };
    let Some(Alarm { number, since: started, told }) = alarm else {
        return;
    };
    for receiver in configuration.receivers.iter().filter(|receiver| told.contains(&receiver.id)) {
        let phase = if begins { "begins" } else { "ends" };
        let message = Message {
            key: format!("own-{number}-{}-{phase}", receiver.id),
            thread: format!("own-{number}"),
            incident: None,
            step: if begins { Step::Own } else { Step::Resolved },
            service: None,
            status: if begins { ServiceStatus::Degraded } else { ServiceStatus::Up },
            title: title.to_owned(),
            text: text.to_owned(),
            started,
            at: state.now(),
            url: state.configuration.page.url.clone(),
        };
        decide(state, None, &receiver.id, message, effects);
    }
}

/// Sends a test message to every receiver.
pub(crate) fn tell_test(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let configuration = Arc::clone(&state.configuration);
    let number = state.applied_index();
    for receiver in &configuration.receivers {
        let message = Message {
            key: format!("test-{number}-{}", receiver.id),
            thread: format!("test-{number}"),
            incident: None,
            step: Step::Test,
            service: None,
            status: ServiceStatus::Up,
            title: "Test message from Mainstay".to_owned(),
            text: "Somebody asked for a test. If you can read this, this receiver works.".to_owned(),
            started: state.now(),
            at: state.now(),
            url: state.configuration.page.url.clone(),
        };
        decide(state, None, &receiver.id, message, effects);
    }
}

fn decide(
    state: &mut State,
    service: Option<&ServiceId>,
    receiver: &ReceiverId,
    message: Message,
    effects: &mut BTreeSet<Effect>,
) -> bool {
    let (key, step) = (message.key.clone(), message.step);
    if state.deliveries.contains_key(&key) {
        return true;
    }
    // Of what was told the end is told, and a word about Mainstay itself is rare:
    // both must get through when nothing else does.
    let is_bounded = match step {
        Step::Opened | Step::Worsened | Step::Flapping | Step::Test => true,
        Step::Resolved | Step::Own => false,
    };
    if is_bounded && state.deliveries_open as usize >= DELIVERIES_OPEN_MAX {
        state.decide(service, None, Reason::NotTold { receiver: receiver.clone(), step, because: NotTold::TooMany });
        if !state.is_raised(TOO_MANY) {
            let text = format!(
                "{DELIVERIES_OPEN_MAX} deliveries wait, which is the most. Nobody is told of further incidents until there is room; look at the page."
            );
            tell_own(state, TOO_MANY, "Incidents are not told any more", &text, true, effects);
        }
        return false;
    }
    state.deliveries_decided += 1;
    let waiting = DeliveryState::Waiting { until: state.now(), because: None };
    let delivery = Delivery {
        number: state.deliveries_decided,
        receiver: receiver.clone(),
        message: Arc::new(message),
        attempt: 0,
        is_possibly_double: false,
        state: waiting,
    };
    Arc::make_mut(&mut state.deliveries).insert(key.clone(), Arc::new(delivery));
    state.deliveries_open += 1;
    state.decide(service, None, Reason::Told { receiver: receiver.clone(), step, key });
    effects.insert(Effect::Deliver);
    true
}

/// The deliveries that should be attempted now, and the moment to look again.
///
/// Messages of one thread go to a receiver in order: the end is not told
/// before the begin was delivered or given up. `in_flight_here` are the keys
/// whose attempts this process makes. Another attempt in flight belongs to a
/// process that died, or to a node that led before: as long as that one is
/// heard, its attempt has the time to end.
pub fn due(
    state: &State,
    now: Timestamp,
    here: NodeId,
    in_flight_here: &BTreeSet<String>,
) -> (Vec<Arc<Delivery>>, Option<Timestamp>) {
    let mut first_of_thread: BTreeMap<(&ReceiverId, &str), &Arc<Delivery>> = BTreeMap::new();
    for delivery in state.deliveries.values().filter(|delivery| !delivery.state.is_finished()) {
        let thread = (&delivery.receiver, delivery.message.thread.as_str());
        let first = first_of_thread.entry(thread).or_insert(delivery);
        if delivery.number < first.number {
            *first = delivery;
        }
    }
    let mut found = Vec::new();
    let mut next: Option<Timestamp> = None;
    for delivery in first_of_thread.into_values() {
        match &delivery.state {
            DeliveryState::Waiting { until, .. } if *until <= now => found.push(Arc::clone(delivery)),
            DeliveryState::Waiting { until, .. } => next = Some(next.map_or(*until, |known| known.min(*until))),
            DeliveryState::InFlight { .. } if in_flight_here.contains(&delivery.message.key) => {}
            DeliveryState::InFlight { since, node } => {
                let is_heard = *node != here && state.member(*node).is_some_and(|known| known.is_present);
                let until = since.plus(ATTEMPT_ENDS_WITHIN);
                if is_heard && until > now {
                    next = Some(next.map_or(until, |known| known.min(until)));
                } else {
                    found.push(Arc::clone(delivery));
                }
            }
            DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } => {}
        }
    }
    // Receivers that answer come first, so that those who do not take nobody's turn.
    found.sort_by_key(|delivery| {
        (state.receivers.get(&delivery.receiver).map_or(0, |health| health.failures), delivery.number)
    });
    (found, next)
}

/// An attempt is about to be made.
pub(crate) fn begin(state: &mut State, key: &str, attempt: u32, node: NodeId) -> CommandOutcome {
    let now = state.now();
    let Some(delivery) = Arc::make_mut(&mut state.deliveries).get_mut(key) else {
        return CommandOutcome::Refused(format!("there is no delivery {key}"));
    };
    if delivery.state.is_finished() {
        return CommandOutcome::Refused(format!("delivery {key} is finished"));
    }
    if attempt != delivery.attempt + 1 {
        return CommandOutcome::Refused(format!(
            "delivery {key} has made attempt {}, the next is {}",
            delivery.attempt,
            delivery.attempt + 1
        ));
    }
    let delivery = Arc::make_mut(delivery);
    delivery.is_possibly_double |= matches!(delivery.state, DeliveryState::InFlight { .. });
    delivery.attempt = attempt;
    delivery.state = DeliveryState::InFlight { since: now, node };
    CommandOutcome::Accepted
}

/// An attempt has ended.
pub(crate) fn end(
    state: &mut State,
    key: &str,
    attempt: u32,
    answer: &Answer,
    effects: &mut BTreeSet<Effect>,
) -> CommandOutcome {
    let now = state.now();
    let Some(known) = state.deliveries.get(key).map(Arc::clone) else {
        return CommandOutcome::Refused(format!("there is no delivery {key}"));
    };
    if known.attempt != attempt || known.state.is_finished() {
        return CommandOutcome::Refused(format!("attempt {attempt} of delivery {key} is not the one in flight"));
    }
    let next = after(&known, now, attempt, answer);
    let (means, receiver) = (means_of(state, &known.receiver), known.receiver.clone());
    *state.delivery_counts.entry((means.to_owned(), answer_name(answer).to_owned())).or_default() += 1;
    if let DeliveryState::Dead { reason, .. } = &next {
        *state.delivery_counts.entry((means.to_owned(), "dead".to_owned())).or_default() += 1;
        let service = known.message.service.as_ref().map(|(id, _)| id.clone());
        let given_up = Reason::GivenUp { receiver: receiver.clone(), key: key.to_owned(), reason: reason.clone() };
        state.decide(service.as_ref(), None, given_up);
    }
    if let Some(delivery) = Arc::make_mut(&mut state.deliveries).get_mut(key) {
        Arc::make_mut(delivery).state = next.clone();
    }
    if next.is_finished() {
        finish(state, key);
    }
    note_health(state, &receiver, answer, matches!(next, DeliveryState::Dead { .. }), effects);
    if state.is_raised(TOO_MANY) && (state.deliveries_open as usize) < DELIVERIES_OPEN_MAX / 2 {
        tell_own(state, TOO_MANY, "Incidents are told again", "There is room for deliveries again.", false, effects);
    }
    effects.insert(Effect::Deliver);
    CommandOutcome::Accepted
}

fn after(delivery: &Delivery, now: Timestamp, attempt: u32, answer: &Answer) -> DeliveryState {
    match answer {
        Answer::Delivered { said } => DeliveryState::Delivered { at: now, said: said.clone() },
        Answer::Refused { reason } => DeliveryState::Dead { at: now, reason: reason.clone() },
        Answer::Failed { reason, .. } if now.since(delivery.message.at) >= GIVE_UP_AFTER => {
            DeliveryState::Dead { at: now, reason: reason.clone() }
        }
        Answer::Failed { reason, retry_after_seconds } => {
            let asked = retry_after_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)).min(RETRY_AFTER_MAX));
            let wait = backoff(attempt).max(asked.unwrap_or_default());
            DeliveryState::Waiting { until: now.plus(wait), because: Some(reason.clone()) }
        }
    }
}

/// The wait after a failed attempt, counted from 1.
pub fn backoff(attempt: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

const fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Delivered { .. } => "delivered",
        Answer::Failed { .. } => "failed",
        Answer::Refused { .. } => "refused",
    }
}

fn means_of(state: &State, receiver: &ReceiverId) -> &'static str {
    state.configuration.receiver(receiver).map_or("removed", |receiver| receiver.means.name())
}

/// Ends the deliveries to receivers that are no longer configured, and the alarms about them.
pub(crate) fn abandon(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let configuration = Arc::clone(&state.configuration);
    let is_orphan = |delivery: &Delivery| configuration.receiver(&delivery.receiver).is_none();
    give_up_where(state, is_orphan, "the receiver is no longer configured");
    let removed: Vec<ReceiverId> =
        state.receivers_raised().filter(|id| state.configuration.receiver(id).is_none()).collect();
    for id in removed {
        let title = format!("Receiver {id} is no longer configured");
        let text = "Nothing is delivered to it any more.";
        tell_own(state, &unreachable_subject(&id), &title, text, false, effects);
    }
}

/// Gives up all that were to be sent yet, and returns how many those were.
pub(crate) fn give_up_all(state: &mut State, reason: &str) -> usize {
    // With nothing waiting there is room for more.
    state.own_raised.remove(TOO_MANY);
    give_up_where(state, |_| true, reason)
}

/// Marks all that were to be sent yet as possibly sent already.
pub(crate) fn doubt_all(state: &mut State) {
    for delivery in Arc::make_mut(&mut state.deliveries).values_mut().filter(|known| !known.state.is_finished()) {
        Arc::make_mut(delivery).is_possibly_double = true;
    }
}

fn give_up_where(state: &mut State, which: impl Fn(&Delivery) -> bool, reason: &str) -> usize {
    let at = state.now();
    let open = state.deliveries.values().filter(|delivery| !delivery.state.is_finished() && which(delivery));
    let keys: Vec<String> = open.map(|delivery| delivery.message.key.clone()).collect();
    for key in &keys {
        if let Some(delivery) = Arc::make_mut(&mut state.deliveries).get_mut(key) {
            Arc::make_mut(delivery).state = DeliveryState::Dead { at, reason: reason.to_owned() };
        }
        finish(state, key);
    }
    keys.len()
}

fn finish(state: &mut State, key: &str) {
    state.deliveries_open = state.deliveries_open.saturating_sub(1);
    let finished = Arc::make_mut(&mut state.deliveries_finished);
    finished.push_back(key.to_owned());
    if finished.len() > DELIVERIES_FINISHED_MAX
        && let Some(oldest) = finished.pop_front()
    {
        Arc::make_mut(&mut state.deliveries).remove(&oldest);
    }
}

/// The name under which it is raised that more deliveries would wait than may.
pub(crate) const TOO_MANY: &str = "deliveries";

/// The name under which "this receiver cannot be reached" is raised.
pub(crate) fn unreachable_subject(receiver: &ReceiverId) -> String {
    format!("{UNREACHABLE_PREFIX}{receiver}")
}

/// Begin of every such name.
pub(crate) const UNREACHABLE_PREFIX: &str = "receiver-";

/// Keeps count of how a receiver answers, and tells the others when it cannot
/// be reached: an alarm that nobody can receive is itself an alarm.
fn note_health(
    state: &mut State,
    receiver: &ReceiverId,
    answer: &Answer,
    is_dead: bool,
    effects: &mut BTreeSet<Effect>,
) {
    let now = state.now();
    let subject = unreachable_subject(receiver);
    let health = state.receivers.entry(receiver.clone()).or_default();
    match answer {
        Answer::Delivered { .. } => {
            let was_alarmed = health.is_alarmed;
            *health = ReceiverHealth { delivered: Some(now), ..ReceiverHealth::default() };
            if was_alarmed {
                let title = format!("Receiver {receiver} can be reached again");
                tell_own(state, &subject, &title, "A delivery to it has worked.", false, effects);
                effects.insert(Effect::Publish);
            }
        }
        Answer::Failed { reason, .. } | Answer::Refused { reason } => {
            health.failures = health.failures.saturating_add(1);
            health.failing_since.get_or_insert(now);
            health.because = Some(reason.clone());
            if (health.failures >= UNREACHABLE_AFTER || is_dead) && !health.is_alarmed {
                health.is_alarmed = true;
                let title = format!("Receiver {receiver} cannot be reached");
                let next = if is_dead { "This one is given up" } else { "They are kept and tried again" };
                let text =
                    format!("Deliveries to {receiver} fail: {reason}. {next}; check its address and credentials.");
                tell_own_except(state, &subject, Some(receiver), &title, &text, true, effects);
                effects.insert(Effect::Publish);
            }
        }
    }
}

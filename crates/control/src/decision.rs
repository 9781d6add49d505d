//! Why: every choice the machine makes, with the facts it was made on.
//!
//! A [`Reason`] is the log field, the metric label, the sentence on page and
//! terminal, and the assertion in the tests; there is no second explanation.

use crate::aside::Because;
use crate::judge::Tally;
use model::id::{CheckId, IncidentId, LocationId, ReceiverId, ServiceId};
use model::message::Step;
use model::time::{Timestamp, humane_duration};
use model::verdict::{ServiceStatus, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One choice, when and about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Index of the entry whose application made it.
    pub index: u64,
    /// The stamp of that entry.
    pub at: Timestamp,
    /// The service it is about; `None` for Mainstay itself.
    pub service: Option<ServiceId>,
    /// The check it is about, if it is about one.
    pub check: Option<CheckId>,
    /// Why.
    pub reason: Reason,
}

/// Why something was decided, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The vote on a check changed its verdict.
    Verdict {
        /// The verdict before.
        from: Verdict,
        /// The verdict from here on.
        to: Verdict,
        /// When it began.
        since: Timestamp,
        /// How the locations voted.
        tally: Tally,
        /// What the last round that did not pass said.
        sentence: Option<String>,
    },
    /// A check began or stopped to flap.
    Flapping {
        /// Whether it flaps from here on.
        is_flapping: bool,
        /// The weighted share of changes, per cent.
        percent: u32,
    },
    /// A service's state on the page changed.
    Status {
        /// The state before.
        from: ServiceStatus,
        /// The state from here on.
        to: ServiceStatus,
        /// When it began.
        since: Timestamp,
    },
    /// An incident was opened.
    Opened {
        /// Which.
        incident: IncidentId,
        /// The state that opened it.
        status: ServiceStatus,
    },
    /// An incident became worse.
    Worsened {
        /// Which.
        incident: IncidentId,
    },
    /// An incident is over.
    Resolved {
        /// Which.
        incident: IncidentId,
        /// How long it lasted.
        lasted: Duration,
    },
    /// No incident is opened, or an open one not closed, for now.
    Held(Hold),
    /// Somebody is told.
    Told {
        /// Who.
        receiver: ReceiverId,
        /// About which step.
        step: Step,
        /// The key of the delivery.
        key: String,
    },
    /// Somebody is not told.
    NotTold {
        /// Who.
        receiver: ReceiverId,
        /// About which step.
        step: Step,
        /// Why not.
        because: NotTold,
    },
    /// A delivery was given up.
    GivenUp {
        /// Who was to be told.
        receiver: ReceiverId,
        /// The key of the delivery.
        key: String,
        /// What its last attempt said.
        reason: String,
    },
    /// A command was carried out.
    Commanded {
        /// By whom.
        actor: String,
        /// What, in the infinitive.
        what: String,
    },
    /// The leader began or ceased to hear a node.
    Presence {
        /// The node's name.
        node: String,
        /// Whether it is heard from here on.
        is_present: bool,
        /// How many nodes are heard from here on.
        left: u16,
        /// How many nodes there are.
        of: u16,
    },
    /// A location is silent in every vote from here on.
    SetAside {
        /// Which.
        location: LocationId,
        /// Why.
        because: Because,
    },
    /// A location that was set aside has its votes again.
    HeardAgain {
        /// Which.
        location: LocationId,
        /// Since when it was set aside.
        since: Timestamp,
    },
    /// A node's way out began or ceased to work.
    WayOut {
        /// The node's name.
        node: String,
        /// Whether it works from here on.
        works: bool,
        /// What was tried and what came of it.
        text: String,
    },
}

/// Why an incident is not opened or not closed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Planned work explains it.
    Maintenance {
        /// Title of the work.
        title: String,
        /// When it ends, and this is judged again.
        until: Timestamp,
    },
    /// A service that this one needs is down, and that explains it.
    NeedIsDown {
        /// Which.
        service: ServiceId,
    },
    /// A service that this one needs is suspect; it may soon explain it.
    NeedIsSuspect {
        /// Which.
        service: ServiceId,
    },
    /// A service that this one needs has just come back; a fresh look is due.
    NeedCameBack {
        /// Which.
        service: ServiceId,
    },
    /// It goes up and down; it is over when it stays up.
    Flapping,
}

/// Why somebody is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotTold {
    /// Does not want to hear of degraded services.
    DegradedUnwanted,
    /// Does not want to hear that it is over.
    ResolvedUnwanted,
    /// Was not told that it began.
    NeverTold,
    /// More deliveries wait than may.
    TooMany,
}

impl Reason {
    /// The name as metric label and JSON value.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Verdict { .. } => "verdict",
            Self::Flapping { .. } => "flapping",
            Self::Status { .. } => "status",
            Self::Opened { .. } => "opened",
            Self::Worsened { .. } => "worsened",
            Self::Resolved { .. } => "resolved",
            Self::Held(_) => "held",
            Self::Told { .. } => "told",
            Self::NotTold { .. } => "not_told",
            Self::GivenUp { .. } => "given_up",
            Self::Commanded { .. } => "commanded",
            Self::Presence { .. } => "presence",
            Self::WayOut { .. } => "way_out",
            Self::SetAside { .. } => "set_aside",
            Self::HeardAgain { .. } => "heard_again",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict { from, to, since, tally, sentence } => {
                write!(f, "{} → {} since {since}: {tally}", from.name(), to.name())?;
                match sentence {
                    Some(sentence) => write!(f, "; {sentence}"),
                    None => Ok(()),
                }
            }
            Self::Flapping { is_flapping: true, percent } => {
                write!(f, "goes up and down too often ({percent} % changes): told once, then quiet")
            }
            Self::Flapping { is_flapping: false, percent } => write!(f, "is steady again ({percent} % changes)"),
            Self::Status { from, to, since } => write!(f, "shown as {} (was {}) since {since}", to.name(), from.name()),
            Self::Opened { incident, status } => write!(f, "incident {incident} opened: {}", status.name()),
            Self::Worsened { incident } => write!(f, "incident {incident} became worse: down"),
            Self::Resolved { incident, lasted } => {
                write!(f, "incident {incident} resolved after {}", humane_duration(*lasted))
            }
            Self::Held(hold) => hold.fmt(f),
            Self::Told { receiver, step, key } => write!(f, "{receiver} is told ({}, key {key})", step.name()),
            Self::NotTold { receiver, step, because } => {
                let why = match because {
                    NotTold::DegradedUnwanted => "does not want to hear of degraded services",
                    NotTold::ResolvedUnwanted => "does not want to hear that it is over",
                    NotTold::NeverTold => "was not told that it began",
                    NotTold::TooMany => "too many deliveries wait",
                };
                write!(f, "{receiver} is not told ({}): {why}", step.name())
            }
            Self::GivenUp { receiver, key, reason } => write!(f, "delivery {key} to {receiver} given up: {reason}"),
            Self::Commanded { actor, what } => write!(f, "{actor}: {what}"),
            Self::Presence { node, is_present, left, of } => {
                let is = if *is_present { "is heard" } else { "is not heard any more" };
                write!(f, "node {node} {is}; {left} of {of} nodes are there")
            }
            Self::SetAside { location, because } => write!(f, "location {location} is not heard: {because}"),
            Self::HeardAgain { location, since } => {
                write!(f, "location {location} is heard again; it had been set aside since {since}")
            }
            Self::WayOut { node, works: true, text } => write!(f, "node {node} has a way out: {text}"),
            Self::WayOut { node, works: false, text } => write!(f, "node {node} has no way out: {text}"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maintenance { title, until } => write!(f, "held: planned work \"{title}\" explains it until {until}"),
            Self::NeedIsDown { service } => write!(f, "held: it needs {service}, which is down"),
            Self::NeedIsSuspect { service } => write!(f, "held: it needs {service}, which is being confirmed"),
            Self::NeedCameBack { service } => {
                write!(f, "held: it needs {service}, which has just come back; waiting for a fresh look")
            }
            Self::Flapping => f.write_str("not resolved yet: it goes up and down"),
        }
    }
}

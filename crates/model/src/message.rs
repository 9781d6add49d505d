//! What a receiver is told: one [`Message`] for each step of an incident.
//!
//! Made when it is decided, kept until it is delivered, the same at every attempt.

use crate::id::{IncidentId, ServiceId};
use crate::time::Timestamp;
use crate::verdict::ServiceStatus;
use serde::{Deserialize, Serialize};

/// The content of a delivery, independent of the means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The delivery's key: one for each incident, receiver and step, the same
    /// at every attempt. Receivers may use it to drop doubles.
    pub key: String,
    /// The same for all messages of an incident: mail threads, PagerDuty's `dedup_key`.
    pub thread: String,
    /// The incident; `None` for a test or a word about Mainstay itself.
    pub incident: Option<IncidentId>,
    /// What it is about.
    pub step: Step,
    /// The service; `None` for a test or a word about Mainstay itself.
    pub service: Option<(ServiceId, String)>,
    /// The service's state.
    pub status: ServiceStatus,
    /// One line ("Website is down").
    pub title: String,
    /// The rest, plain text, several lines.
    pub text: String,
    /// When the incident began.
    pub started: Timestamp,
    /// When this was decided.
    pub at: Timestamp,
    /// Link to the page, if its address is known.
    pub url: Option<String>,
}

/// Which step of an incident a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// It began.
    Opened,
    /// It became worse.
    Worsened,
    /// The service goes up and down too often to tell each time.
    Flapping,
    /// It is over.
    Resolved,
    /// Something about Mainstay itself: a receiver that cannot be reached, a full disk.
    Own,
    /// A test somebody asked for.
    Test,
}

impl Step {
    /// The name in keys, JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Flapping => "flapping",
            Self::Resolved => "resolved",
            Self::Own => "own",
            Self::Test => "test",
        }
    }
}

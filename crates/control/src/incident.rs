//! Incidents: what happened to a service, from its begin to its end.

use model::entry::Phase;
use model::id::{IncidentId, ReceiverId, ServiceId};
use model::limits::TIMELINE_MAX;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One incident of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// The service it is about.
    pub service: ServiceId,
    /// The service's name when it began.
    pub service_name: String,
    /// One line for the public.
    pub title: String,
    /// When the trouble began: the first failed round, before it was confirmed.
    pub started: Timestamp,
    /// When it was confirmed and opened.
    pub opened: Timestamp,
    /// When it was over.
    pub resolved: Option<Timestamp>,
    /// The worst state it came to.
    pub worst: ServiceStatus,
    /// What the public is told it is.
    pub phase: Phase,
    /// Whether it stands on the public page.
    pub is_public: bool,
    /// Who takes care of it, since when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// Whether receivers were told that it goes up and down.
    pub told_flapping: bool,
    /// Who was told that it began.
    pub told: BTreeSet<ReceiverId>,
    /// What happened, oldest first.
    pub timeline: Vec<Line>,
    /// The last entry that changed it.
    pub revision: u64,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// The public phase from here on.
    pub phase: Phase,
    /// What is said.
    pub text: String,
    /// Whether the public sees it.
    pub is_public: bool,
    /// Who wrote it; `None` for Mainstay.
    pub author: Option<String>,
}

impl Incident {
    /// Whether it is not over.
    pub const fn is_open(&self) -> bool {
        self.resolved.is_none()
    }

    /// Adds a line. Beyond the bound the line after the first is dropped: how
    /// it began and how it goes on matter most.
    pub(crate) fn add(&mut self, line: Line) {
        self.phase = line.phase;
        if self.timeline.len() >= TIMELINE_MAX {
            self.timeline.remove(1);
        }
        self.timeline.push(line);
    }
}

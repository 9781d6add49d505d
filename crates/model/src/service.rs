//! Services, their dependencies, and planned work on them.

use crate::check::Check;
use crate::id::{MaintenanceId, ReceiverId, ServiceId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What customers see: one line on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique name.
    pub id: ServiceId,
    /// Name for people.
    pub name: String,
    /// One sentence for customers.
    pub description: Option<String>,
    /// Heading under which it stands on the page.
    pub group: Option<String>,
    /// What it needs to work.
    pub needs: Vec<Need>,
    /// How it is watched.
    pub checks: Vec<Check>,
    /// Who is told; every receiver when `None`.
    pub receivers: Option<Vec<ReceiverId>>,
    /// Whether it stands on the public page.
    pub is_public: bool,
    /// Whether a confirmed outage opens an incident on the public page by itself.
    pub announces: bool,
}

/// A dependency on another service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The service needed.
    pub service: ServiceId,
    /// How much.
    pub class: NeedClass,
}

/// How much a service needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeedClass {
    /// Down when the other is down: an outage of the other explains one of this.
    Hard,
    /// Works without, if less well: explains `degraded` only.
    Soft,
}

/// Planned work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Unique name.
    pub id: MaintenanceId,
    /// What is done, for customers.
    pub title: String,
    /// First moment.
    pub from: Timestamp,
    /// First moment after it; always later than `from`.
    pub until: Timestamp,
    /// What it touches; never empty.
    pub services: Vec<ServiceId>,
    /// The worst that was announced.
    pub impact: Impact,
}

/// The worst effect that planned work was announced to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Impact {
    /// Redundancy is reduced; nothing should be noticed.
    AtRisk,
    /// It may be slow.
    Degraded,
    /// It may be gone.
    Outage,
}

impl Impact {
    /// The name in configuration and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtRisk => "at-risk",
            Self::Degraded => "degraded",
            Self::Outage => "outage",
        }
    }
}

//! The JSON of commands: what is asked for and what is answered.

use model::entry::Phase;
use model::id::{IncidentId, MaintenanceId, ServiceId};
use model::service::Impact;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/commands`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// Who wants it.
    pub actor: String,
    /// Made by the sender, new for each wish and the same when it is sent again.
    pub key: String,
    /// The revision the sender saw.
    #[serde(default)]
    pub expected_revision: Option<u64>,
    /// What is wanted.
    pub action: ActionRequest,
}

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionRequest {
    /// Somebody takes care of an incident.
    Acknowledge {
        /// Which.
        incident: IncidentId,
        /// Why or how.
        #[serde(default)]
        note: Option<String>,
    },
    /// Tells the public about an incident.
    UpdateIncident {
        /// Which.
        incident: IncidentId,
        /// Its public phase from here on.
        phase: PhaseName,
        /// What is said.
        text: String,
    },
    /// Plans work.
    ScheduleMaintenance {
        /// Its id.
        id: MaintenanceId,
        /// What is done.
        title: String,
        /// First moment, RFC 3339.
        from: String,
        /// First moment after it, RFC 3339.
        until: String,
        /// What it touches.
        services: Vec<ServiceId>,
        /// The worst that is to be expected.
        impact: ImpactName,
    },
    /// Ends or cancels planned work.
    EndMaintenance {
        /// Which.
        id: MaintenanceId,
    },
    /// Sends a test message to every receiver.
    TestReceivers {},
}

/// A phase by the name the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Something is wrong.
    Investigating,
    /// We know what.
    Identified,
    /// It seems mended.
    Monitoring,
    /// It is over.
    Resolved,
}

impl From<PhaseName> for Phase {
    fn from(name: PhaseName) -> Self {
        match name {
            PhaseName::Investigating => Self::Investigating,
            PhaseName::Identified => Self::Identified,
            PhaseName::Monitoring => Self::Monitoring,
            PhaseName::Resolved => Self::Resolved,
        }
    }
}

/// An impact by the name the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImpactName {
    /// Redundancy is reduced.
    AtRisk,
    /// It may be slow.
    Degraded,
    /// It may be gone.
    Outage,
}

impl From<ImpactName> for Impact {
    fn from(name: ImpactName) -> Self {
        match name {
            ImpactName::AtRisk => Self::AtRisk,
            ImpactName::Degraded => Self::Degraded,
            ImpactName::Outage => Self::Outage,
        }
    }
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// Whether it was carried out.
    pub is_accepted: bool,
    /// Why not, with what is allowed.
    pub refusal: Option<String>,
}

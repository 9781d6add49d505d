//! The entries of the replicated log: all that can ever change the state.
//!
//! Three sizes travel one path: commands one by one, results in numbered
//! batches, and the clock. **An old entry never changes its meaning**: variants
//! are only added at the end, a variant's fields are never changed (a changed
//! one is a new variant), and the golden file of this room's tests holds the
//! bytes of one of each.

use crate::configuration::{DecodeError, decode_versioned, encode_versioned};
use crate::id::{IncidentId, LocationId, MaintenanceId};
use crate::member::{Authority, Digest, Invitation, Member, NodeFacts, NodeId};
use crate::observation::Batch;
use crate::service::Maintenance;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The leader's stamp; never earlier than that of the entry before.
    pub at: Timestamp,
    /// What it says.
    pub body: Body,
}

impl Entry {
    /// The stored form, with its version in front.
    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode_versioned(VERSION, bytes)
    }
}

/// What an entry says.
#[expect(clippy::large_enum_variant, reason = "an entry lives for a moment, and few are about members")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Time has passed.
    Tick,
    /// What a location saw.
    Results(Batch),
    /// Somebody wants something changed.
    Command(Command),
    /// A delivery is about to be attempted. Logged before anything is sent.
    AttemptBegins {
        /// Which delivery.
        key: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// The node that makes it.
        node: NodeId,
    },
    /// An attempt has ended.
    AttemptEnded {
        /// Which delivery.
        key: String,
        /// Which attempt.
        attempt: u32,
        /// How.
        answer: Answer,
    },
    /// A condition of this Mainstay itself began or ended.
    Condition(Condition),
    /// The leader began or ceased to hear a node.
    Presence {
        /// Which node.
        node: NodeId,
        /// Whether it is heard from here on.
        is_present: bool,
    },
    /// A node's way out into the world began or ceased to work.
    Egress {
        /// Which node.
        node: NodeId,
        /// Whether it works from here on.
        works: bool,
        /// What was tried and what came of it, a sentence for the operator.
        text: String,
    },
}

/// Somebody's wish, answered only when it is on disk and applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Who wants it: a user name, or the name of a program.
    pub actor: String,
    /// By which way it came.
    pub origin: Origin,
    /// Made by the sender; a command whose key was seen before is answered as
    /// the first was, and not applied again.
    pub key: String,
    /// The revision the sender saw; the command is refused if what it changes
    /// has a later one. `None` changes whatever is there.
    pub expected_revision: Option<u64>,
    /// What is wanted.
    pub action: Action,
}

/// The way by which a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The configuration file.
    File,
    /// The command line, through the local socket.
    CommandLine,
    /// The HTTP interface.
    Api,
    /// A link in a message.
    Link,
    /// A node, about itself or on its way in.
    Node,
}

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A part of a configuration's stored form.
    StoreConfiguration {
        /// Digest of the whole stored form, in hexadecimal.
        digest: String,
        /// Which part, from 0.
        part: u32,
        /// How many parts there are.
        parts: u32,
        /// The part.
        bytes: Vec<u8>,
    },
    /// Makes a stored configuration the active one.
    ActivateConfiguration {
        /// Its digest.
        digest: String,
        /// The node whose file it is; `None` if it is nobody's file.
        offered_by: Option<NodeId>,
    },
    /// Somebody takes care of an incident; reminders stop.
    Acknowledge {
        /// Which incident.
        incident: IncidentId,
        /// Why or how, for colleagues.
        note: Option<String>,
    },
    /// Tells the public about an incident.
    UpdateIncident {
        /// Which incident.
        incident: IncidentId,
        /// Its public phase from here on.
        phase: Phase,
        /// What is said, plain text.
        text: String,
    },
    /// Plans work.
    ScheduleMaintenance(Maintenance),
    /// Ends or cancels planned work now.
    EndMaintenance {
        /// Which.
        maintenance: MaintenanceId,
    },
    /// Sends a test message to every receiver.
    TestReceivers,
    /// Makes the first node of a cluster its first member. Refused when there is a member.
    Found(Member),
    /// Trusts a further authority, which signs from here on.
    TrustAuthority(Authority),
    /// Trusts an authority no longer. Refused for the only one and for the one that signs.
    DistrustAuthority {
        /// Its certificate.
        certificate: Vec<u8>,
    },
    /// Leaves a way for one more node to join.
    Invite(Invitation),
    /// Takes an invitation back.
    Disinvite {
        /// The node it was for.
        node: NodeId,
    },
    /// A node that was invited joins. Repeated by the same key it is accepted again.
    Join {
        /// Digest of the token it showed.
        token: Digest,
        /// The node; its ordinal is given by the machine, its id must be the invited one.
        member: Member,
    },
    /// A member says what has changed about it; `None` stays as it is.
    UpdateMember {
        /// Which member.
        node: NodeId,
        /// Its new name.
        name: Option<String>,
        /// Its new address.
        address: Option<String>,
        /// Its new place.
        location: Option<LocationId>,
        /// Its new key.
        key: Option<Digest>,
        /// What it says about itself by now.
        facts: Option<NodeFacts>,
    },
    /// Takes a member out for ever.
    RemoveMember {
        /// Which member.
        node: NodeId,
    },
}

/// The public phase of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Something is wrong.
    Investigating,
    /// We know what.
    Identified,
    /// It seems mended.
    Monitoring,
    /// It is over.
    Resolved,
}

impl Phase {
    /// The name in JSON, as Statuspage writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Investigating => "investigating",
            Self::Identified => "identified",
            Self::Monitoring => "monitoring",
            Self::Resolved => "resolved",
        }
    }
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The receiver's side has taken it.
    Delivered {
        /// What it said, shortened ("250 2.0.0 Ok: queued as 4F2A", "HTTP 202").
        said: String,
    },
    /// It did not work and may work later.
    Failed {
        /// What happened, without secrets.
        reason: String,
        /// The wait the receiver's side asked for, in seconds.
        retry_after_seconds: Option<u32>,
    },
    /// It will never work as it stands (address gone, request refused).
    Refused {
        /// What happened, without secrets.
        reason: String,
    },
}

/// A condition of this Mainstay itself, reported by a hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which.
    pub kind: ConditionKind,
    /// The node that it is about.
    pub node: NodeId,
    /// Whether it holds from here on.
    pub holds: bool,
    /// The facts, a sentence for the operator.
    pub text: String,
}

/// Conditions of Mainstay itself that its operator must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The disk is too full to keep results.
    DiskFull,
    /// The wall clock jumped.
    ClockJumped,
    /// Checks start late or not at all for lack of resources.
    Overloaded,
    /// The last configuration that was offered is wrong; the one before stays.
    ConfigurationRefused,
    /// A backup that a node makes by itself failed, or is not there although it is due.
    BackupFailed,
}

impl ConditionKind {
    /// Every kind there is.
    pub const ALL: [Self; 5] =
        [Self::DiskFull, Self::ClockJumped, Self::Overloaded, Self::ConfigurationRefused, Self::BackupFailed];

    /// The name in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::ClockJumped => "clock_jumped",
            Self::Overloaded => "overloaded",
            Self::ConfigurationRefused => "configuration_refused",
            Self::BackupFailed => "backup_failed",
        }
    }
}

//! The JSON of `/api/v1/`, as typed values for both sides.
//!
//! The server writes them and the command line reads them, so a change that
//! one side does not know does not compile. Times are RFC 3339 in UTC as text,
//! durations and sizes carry their unit in the name. `docs/api.md` describes
//! them for everybody else. **Fields are added, never changed or removed**;
//! a reader ignores those it does not know.

pub mod backup;
pub mod command;
pub mod node;

use serde::{Deserialize, Serialize};

/// `GET /api/v1/status`: everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the page.
    pub page: String,
    /// The stamp it is true for.
    pub now: String,
    /// Whether this node has stopped applying entries or has no contact with the others, so that all of this
    /// may be out of date.
    pub is_stale: bool,
    /// The worst state of all public services: `up`, `unknown`, `maintenance`, `degraded` or `down`;
    /// `unknown` when all of this may be out of date.
    pub overall: String,
    /// How many services are in each state.
    pub services: Counts,
    /// How many checks are in each state; `maintenance` is always 0.
    pub checks: Counts,
    /// Services that are not up, at most 100, in the order of the configuration.
    pub attention: Vec<Service>,
    /// Incidents that are not over, newest first, at most 100.
    pub incidents: Vec<Incident>,
    /// Planned work under way or to come, by begin.
    pub maintenance: Vec<Maintenance>,
    /// Conditions of Mainstay itself that its operator must know.
    pub conditions: Vec<Condition>,
    /// Receivers, in the order of their names.
    pub receivers: Vec<Receiver>,
    /// Deliveries that wait or run.
    pub deliveries_open: u64,
    /// This node.
    pub node: Node,
    /// All nodes, this one included.
    #[serde(default)]
    pub nodes: Vec<node::NodeInfo>,
    /// What nodes have in common that could take them together.
    #[serde(default)]
    pub warnings: Vec<node::Warning>,
}

/// What a state comes to: equal on all nodes at the same entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDigest {
    /// The last entry in it.
    pub index: u64,
    /// SHA-256 of its stored form, in hexadecimal.
    pub digest: String,
}

/// How far the history of a node is completed from other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFill {
    /// Spans that were compared.
    pub done: u64,
    /// Spans to compare.
    pub of: u64,
}

/// How many are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// They work.
    pub up: u64,
    /// Not verified.
    pub unknown: u64,
    /// Planned work.
    pub maintenance: u64,
    /// They work, but not well.
    pub degraded: u64,
    /// They do not work.
    pub down: u64,
}

/// A node of Mainstay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Node {
    /// Version of the program.
    pub version: String,
    /// How long the process has been running.
    pub uptime_seconds: u64,
    /// The last entry applied.
    pub applied_index: u64,
    /// What people call it; empty before it has a name.
    #[serde(default)]
    pub name: String,
    /// Whether a majority of the voters can be reached from here.
    #[serde(default)]
    pub has_quorum: bool,
    /// Since when it has had no contact with a majority, if it has none.
    #[serde(default)]
    pub cut_off_since: Option<String>,
    /// What its state comes to, to compare nodes by; left out when there are very many checks.
    #[serde(default)]
    pub state_digest: Option<StateDigest>,
    /// How far its history is completed from other nodes, while it is.
    #[serde(default)]
    pub history_fill: Option<HistoryFill>,
    /// The leader, if one is known.
    pub leader: Option<String>,
    /// Why the log takes no entries, if it does not.
    pub log_refuses: Option<String>,
    /// Size of the log on disk.
    pub log_bytes: u64,
    /// Size of the history on disk.
    pub history_bytes: u64,
    /// Free space on the disk of the data directory.
    pub disk_free_bytes: u64,
    /// Whether the disk is so full that results are no longer kept.
    pub is_tight: bool,
    /// Digest of the active configuration.
    pub configuration: String,
}

/// A condition of Mainstay itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which: `disk_full`, `clock_jumped`, `overloaded`, `configuration_refused` or `backup_failed`.
    pub kind: String,
    /// On which node.
    #[serde(default)]
    pub node: String,
    /// Since when it holds.
    pub since: String,
    /// The facts.
    pub text: String,
}

/// How well a receiver can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Its id.
    pub id: String,
    /// By which means it is told.
    pub means: String,
    /// Whether its last attempt worked; `None` before the first.
    pub is_reachable: Option<bool>,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Since when they fail.
    pub failing_since: Option<String>,
    /// The last delivery that worked.
    pub delivered: Option<String>,
    /// What the last failed attempt said.
    pub because: Option<String>,
}

/// `GET /api/v1/services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// Services in the order of the configuration.
    pub services: Vec<Service>,
    /// The value of `after` for the next page; `None` on the last.
    pub next: Option<String>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its heading on the page.
    pub group: Option<String>,
    /// Whether it stands on the public page.
    pub is_public: bool,
    /// What the page shows.
    pub status: String,
    /// Since when.
    pub since: String,
    /// What its checks say, planned work not considered.
    pub observed: String,
    /// When the check that was verified longest ago was verified last.
    pub verified: Option<String>,
    /// Available share of the last 90 days in parts per million; `None` without a record.
    pub availability_ppm: Option<u32>,
    /// The split of the last 90 days.
    pub split: Split,
    /// Its open incident.
    pub incident: Option<u64>,
    /// Why an incident is not opened or closed yet.
    pub hold: Option<String>,
    /// Its checks that are not up, at most 10: the reason for its state.
    pub failing: Vec<Check>,
    /// Ids of its checks, at most 100.
    pub checks: Vec<String>,
}

/// Time in each state; the parts sum to the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// It worked.
    pub up_ms: u64,
    /// It worked, but not well.
    pub degraded_ms: u64,
    /// It did not work.
    pub down_ms: u64,
    /// Planned work, as announced.
    pub maintenance_ms: u64,
    /// Not verified.
    pub unknown_ms: u64,
}

/// `GET /api/v1/checks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Checks in the order of the configuration.
    pub checks: Vec<Check>,
    /// The value of `after` for the next page; `None` on the last.
    pub next: Option<String>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its id.
    pub id: String,
    /// The service it belongs to.
    pub service: String,
    /// Its kind.
    pub kind: String,
    /// What it looks at, without secrets and without a query string.
    pub target: String,
    /// What was concluded: `up`, `unknown`, `degraded` or `down`.
    pub verdict: String,
    /// Since when.
    pub since: String,
    /// The last round that really looked.
    pub looked: Option<String>,
    /// How the last round ended: `pass`, `degraded`, `fail` or `own_error`.
    pub outcome: Option<String>,
    /// Time of the last round.
    pub latency_us: u32,
    /// Whether it goes up and down too often.
    pub is_flapping: bool,
    /// What the last round that did not pass said.
    pub failure: Option<Failure>,
}

/// Why a round did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// From the closed list of causes.
    pub cause: String,
    /// A sentence for the operator.
    pub sentence: String,
}

/// `GET /api/v1/checks/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDetail {
    /// The check.
    pub check: Check,
    /// Time between two rounds.
    pub every_ms: u64,
    /// Longest time of a round.
    pub timeout_ms: u64,
    /// Failed rounds in a row before a location counts as failing.
    pub down_after: u8,
    /// Good rounds in a row before it counts as good again.
    pub up_after: u8,
    /// What each assigned location says.
    pub locations: Vec<LocationReading>,
    /// Where the time of the last round with details went.
    pub phases: Option<Phases>,
    /// The status of that round's answer.
    pub answer: Option<String>,
    /// When the certificate that was shown ends.
    pub certificate_until: Option<String>,
    /// When a heartbeat becomes late.
    pub deadline: Option<String>,
    /// The newest stored result that did not pass, with its evidence.
    pub last_failure: Option<ResultRecord>,
    /// Why history could not be read, if it could not.
    pub history_error: Option<String>,
}

/// What one location says of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationReading {
    /// Which location.
    pub location: String,
    /// `none`, `good`, `slow` or `failing`.
    pub reading: String,
    /// Its last round that really looked.
    pub looked: Option<String>,
    /// Failed rounds in a row.
    pub fails: u8,
    /// Rounds in a row that did not fail.
    pub works: u8,
}

/// Where the time of a round went; `None` for a phase that was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Name resolution.
    pub resolve_us: Option<u32>,
    /// TCP connect.
    pub connect_us: Option<u32>,
    /// TLS handshake.
    pub tls_us: Option<u32>,
    /// From the request sent to the first byte.
    pub first_byte_us: Option<u32>,
    /// From the first byte to the last.
    pub transfer_us: Option<u32>,
}

/// `GET /api/v1/checks/{id}/results`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Results, oldest first.
    pub results: Vec<ResultRecord>,
    /// The value of `from` for the rest; `None` when nothing was left out.
    pub next: Option<String>,
}

/// One stored result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Where it was made.
    pub location: String,
    /// When the round was due.
    pub at: String,
    /// `pass`, `degraded`, `fail` or `own_error`.
    pub outcome: String,
    /// Time of the whole round.
    pub latency_us: u32,
    /// Why it did not pass.
    pub failure: Option<Failure>,
    /// Where the time went, where that was kept.
    pub phases: Option<Phases>,
    /// What can be shown for it, where that was kept.
    pub evidence: Option<Evidence>,
}

/// What can be shown for a result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Addresses tried, in order.
    pub addresses: Vec<AddressTried>,
    /// The status of the answer.
    pub status: Option<String>,
    /// The beginning of the answer. Over the local socket only.
    pub excerpt: Option<String>,
    /// The certificate shown.
    pub certificate: Option<Certificate>,
    /// Redirects followed.
    pub redirects: Vec<String>,
    /// Performance data of a plugin.
    pub performance: Option<String>,
}

/// One address that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressTried {
    /// The address.
    pub address: String,
    /// Time until it connected or failed.
    pub took_us: u32,
    /// Why it did not connect.
    pub error: Option<String>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Subject.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// Names and addresses it is for.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: String,
    /// Valid until.
    pub not_after: String,
    /// SHA-256 in hexadecimal.
    pub fingerprint: String,
}

/// `GET /api/v1/checks/{id}/rollups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollups {
    /// Spans, oldest first.
    pub rollups: Vec<Rollup>,
}

/// What the results of a span come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// Start of the span in milliseconds since 1970.
    pub from_ms: i64,
    /// End of the span, not part of it.
    pub to_ms: i64,
    /// Rounds that passed.
    pub pass: u32,
    /// Rounds that worked with a limit reached.
    pub degraded: u32,
    /// Rounds that failed.
    pub fail: u32,
    /// Rounds in which we could not look.
    pub own: u32,
    /// Latency of the rounds that worked.
    pub latency: Option<Latency>,
}

/// Latencies of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest.
    pub min_us: u32,
    /// Arithmetic mean.
    pub mean_us: u32,
    /// Half of the rounds took at most this.
    pub p50_us: u32,
    /// 95 of 100 rounds took at most this.
    pub p95_us: u32,
    /// Longest.
    pub max_us: u32,
}

/// `GET /api/v1/incidents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    /// Incidents, newest first.
    pub incidents: Vec<Incident>,
}

/// An incident, `GET /api/v1/incidents/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: u64,
    /// The service it is about.
    pub service: String,
    /// That service's name when it began.
    pub service_name: String,
    /// One line.
    pub title: String,
    /// When the trouble began.
    pub started: String,
    /// When it was confirmed.
    pub opened: String,
    /// When it was over.
    pub resolved: Option<String>,
    /// The worst state it came to.
    pub worst: String,
    /// `investigating`, `identified`, `monitoring` or `resolved`.
    pub phase: String,
    /// Whether it stands on the public page.
    pub is_public: bool,
    /// Who takes care of it.
    pub acknowledged_by: Option<String>,
    /// Since when.
    pub acknowledged_at: Option<String>,
    /// What happened, oldest first.
    pub timeline: Vec<Line>,
    /// What to send as `expected_revision` with a command about it.
    pub revision: u64,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: String,
    /// The public phase from here on.
    pub phase: String,
    /// What is said.
    pub text: String,
    /// Whether the public sees it.
    pub is_public: bool,
    /// Who wrote it; `None` for Mainstay.
    pub author: Option<String>,
}

/// Planned work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its id.
    pub id: String,
    /// What is done.
    pub title: String,
    /// First moment.
    pub from: String,
    /// First moment after it.
    pub until: String,
    /// Services it touches.
    pub services: Vec<String>,
    /// `at-risk`, `degraded` or `outage`.
    pub impact: String,
    /// Whether it is under way.
    pub is_active: bool,
}

/// `GET /api/v1/decisions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Decisions, newest first.
    pub decisions: Vec<Decision>,
}

/// One choice of the machine; also one event of `GET /api/v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Index of the entry that led to it.
    pub index: u64,
    /// When.
    pub at: String,
    /// From the closed list of reasons (`verdict`, `status`, `opened`, `told` …).
    pub kind: String,
    /// The service it is about.
    pub service: Option<String>,
    /// The check it is about.
    pub check: Option<String>,
    /// The state from here on, where the decision is about a state.
    pub state: Option<String>,
    /// The incident it is about.
    pub incident: Option<u64>,
    /// Why, as a sentence.
    pub text: String,
}

/// `GET /api/v1/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Deliveries, newest first.
    pub deliveries: Vec<Delivery>,
}

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its key, the same at every attempt.
    pub key: String,
    /// To whom.
    pub receiver: String,
    /// About which step.
    pub step: String,
    /// About which incident.
    pub incident: Option<u64>,
    /// One line.
    pub title: String,
    /// When it was decided.
    pub decided: String,
    /// `waiting`, `in_flight`, `delivered` or `dead`.
    pub state: String,
    /// When it came to this state, or until when it waits.
    pub at: String,
    /// The last attempt that began; 0 before the first.
    pub attempt: u32,
    /// Whether it may have arrived twice.
    pub is_possibly_double: bool,
    /// What the receiver's side said last.
    pub said: Option<String>,
}

/// The answer to a request that failed, with its HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What failed and what is allowed, a sentence.
    pub error: String,
}

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether this node does its work.
    pub is_ready: bool,
    /// Why not; empty when it does.
    pub reasons: Vec<String>,
    /// Conditions and receivers that need an operator; they do not make a node unready.
    pub attention: Vec<String>,
}

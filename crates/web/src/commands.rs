//! What the web room asks of the rest of the house: commands, heartbeats, and
//! reads of what the state does not hold.
//!
//! The front door implements [`Commands`]; this room's tests have a second
//! implementation. Every write is answered only after it is committed and
//! applied here, so that people read their own writes.

use control::CommandOutcome;
use model::entry::Command;
use model::id::{CheckId, CheckSlot, LocationId};
use model::member::{NodeId, Role};
use model::observation::{Detail, Outcome};
use model::secret::Secret;
use model::time::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// An answer under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The rest of the house as the web room sees it.
pub trait Commands: Send + Sync + 'static {
    /// Commits a command and answers after it is applied.
    fn command(&self, command: Command) -> Pending<'_, Result<CommandOutcome, CommandError>>;

    /// Commits a heartbeat and answers after it is applied.
    fn heartbeat(&self, heartbeat: Heartbeat) -> Pending<'_, Result<(), HeartbeatError>>;

    /// Carries out what somebody wants with the nodes and answers when it is done here.
    fn node(&self, sender: Sender, request: NodeRequest) -> Pending<'_, Result<NodeAnswer, CommandError>>;

    /// Begins a backup of this node and answers with its number; it goes on when nobody looks.
    fn back_up(&self, request: BackupRequest) -> Pending<'_, Result<u64, BackupRefused>>;

    /// Backups of this process, newest first, as many as are remembered.
    fn backups(&self) -> Vec<BackupRun>;

    /// Reads stored results, oldest first, at most `limit`.
    fn results(&self, range: ResultRange) -> Pending<'_, Result<Vec<StoredResult>, HistoryError>>;

    /// Reads roll-ups, oldest first, all locations together.
    fn rollups(&self, range: RollupRange) -> Pending<'_, Result<Vec<StoredRollup>, HistoryError>>;

    /// Reads the newest result of a check that did not pass; `None` if none is stored.
    fn last_failure(&self, check: CheckId) -> Pending<'_, Result<Option<StoredResult>, HistoryError>>;

    /// How this node is. Called often and from async code: must not block.
    fn status(&self) -> NodeStatus;

    /// Who this node is and whether it reaches the others. Asked for every
    /// page, so it comes from memory: no disk, no lock that anything slow holds.
    fn contact(&self) -> Contact;
}

/// Why a command was not carried out. A refusal is not an error but an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The log takes nothing at the moment: no leader, a full disk, a shutdown.
    #[error("the command was not committed: {because}")]
    NotCommitted {
        /// Why, with what happens next.
        because: String,
    },
    /// It may or may not have been committed; sending it again with the same key is safe.
    #[error("it is not known whether the command was committed")]
    Unknown,
}

/// Who sends a wish, and under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// A user name.
    pub actor: String,
    /// New for each wish and the same when it is sent again; see [`Command::key`].
    pub key: String,
}

/// What somebody wants with the nodes. A node is named by its name or its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeRequest {
    /// Leaves a way for one more node to join.
    Invite {
        /// What the new node will do.
        role: Role,
        /// How long the ticket is good.
        valid_for: Duration,
        /// The node that leaves when the new one has caught up.
        replaces: Option<String>,
    },
    /// Takes a node out for ever.
    Remove {
        /// Which node.
        node: String,
    },
    /// Makes another node the leader.
    TransferLeadership {
        /// Which node; the one that is best prepared when nothing is said.
        to: Option<String>,
    },
    /// Makes a new authority, which signs the certificates of all nodes anew.
    RotateAuthority,
}

/// What came of a wish about the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAnswer {
    /// A node may join.
    Invited {
        /// What the new node's operator gives to `mainstay join`. Holds the token: whoever has it can join.
        ticket: String,
        /// The id that the new node will have.
        node: NodeId,
        /// Until when the ticket is good.
        expires: Timestamp,
    },
    /// It was done.
    Done {
        /// What was done and what happens next, a sentence.
        said: String,
    },
    /// It was decided against.
    Refused {
        /// Why, with what is allowed.
        why: String,
    },
}

/// A backup that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// Where to: an absolute path, or `s3://bucket/prefix`; as configured when nothing is said.
    pub to: Option<String>,
    /// What it is encrypted with; never together with `recipients`. As
    /// configured when neither is there.
    pub passphrase: Option<Secret>,
    /// Public keys of age for which it is encrypted.
    pub recipients: Vec<String>,
}

/// Why a backup was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BackupRefused {
    /// Why, with what is allowed.
    pub why: String,
}

/// A backup that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRun {
    /// Counted from 1 since the process started.
    pub number: u64,
    /// Whether it is made because its time had come, not because somebody asked.
    pub is_scheduled: bool,
    /// When it began.
    pub started: Timestamp,
    /// Where it goes, as it was said.
    pub to: String,
    /// `none`, `passphrase` or `recipients`.
    pub encryption: &'static str,
    /// How far it has come.
    pub stage: BackupStage,
}

/// How far a backup has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupStage {
    /// It is being made.
    Running {
        /// What is being done.
        phase: &'static str,
        /// Bytes of this phase that are done.
        done_bytes: u64,
        /// Bytes of this phase; 0 if that is not known.
        total_bytes: u64,
    },
    /// It is whole, and where it belongs.
    Done {
        /// When it ended.
        ended: Timestamp,
        /// Where it is: a path, or `s3://bucket/key`.
        place: String,
        /// Its length.
        bytes: u64,
        /// Index of the last entry in its state.
        index: u64,
        /// Stamp of that entry.
        stamp: Timestamp,
    },
    /// It is not there.
    Failed {
        /// When it ended.
        ended: Timestamp,
        /// Why.
        because: String,
    },
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The check whose token was presented.
    pub check: CheckId,
    /// Its slot.
    pub slot: CheckSlot,
    /// What it reports: `Pass` or `Fail`.
    pub outcome: Outcome,
    /// A sentence about a failure, at most [`model::limits::FAILURE_TEXT_LENGTH_MAX`] characters, printable.
    pub sentence: Option<String>,
    /// The beginning of what was sent along, at most [`model::limits::EXCERPT_BYTES_MAX`] bytes, printable.
    pub excerpt: Option<String>,
    /// How long the work took, if that was said or a start was announced.
    pub took: Option<Duration>,
}

/// Why a heartbeat was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// The check is gone since the token was looked up.
    #[error("there is no such heartbeat")]
    Gone,
    /// The log takes nothing at the moment.
    #[error("the heartbeat was not committed: {because}")]
    NotCommitted {
        /// Why.
        because: String,
    },
}

/// Which results to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRange {
    /// Of which check.
    pub check: CheckId,
    /// Scheduled at this instant or later.
    pub from: Timestamp,
    /// Scheduled before this instant.
    pub to: Timestamp,
    /// At most so many, the oldest ones.
    pub limit: usize,
}

/// Which roll-ups to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRange {
    /// Of which check.
    pub check: CheckId,
    /// Spans that begin at this instant or later.
    pub from: Timestamp,
    /// Spans that begin before this instant.
    pub to: Timestamp,
    /// How long the spans are.
    pub step: RollupStep,
}

/// How long the span of a roll-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollupStep {
    /// Five minutes.
    FiveMinutes,
    /// One UTC day.
    Day,
}

/// One stored result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// Where it was made.
    pub location: LocationId,
    /// When the round was due.
    pub scheduled: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Time of the whole round, in microseconds.
    pub latency_us: u32,
    /// More about it, where that was kept.
    pub detail: Option<Box<Detail>>,
}

/// What the results of a span come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRollup {
    /// Start of the span.
    pub from: Timestamp,
    /// End of the span, not part of it.
    pub to: Timestamp,
    /// Rounds that passed.
    pub pass: u32,
    /// Rounds that worked with a limit reached.
    pub degraded: u32,
    /// Rounds that failed.
    pub fail: u32,
    /// Rounds in which we could not look.
    pub own: u32,
    /// Latency of the rounds that worked, in microseconds: shortest, mean, median, 95th percentile, longest.
    pub latency_us: Option<[u32; 5]>,
}

/// Why history could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store refused or is damaged.
    #[error("the history could not be read: {because}")]
    Unreadable {
        /// Why.
        because: String,
    },
}

/// Who a node is and whether it reaches the others: what every answer says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// As [`NodeStatus::name`].
    pub name: Arc<str>,
    /// As [`NodeStatus::cut_off_since`].
    pub cut_off_since: Option<Timestamp>,
}

/// How this node is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeStatus {
    /// What people call this node; empty before it has a name.
    pub name: String,
    /// Whether a majority of the voters can be reached, this node included.
    pub has_quorum: bool,
    /// Since when this node has had no contact with a majority, if it has none: what it knows is of that time.
    pub cut_off_since: Option<Timestamp>,
    /// How far its history is completed from other nodes, while it is: spans done, and all of them.
    pub history_fill: Option<(u64, u64)>,
    /// All nodes as far as this one knows, itself included, in the order people want to read them.
    pub nodes: Vec<NodeInfo>,
    /// The last entry applied on this node.
    pub applied_index: u64,
    /// Name of the leader, if one is known.
    pub leader: Option<String>,
    /// Whether the log takes entries; the reason if not.
    pub log_refuses: Option<String>,
    /// Size of the log on disk.
    pub log_bytes: u64,
    /// Size of the history on disk.
    pub history_bytes: u64,
    /// Free space on the disk of the data directory.
    pub disk_free_bytes: u64,
    /// Whether the disk is so full that results are no longer kept.
    pub is_tight: bool,
    /// How long the process has been running.
    pub uptime: Duration,
    /// How punctually rounds of checks start.
    pub rounds: RoundCounts,
}

/// One of the nodes as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where the other nodes reach it: host and port.
    pub address: String,
    /// Where it stands.
    pub location: LocationId,
    /// What it does.
    pub role: Role,
    /// Whether it votes already; a node that has just joined catches up first.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it is heard.
    pub is_present: bool,
    /// Since when it is heard, or not heard any more.
    pub since: Timestamp,
    /// Whether it is the node that answers.
    pub is_this_one: bool,
    /// How many entries of the log it lacks, if that is known here.
    pub lag_entries: Option<u64>,
    /// Version of Mainstay on it.
    pub version: String,
    /// Where people reach its page, if that is known.
    pub url: Option<String>,
}

/// How punctually rounds of checks start, counted since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundCounts {
    /// Rounds that started.
    pub started: u64,
    /// Those of them that started more than a second after they were due.
    pub late: u64,
    /// Rounds that were due and not started: the one before still ran, or too many ran.
    pub skipped: u64,
}

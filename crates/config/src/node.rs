//! What concerns one node only and is not replicated: where it listens, where
//! its data is, where it stands.

use model::check::HostPort;
use model::configuration::LOCATION_DEFAULT;
use model::id::LocationId;
use model::secret::Secret;
use std::time::Duration;

/// Port of page and API when nothing else is said.
pub const LISTEN_PORT_DEFAULT: u16 = 8480;
/// Port for the other nodes when nothing else is said.
pub const CLUSTER_PORT_DEFAULT: u16 = 8481;
/// Directory of everything that is kept when nothing else is said; beside the configuration file.
pub const DATA_DEFAULT: &str = "mainstay-data";

/// Settings of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Where page, API and metrics are served: addresses or names with ports; never empty.
    pub listen: Vec<HostPort>,
    /// Data directory as written; a relative path starts beside the configuration file.
    pub data: String,
    /// The location where this node stands, one of the configuration's.
    pub location: LocationId,
    /// The least important events that are logged.
    pub log_level: LogLevel,
    /// How log lines look.
    pub log_form: LogForm,
    /// How this node and the others meet.
    pub cluster: ClusterSettings,
    /// The backups it makes by itself.
    pub backup: Option<BackupSettings>,
    /// Whether programs named by `plugin` checks and `exec` receivers are run here.
    pub allow_plugins: bool,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            listen: vec![HostPort { host: "127.0.0.1".to_owned(), port: LISTEN_PORT_DEFAULT }],
            data: DATA_DEFAULT.to_owned(),
            location: LocationId::new(LOCATION_DEFAULT).expect("a legal constant"),
            log_level: LogLevel::Info,
            log_form: LogForm::Text,
            cluster: ClusterSettings::default(),
            backup: None,
            allow_plugins: true,
        }
    }
}

/// How this node and the other nodes meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterSettings {
    /// What people call this node; `None` stands for the machine's host name.
    pub name: Option<String>,
    /// Where it takes connections of the others; `None` takes none.
    pub listen: Option<HostPort>,
    /// Where the others reach it; there whenever `listen` is, and then never a wildcard.
    pub address: Option<HostPort>,
    /// How far the nodes are from each other.
    pub profile: Profile,
    /// Whom to connect to, to know whether the own way out works; empty if nobody shall look.
    pub egress: Vec<HostPort>,
}

/// The backups that a node makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// Where they go as written: a directory, whose relative path starts
    /// beside the configuration file, or `s3://bucket/prefix`.
    pub to: String,
    /// Time from one to the next.
    pub every: Duration,
    /// Time since midnight in UTC from which `every` is counted; below a day.
    pub at: Duration,
    /// How many are kept, from 1.
    pub keep: u32,
    /// What they are encrypted with; never together with `recipients`.
    pub passphrase: Option<Secret>,
    /// Public keys of age for which they are encrypted.
    pub recipients: Vec<String>,
}

impl BackupSettings {
    /// Time from one to the next when nothing else is said.
    pub const EVERY_DEFAULT: Duration = Duration::from_secs(24 * 3600);
    /// How many are kept when nothing else is said: two weeks of days.
    pub const KEEP_DEFAULT: u32 = 14;
}

/// How far the nodes of a cluster are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// In one place, or in places a few milliseconds apart.
    #[default]
    Lan,
    /// Far enough that patience is four times as long.
    Wan,
}

impl Profile {
    pub(crate) fn of(word: &str) -> Self {
        if word == "wan" { Self::Wan } else { Self::Lan }
    }
}

/// Importance of logged events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A human is needed.
    Error,
    /// Odd, but handled.
    Warn,
    /// A change an operator cares about.
    Info,
    /// Explains decisions.
    Debug,
    /// Follows the code.
    Trace,
}

impl LogLevel {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => Self::Info,
        }
    }

    /// The name in a configuration, which is also the one that log filters take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogForm {
    pub(crate) fn of(word: &str) -> Self {
        if word == "json" { Self::Json } else { Self::Text }
    }
}

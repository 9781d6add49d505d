//! The JSON about backups: making one, and how those of this process went.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/backups`, local socket only. It is answered when the backup
/// has begun, which goes on when nobody looks.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// Where to: an absolute path, or `s3://bucket/prefix`; as configured when nothing is said.
    #[serde(default)]
    pub to: Option<String>,
    /// What it is encrypted with.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// Public keys of age for which it is encrypted.
    #[serde(default)]
    pub recipients: Vec<String>,
}

impl std::fmt::Debug for BackupRequest {
    /// Without the passphrase.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupRequest")
            .field("to", &self.to)
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}

/// The answer to a request for a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The number under which it is listed.
    pub number: u64,
}

/// `GET /api/v1/backups`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backups {
    /// Backups of this process, newest first, at most 20.
    pub backups: Vec<Backup>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Counted from 1 since the process started.
    pub number: u64,
    /// Who wanted it: `command` or `schedule`.
    pub by: String,
    /// When it began.
    pub started: String,
    /// Where it goes, as it was said.
    pub to: String,
    /// `none`, `passphrase` or `recipients`.
    pub encryption: String,
    /// `running`, `done` or `failed`.
    pub state: String,
    /// While it runs: `gathering`, `describing` or `writing`.
    pub phase: Option<String>,
    /// While it runs: bytes of this phase that are done.
    pub done_bytes: u64,
    /// While it runs: bytes of this phase; 0 if that is not known.
    pub total_bytes: u64,
    /// When it ended.
    pub ended: Option<String>,
    /// Where it is: a path, or `s3://bucket/key`.
    pub place: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// Index of the last entry in its state.
    pub index: Option<u64>,
    /// Stamp of that entry.
    pub stamp: Option<String>,
    /// Why it failed.
    pub because: Option<String>,
}

//! What was concluded: the states of checks and services.

use serde::{Deserialize, Serialize};

/// The state of a check. Ordered from best to worst for people; `Unknown` is
/// better than `Degraded` because it is no evidence of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Verdict {
    /// It works.
    Up,
    /// Not verified: never looked, looked too long ago, or we cannot look.
    #[default]
    Unknown,
    /// It works, but a limit was reached.
    Degraded,
    /// It does not work, and that is confirmed.
    Down,
}

impl Verdict {
    /// The name in JSON, metrics and on the terminal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The state of a service: a verdict, or planned work that explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum ServiceStatus {
    /// It works.
    Up,
    /// Not verified.
    #[default]
    Unknown,
    /// Planned work that may show as announced.
    Maintenance,
    /// It works, but not well.
    Degraded,
    /// It does not work.
    Down,
}

impl ServiceStatus {
    /// All states, best first.
    pub const ALL: [Self; 5] = [Self::Up, Self::Unknown, Self::Maintenance, Self::Degraded, Self::Down];

    /// The name in JSON, metrics and on the terminal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Maintenance => "maintenance",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl From<Verdict> for ServiceStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Up => Self::Up,
            Verdict::Unknown => Self::Unknown,
            Verdict::Degraded => Self::Degraded,
            Verdict::Down => Self::Down,
        }
    }
}

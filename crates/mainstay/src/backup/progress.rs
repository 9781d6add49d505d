//! How far a backup or a restore has come; shared between the thread that
//! works and whoever looks on.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting until history and state are of one moment.
    Gathering,
    /// Reading everything to describe it.
    Describing,
    /// Writing the archive.
    Writing,
    /// Reading an archive.
    Reading,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Gathering, Self::Describing, Self::Writing, Self::Reading];

    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Describing => "describing",
            Self::Writing => "writing",
            Self::Reading => "reading",
        }
    }
}

/// How far it has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    is_stopped: AtomicBool,
}

impl Progress {
    /// A phase begins, in which so many bytes pass.
    pub(crate) fn begin(&self, phase: Phase, total: u64) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many bytes more have passed.
    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Phase, bytes done, bytes to do.
    pub(crate) fn get(&self) -> (Phase, u64, u64) {
        let phase = Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))];
        (phase, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Ends the work at the next opportunity.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the work is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

//! When this node heard the leader, or gave its vote away.

use crate::types::NodeId;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long it counts what others say: a few pulses.
const HEARSAY_AGE_MAX: Duration = Duration::from_secs(4);

/// The last contact with a leader.
#[derive(Debug)]
pub(crate) struct Contact(Mutex<Last>);

#[derive(Debug, Clone, Copy)]
struct Last {
    began: Instant,
    heard: Option<Instant>,
    voted: Option<Instant>,
    /// When the leader was heard last while it had a majority.
    good: Option<Instant>,
    /// Whether the leader says that it has none.
    is_vain: bool,
    /// Who leads, as others say.
    told: Option<(NodeId, Instant)>,
}

impl Contact {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Last {
            began: Instant::now(),
            heard: None,
            voted: None,
            good: None,
            is_vain: false,
            told: None,
        }))
    }

    /// The leader was heard.
    pub(crate) fn heard(&self) {
        let mut last = self.lock();
        last.heard = Some(Instant::now());
        if !last.is_vain {
            last.good = last.heard;
        }
    }

    /// Whether the leader that is heard has no majority itself.
    pub(crate) fn follows_in_vain(&self, is_vain: bool) {
        self.lock().is_vain = is_vain;
    }

    /// Another node says who leads.
    pub(crate) fn told(&self, leader: NodeId) {
        self.lock().told = Some((leader, Instant::now()));
    }

    /// Who leads, as others say and have said lately. A leader that cannot
    /// reach this node, because it has moved, can be reached from here.
    pub(crate) fn hearsay(&self) -> Option<NodeId> {
        self.lock().told.filter(|(_, at)| at.elapsed() < HEARSAY_AGE_MAX).map(|(leader, _)| leader)
    }

    /// This node gave somebody its vote, perhaps itself.
    pub(crate) fn voted(&self) {
        let mut last = self.lock();
        last.voted = Some(Instant::now());
        // Whoever wins has a majority to begin with.
        last.is_vain = false;
    }

    /// From when on the silence counts. A node that starts gives the leader
    /// there may be time to show itself, one that voted the winner.
    pub(crate) fn silent_since(&self) -> Instant {
        let last = self.lock();
        last.heard.max(last.voted).map_or(last.began, |at| at.max(last.began))
    }

    /// How long ago a leader was heard, or, as openraft's lease counts it, this
    /// node began.
    pub(crate) fn lease_age(&self) -> Duration {
        let last = self.lock();
        last.heard.unwrap_or(last.began).elapsed()
    }

    /// How long ago a leader was heard; `None` if none ever was.
    pub(crate) fn since(&self) -> Option<Duration> {
        self.lock().heard.map(|at| at.elapsed())
    }

    /// How long ago a leader with a majority was heard; `None` if none ever was.
    pub(crate) fn since_majority(&self) -> Option<Duration> {
        self.lock().good.map(|at| at.elapsed())
    }

    /// How long ago this node gave its vote; `None` if it never did.
    pub(crate) fn since_vote(&self) -> Option<Duration> {
        self.lock().voted.map(|at| at.elapsed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.0.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_starts_has_heard_nobody_and_waits_all_the_same() {
        let contact = Contact::new();
        assert_eq!(contact.since(), None);
        assert!(contact.lease_age() < Duration::from_secs(5));
        let began = contact.silent_since();
        contact.heard();
        assert!(contact.silent_since() >= began && contact.since().is_some());
    }
}

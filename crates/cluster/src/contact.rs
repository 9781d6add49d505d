//! When this node heard the leader, or gave its vote away.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The last contact with a leader.
#[derive(Debug)]
pub(crate) struct Contact(Mutex<Last>);

#[derive(Debug, Clone, Copy)]
struct Last {
    began: Instant,
    heard: Option<Instant>,
    voted: Option<Instant>,
}

impl Contact {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Last { began: Instant::now(), heard: None, voted: None }))
    }

    /// The leader was heard.
    pub(crate) fn heard(&self) {
        self.lock().heard = Some(Instant::now());
    }

    /// This node gave somebody its vote, perhaps itself.
    pub(crate) fn voted(&self) {
        self.lock().voted = Some(Instant::now());
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

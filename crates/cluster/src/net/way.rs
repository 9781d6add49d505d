//! The way to one peer on one lane: the connection that is open, the attempt
//! that runs, or the pause after one that failed.
//!
//! Callers share it: whoever comes first has a connection made, the others wait
//! for the same one, each for its own time. **An attempt belongs to the hub and
//! not to the caller**, or a heartbeat's short patience would end every attempt
//! to a distant peer. A pause answers at once with what failed last; nobody is
//! kept waiting for a peer that is known to be away.

use super::failure::DialError;
use super::limits::{PAUSE_MAX, PAUSE_MIN};
use super::link::Link;
use super::verify::Trust;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// How an attempt ended; `None` while it runs.
pub(super) type Outcome = Option<Result<Arc<Link>, Arc<DialError>>>;

/// The way to one peer on one lane.
#[derive(Debug, Default)]
pub(super) struct Way(Mutex<Condition>);

#[derive(Debug, Default)]
struct Condition {
    link: Option<Arc<Link>>,
    attempt: Option<Attempt>,
    failures: u32,
    pause: Option<Pause>,
    /// Where the peer was reached last; for when its name cannot be resolved.
    known: Option<(String, SocketAddr)>,
}

#[derive(Debug)]
struct Attempt {
    address: String,
    outcome: watch::Receiver<Outcome>,
}

#[derive(Debug)]
struct Pause {
    address: String,
    until: Instant,
    error: Arc<DialError>,
}

/// What there is for a call.
#[derive(Debug)]
pub(super) enum Look {
    /// A connection.
    Open(Arc<Link>),
    /// An attempt that runs.
    Wait(watch::Receiver<Outcome>),
    /// Nothing: the caller has an attempt made and its outcome sent here.
    Dial(watch::Sender<Outcome>, watch::Receiver<Outcome>),
    /// A pause, and why.
    Paused(Arc<DialError>),
}

impl Way {
    /// Says what there is for a call to this address.
    ///
    /// A connection is kept when the peer's address changes: it still leads to
    /// the peer, whose certificate says so.
    pub(super) fn look(&self, address: &str, now: Instant) -> Look {
        let mut condition = self.lock();
        if let Some(link) = condition.link.take_if(|link| !link.is_open()) {
            drop(link);
        }
        if let Some(link) = &condition.link {
            return Look::Open(Arc::clone(link));
        }
        let running = condition.attempt.as_ref().filter(|attempt| attempt.address == address && attempt.is_running());
        if let Some(attempt) = running {
            return Look::Wait(attempt.outcome.clone());
        }
        let pause = condition.pause.as_ref().filter(|pause| pause.address == address && now < pause.until);
        if let Some(pause) = pause {
            return Look::Paused(Arc::clone(&pause.error));
        }
        let (tell, outcome) = watch::channel(None);
        condition.attempt = Some(Attempt { address: address.to_owned(), outcome: outcome.clone() });
        Look::Dial(tell, outcome)
    }

    /// Takes a connection that came about.
    pub(super) fn reached(&self, address: &str, at: SocketAddr, link: &Arc<Link>) {
        let mut condition = self.lock();
        condition.link = Some(Arc::clone(link));
        condition.failures = 0;
        condition.pause = None;
        condition.known = Some((address.to_owned(), at));
    }

    /// Notes that an attempt failed.
    pub(super) fn failed(&self, address: &str, error: &Arc<DialError>, now: Instant) {
        let mut condition = self.lock();
        let pause = PAUSE_MIN.saturating_mul(1 << condition.failures.min(8)).min(PAUSE_MAX);
        condition.failures = condition.failures.saturating_add(1);
        condition.pause = Some(Pause { address: address.to_owned(), until: now + pause, error: Arc::clone(error) });
    }

    /// Ends a pause early: the peer was heard on another connection.
    pub(super) fn hearten(&self) {
        let mut condition = self.lock();
        condition.pause = None;
        condition.failures = 0;
    }

    /// Where the peer was reached last under this name.
    pub(super) fn known(&self, address: &str) -> Option<SocketAddr> {
        self.lock().known.as_ref().filter(|(name, _)| name == address).map(|(_, at)| *at)
    }

    /// Makes no more calls on the connection; it ends with those it has.
    pub(super) fn retire(&self) {
        self.lock().link = None;
    }

    /// Ends the connection if it would not be made any more: at once if the peer
    /// is not to be spoken to, after its calls if only the certificate is old.
    pub(super) fn verify(&self, trust: &Trust) {
        let mut condition = self.lock();
        let Some(link) = &condition.link else { return };
        match link.verify(trust) {
            Ok(_) => {}
            Err(error) => {
                if !error.is_about_the_certificate() {
                    link.cut();
                }
                condition.link = None;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Condition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// One whose task ended without a word (it panicked) does not run.
    fn is_running(&self) -> bool {
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn whoever_comes_first_dials_and_the_others_wait() {
        let (way, now) = (Way::default(), Instant::now());
        let Look::Dial(_tell, _outcome) = way.look("one:1", now) else { panic!() };
        assert!(matches!(way.look("one:1", now), Look::Wait(_)));
        assert!(matches!(way.look("moved:1", now), Look::Dial(..)));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_when_the_peer_is_heard() {
        let (way, mut now) = (Way::default(), Instant::now());
        for expected_ms in [50, 100, 200, 400, 400, 400] {
            assert!(matches!(way.look("one:1", now), Look::Dial(..)));
            way.failed("one:1", &failure(), now);
            let just_before = now + Duration::from_millis(expected_ms - 1);
            assert!(matches!(way.look("one:1", just_before), Look::Paused(_)));
            now += Duration::from_millis(expected_ms);
        }
        way.failed("one:1", &failure(), now);
        way.hearten();
        assert!(matches!(way.look("one:1", now), Look::Dial(..)));
    }

    #[test]
    fn a_pause_is_for_one_address() {
        let (way, now) = (Way::default(), Instant::now());
        way.failed("one:1", &failure(), now);
        assert!(matches!(way.look("one:1", now), Look::Paused(_)));
        assert!(matches!(way.look("moved:1", now), Look::Dial(..)));
    }

    #[test]
    fn an_attempt_whose_task_is_gone_is_made_again() {
        let (way, now) = (Way::default(), Instant::now());
        let Look::Dial(tell, _outcome) = way.look("one:1", now) else { panic!() };
        drop(tell);
        assert!(matches!(way.look("one:1", now), Look::Dial(..)));
    }

    fn failure() -> Arc<DialError> {
        Arc::new(DialError::Silent { address: ([127, 0, 0, 1], 1).into() })
    }
}

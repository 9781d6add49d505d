//! How patient nodes are with each other.
//!
//! openraft 0.9 has timers for elections of its own, but it draws them once in
//! a process, looks at them only every one and a half heartbeats, and lets a
//! node that was cut off depose a leader that everybody else hears. They are
//! switched off; [`crate::elector`] decides when a node stands. What stays
//! openraft's is the lease: **a follower votes for nobody within the lease of
//! the leader it heard.**

use std::time::Duration;

/// How far apart the nodes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// In one data centre, or a few milliseconds apart.
    #[default]
    Lan,
    /// Up to 200 ms apart. Everything takes four times as long.
    Wan,
}

/// How much more patient [`Profile::Wan`] is.
const WAN_FACTOR: u32 = 4;
/// openraft's pace: it also is how long it waits for the answer to an append,
/// and its timer ticks at one and a half times this, so that is how often
/// heartbeats really go out.
const HEARTBEAT: Duration = Duration::from_millis(75);
/// Two heartbeats as they really go out, and room for one slow flush.
const LEASE: Duration = Duration::from_millis(300);
/// Silence after which the first node stands. A little more than the lease,
/// because the others may have heard the leader a little later.
const SILENCE: Duration = Duration::from_millis(350);
/// What each further ordinal waits beyond that: enough for the one before to
/// be elected, with a flush at each voter.
const SILENCE_STEP: Duration = Duration::from_millis(75);
/// Width of each ordinal's range, from which its wait is drawn each time.
const SILENCE_WIDTH: Duration = Duration::from_millis(25);

/// openraft's pace for a node that has no others and cannot get any while it
/// runs: its timer has nothing to do, so it seldom wakes.
const ALONE: Duration = Duration::from_millis(250);

/// The times of one profile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    factor: u32,
    is_alone: bool,
}

impl Timing {
    pub(crate) fn new(profile: Profile) -> Self {
        match profile {
            Profile::Lan => Self { factor: 1, is_alone: false },
            Profile::Wan => Self { factor: WAN_FACTOR, is_alone: false },
        }
    }

    /// Those of a node that nobody else can reach.
    pub(crate) fn alone() -> Self {
        Self { factor: WAN_FACTOR, is_alone: true }
    }

    pub(crate) fn heartbeat(self) -> Duration {
        if self.is_alone { ALONE } else { HEARTBEAT * self.factor }
    }

    /// How often a leader looks whether a majority is still behind it.
    pub(crate) fn look(self) -> Duration {
        if self.is_alone { ALONE * 4 } else { ALONE }
    }

    /// How long a follower votes for nobody after it heard a leader.
    pub(crate) fn lease(self) -> Duration {
        LEASE * self.factor
    }

    /// Silence of the leader after which a node stands. `lot` is drawn anew each time.
    pub(crate) fn silence(self, ordinal: u8, lot: u64) -> Duration {
        let width = u64::try_from((SILENCE_WIDTH * self.factor).as_micros()).expect("milliseconds");
        (SILENCE + SILENCE_STEP * u32::from(ordinal)) * self.factor + Duration::from_micros(lot % width)
    }

    /// The wait after an attempt to be elected that came to nothing.
    pub(crate) fn pause(self, ordinal: u8, lot: u64) -> Duration {
        self.silence(ordinal, lot) - (LEASE * self.factor)
    }

    /// How long openraft waits for a vote, less than a lease.
    pub(crate) fn vote(self) -> Duration {
        self.lease() - self.heartbeat() / 2
    }

    /// How long an heir may take to lead: the others' lease, and two elections.
    pub(crate) fn take_over(self) -> Duration {
        self.lease() * 3
    }

    /// Without an answer from a majority for so long, a leader says that it has none.
    pub(crate) fn without_quorum(self) -> Duration {
        self.lease() * 3
    }

    /// How long an unanswered append is waited for before it is sent again;
    /// openraft asks for it more often, see [`crate::network`].
    pub(crate) fn append(self) -> Duration {
        Duration::from_secs(2) * self.factor
    }

    /// How long a proposal may wait for somebody to lead: two elections.
    pub(crate) fn leaderless(self) -> Duration {
        Duration::from_secs(2) * self.factor
    }

    /// How long a proposal may take to be committed.
    pub(crate) fn commit(self) -> Duration {
        Duration::from_secs(4) * self.factor.min(2)
    }

    /// How long a read may wait for a majority.
    pub(crate) fn read(self) -> Duration {
        Duration::from_secs(1) * self.factor
    }

    /// The time between two looks at each other.
    pub(crate) fn pulse(self) -> Duration {
        // Not stretched: it carries clocks and presence too, and costs little.
        Duration::from_secs(1)
    }

    /// How long a node may not answer before it counts as away.
    pub(crate) fn away(self) -> Duration {
        Duration::from_secs(3) * self.factor.min(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ordinals_ever_wait_equally_long() {
        for profile in [Profile::Lan, Profile::Wan] {
            let timing = Timing::new(profile);
            for ordinal in 0..8 {
                assert!(timing.silence(ordinal, u64::MAX) < timing.silence(ordinal + 1, 0));
                assert!(timing.pause(ordinal, u64::MAX) < timing.pause(ordinal + 1, 0));
            }
        }
    }

    #[test]
    fn nobody_stands_while_the_others_must_refuse() {
        for profile in [Profile::Lan, Profile::Wan] {
            let timing = Timing::new(profile);
            assert!(timing.silence(0, 0) > timing.lease());
            assert!(timing.vote() < timing.lease() && timing.vote() > timing.heartbeat());
        }
    }
}

//! What a node says when it is cut off: the one thing that is told without the log.
//!
//! Without a majority nothing can be logged, so nobody is told of anything, and
//! an outage then would pass in silence. Therefore each node that finds itself
//! alone says so once, by its own receivers. **It says nothing else**: of
//! outages only a majority tells, or two halves would contradict each other.

use crate::state::State;
use model::id::ReceiverId;
use model::member::NodeId;
use model::message::{Message, Step};
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use std::time::Duration;

/// How long a node is without a quorum before it says so: elections, restarts
/// and short breaks of a line are over by then.
const TOLD_AFTER: Duration = Duration::from_secs(30);
/// How long a quorum must have lasted before the owners hear that it is over,
/// and could hear of a next time: a line that comes and goes is told once.
const OVER_AFTER: Duration = Duration::from_secs(60);

/// Keeps count of whether a node has a quorum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutOff {
    lost: Option<Timestamp>,
    regained: Option<Timestamp>,
    told: Option<Timestamp>,
}

/// What the owners are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The node has no quorum.
    CutOff {
        /// Since when.
        since: Timestamp,
        /// When that was decided.
        at: Timestamp,
    },
    /// It has one again.
    Together {
        /// Since when it had none.
        since: Timestamp,
        /// When that was decided.
        at: Timestamp,
    },
}

impl CutOff {
    /// A node that has just started. `told` is since when it was cut off by
    /// the last [`Notice::CutOff`] in its journal that no [`Notice::Together`]
    /// followed, so that a restart does not say it again.
    pub const fn new(told: Option<Timestamp>) -> Self {
        Self { lost: None, regained: None, told }
    }

    /// Since when the node has had no quorum; `None` if it has one.
    pub const fn since(&self) -> Option<Timestamp> {
        self.lost
    }

    /// Takes in whether there is a quorum; to be called at least every few
    /// seconds. Returns what is to be told, each thing once.
    pub fn observe(&mut self, has_quorum: bool, now: Timestamp) -> Option<Notice> {
        if has_quorum {
            self.lost = None;
            let regained = *self.regained.get_or_insert(now);
            let since = self.told.filter(|_| now.since(regained) >= OVER_AFTER)?;
            self.told = None;
            return Some(Notice::Together { since, at: now });
        }
        self.regained = None;
        let since = *self.lost.get_or_insert(now);
        if self.told.is_some() || now.since(since) < TOLD_AFTER {
            return None;
        }
        self.told = Some(since);
        Some(Notice::CutOff { since, at: now })
    }
}

impl Notice {
    /// The messages for all receivers that the node knows, by the last state it
    /// has. Their keys are the same whenever they are made.
    pub fn messages(&self, state: &State, node: NodeId) -> Vec<(ReceiverId, Message)> {
        let receivers = &state.configuration().receivers;
        receivers.iter().map(|receiver| (receiver.id.clone(), self.message(state, node, &receiver.id))).collect()
    }

    fn message(&self, state: &State, node: NodeId, receiver: &ReceiverId) -> Message {
        let (Self::CutOff { since, at } | Self::Together { since, at }) = *self;
        let name = state.member(node).map_or_else(|| node.to_string(), |known| known.member.name.clone());
        let (phase, step, status, title, text) = match self {
            Self::CutOff { .. } => (
                "begins",
                Step::Own,
                ServiceStatus::Degraded,
                format!("Node {name} is cut off"),
                format!(
                    "Node {name} has not reached a majority of the cluster since {since}. It goes on checking and keeps what it sees, shows its last state with its age, and takes no commands. It does not tell of outages: the others do if a majority of them is together. If none is, nobody is told of anything until the nodes reach each other again."
                ),
            ),
            Self::Together { .. } => (
                "ends",
                Step::Resolved,
                ServiceStatus::Up,
                format!("Node {name} is no longer cut off"),
                format!(
                    "Node {name}, which had been cut off since {since}, has a majority again and hands in what it kept."
                ),
            ),
        };
        let thread = format!("cut-off-{node}-{}", since.as_ms());
        Message {
            key: format!("{thread}-{receiver}-{phase}"),
            thread,
            incident: None,
            step,
            service: None,
            status,
            title,
            text,
            started: since,
            at,
            url: state.configuration().page.url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_ms(1_795_000_000_000 + second * 1000)
    }

    /// Plays seconds with (`+`) and without (`-`) a quorum; returns when what was told.
    fn check(seconds: &str, told: Option<Timestamp>, expected: &[(i64, &str, i64)]) {
        let mut cut_off = CutOff::new(told);
        let mut found = Vec::new();
        for (second, has) in (0..).zip(seconds.chars()) {
            if let Some(notice) = cut_off.observe(has == '+', at(second)) {
                let (what, since) = match notice {
                    Notice::CutOff { since, .. } => ("cut off", since),
                    Notice::Together { since, .. } => ("together", since),
                };
                found.push((second, what, (since.as_ms() - at(0).as_ms()) / 1000));
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn a_short_break_is_not_told() {
        check(&("+".repeat(5) + &"-".repeat(29) + "+" + &"-".repeat(29)), None, &[]);
    }

    #[test]
    fn a_long_one_is_told_once_and_its_end_when_it_lasts() {
        let seconds = "+".to_owned() + &"-".repeat(300) + &"+".repeat(100) + &"-".repeat(40);
        check(&seconds, None, &[(31, "cut off", 1), (361, "together", 1), (431, "cut off", 401)]);
    }

    #[test]
    fn a_line_that_comes_and_goes_is_told_once() {
        let comes_and_goes = ("-".repeat(40) + &"+".repeat(50)).repeat(5);
        check(&comes_and_goes, None, &[(30, "cut off", 0)]);
    }

    #[test]
    fn a_node_that_was_restarted_remembers_what_it_said() {
        check(&("-".repeat(100) + &"+".repeat(70)), Some(at(-50)), &[(160, "together", -50)]);
    }
}

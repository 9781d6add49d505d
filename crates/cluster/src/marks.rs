//! How far each node is known to have been, so that a directory that was
//! rolled back is found out.
//!
//! A node that comes back with an older disk would vote twice in a term and
//! deny entries it acknowledged. So nodes tell each other how far they are and
//! what they remember of others, and write it down. **Everything in a mark was
//! durable on its node at some moment, so a node that shows less has gone
//! back.** What no reachable peer has seen is not noticed.
//!
//! Messages overtake each other, so a peer is held against a mark only where
//! the mark cannot be younger than what the peer shows: across two of its
//! starts. Within one life a node holds itself against what others say of it,
//! which is always a thing of its past.

use crate::stored::StoredLogId;
use crate::types::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the stored and sent form.
pub(crate) const FORMAT: u8 = 1;

/// How far a node was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// How often its log had been opened.
    pub(crate) incarnation: u64,
    /// Drawn at that start: two processes with one incarnation are two copies
    /// of one directory.
    pub(crate) nonce: u64,
    /// The candidate it voted for last: term and node.
    pub(crate) vote: Option<(u64, NodeId)>,
    /// The last place it acknowledged to the winner of that vote.
    pub(crate) acknowledged: Option<StoredLogId>,
    /// The last place it knew to be committed.
    pub(crate) committed: Option<StoredLogId>,
}

/// How far a node is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) mark: Mark,
    /// The last place in its log that is on its disk.
    pub(crate) last: Option<StoredLogId>,
}

/// What a node says about itself and about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Testimony {
    pub(crate) shown: Shown,
    pub(crate) seen: BTreeMap<NodeId, Mark>,
}

/// In what a node is behind what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// Another process runs, or ran, on a copy of the directory.
    #[error("start {incarnation} of it was seen already, in another process")]
    Copied {
        /// Which start.
        incarnation: u64,
    },
    /// It was started more often already.
    #[error("start {seen} of it was seen already, this is start {shown}")]
    Starts {
        /// The highest that was seen.
        seen: u64,
        /// The one it is at.
        shown: u64,
    },
    /// It has voted in a later term.
    #[error("it voted in term {seen}, of which it remembers only {shown}")]
    Vote {
        /// The highest that was seen.
        seen: u64,
        /// The one it remembers.
        shown: u64,
    },
    /// It had more in its log.
    #[error("it had the log up to position {seen}, of which it has only {shown}")]
    Log {
        /// The last place that was seen.
        seen: u64,
        /// The last place it has.
        shown: u64,
    },
}

impl Mark {
    /// Takes over what another mark of the same node has beyond this one;
    /// says whether there was anything.
    pub(crate) fn raise(&mut self, other: &Self) -> bool {
        let before = *self;
        if other.incarnation > self.incarnation {
            (self.incarnation, self.nonce) = (other.incarnation, other.nonce);
        }
        if other.vote > self.vote {
            (self.vote, self.acknowledged) = (other.vote, other.acknowledged);
        } else if other.vote == self.vote {
            self.acknowledged = self.acknowledged.max(other.acknowledged);
        }
        self.committed = self.committed.max(other.committed);
        *self != before
    }

    /// Holds what a node shows of a *later* start than the mark's against the mark.
    fn judge_later(&self, shown: &Shown) -> Result<(), Behind> {
        let term = |vote: Option<(u64, NodeId)>| vote.map_or(0, |(term, _)| term);
        if shown.mark.vote < self.vote {
            return Err(Behind::Vote { seen: term(self.vote), shown: term(shown.mark.vote) });
        }
        // What was acknowledged to one leader may be cut off by the next.
        let acknowledged = if shown.mark.vote == self.vote { self.acknowledged } else { None };
        let needed = acknowledged.max(self.committed);
        if shown.last < needed {
            let position = |id: Option<StoredLogId>| id.map_or(0, |id| id.position);
            return Err(Behind::Log { seen: position(needed), shown: position(shown.last) });
        }
        Ok(())
    }

    /// Holds what another node shows of itself against what is known of it.
    pub(crate) fn judge_peer(&self, shown: &Shown) -> Result<(), Behind> {
        let (seen, its) = (self.incarnation, shown.mark.incarnation);
        if its < seen {
            return Err(Behind::Starts { seen, shown: its });
        }
        if its > seen {
            return self.judge_later(shown);
        }
        if shown.mark.nonce == self.nonce { Ok(()) } else { Err(Behind::Copied { incarnation: its }) }
    }

    /// Holds what this node is against what others know of it.
    pub(crate) fn judge_self(&self, shown: &Shown) -> Result<(), Behind> {
        let (seen, mine) = (self.incarnation, shown.mark.incarnation);
        if mine < seen {
            return Err(Behind::Starts { seen, shown: mine });
        }
        if mine == seen && shown.mark.nonce != self.nonce {
            return Err(Behind::Copied { incarnation: mine });
        }
        self.judge_later(shown)
    }
}

/// The form in which marks are stored.
pub(crate) fn encode(seen: &BTreeMap<NodeId, Mark>) -> Vec<u8> {
    postcard::to_extend(seen, vec![FORMAT]).expect("own types always encode")
}

/// Reads the stored form; `None` if it is not one that this program knows.
pub(crate) fn decode(bytes: &[u8]) -> Option<BTreeMap<NodeId, Mark>> {
    match bytes {
        [] => Some(BTreeMap::new()),
        [FORMAT, rest @ ..] => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

impl Testimony {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![FORMAT]).expect("own types always encode")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes.strip_prefix(&[FORMAT])?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, position: u64) -> Option<StoredLogId> {
        Some(StoredLogId { term, node: 1, position })
    }

    fn mark(incarnation: u64, term: u64, acknowledged: u64, committed: u64) -> Mark {
        let (acknowledged, committed) = (at(term, acknowledged), at(term, committed));
        Mark { incarnation, nonce: incarnation * 10, vote: Some((term, 1)), acknowledged, committed }
    }

    fn shown(incarnation: u64, term: u64, last: u64) -> Shown {
        let mark = Mark { acknowledged: None, committed: None, ..mark(incarnation, term, 0, 0) };
        Shown { mark, last: at(term, last) }
    }

    #[test]
    fn a_node_that_went_on_is_accepted() {
        let seen = mark(3, 5, 100, 99);
        assert_eq!(seen.judge_peer(&shown(4, 5, 100)), Ok(()));
        assert_eq!(seen.judge_peer(&shown(4, 6, 101)), Ok(()));
        assert_eq!(seen.judge_self(&shown(3, 5, 100)), Ok(()));
    }

    #[test]
    fn a_node_that_went_back_is_found_out() {
        let seen = mark(3, 5, 100, 99);
        assert_eq!(seen.judge_peer(&shown(2, 5, 200)), Err(Behind::Starts { seen: 3, shown: 2 }));
        assert_eq!(seen.judge_peer(&shown(4, 4, 200)), Err(Behind::Vote { seen: 5, shown: 4 }));
        assert_eq!(seen.judge_peer(&shown(4, 5, 99)), Err(Behind::Log { seen: 100, shown: 99 }));
        assert_eq!(seen.judge_self(&shown(3, 5, 99)), Err(Behind::Log { seen: 100, shown: 99 }));
        assert_eq!(seen.judge_self(&shown(4, 4, 99)), Err(Behind::Vote { seen: 5, shown: 4 }));
    }

    #[test]
    fn what_is_committed_holds_in_every_term() {
        let seen = mark(3, 5, 100, 99);
        let later = Shown { mark: shown(4, 9, 0).mark, last: at(5, 98) };
        assert_eq!(seen.judge_peer(&later), Err(Behind::Log { seen: 99, shown: 98 }));
        let cut = Shown { last: at(5, 99), ..later };
        assert_eq!(seen.judge_peer(&cut), Ok(()), "what was only acknowledged may be cut off by a later leader");
    }

    #[test]
    fn messages_that_overtake_each_other_are_no_roll_back() {
        let seen = mark(3, 5, 100, 99);
        assert_eq!(seen.judge_peer(&shown(3, 5, 42)), Ok(()), "shown before the last acknowledgement arrived");
    }

    #[test]
    fn two_processes_of_one_start_are_a_copied_directory() {
        let seen = mark(3, 5, 100, 99);
        let mut twin = shown(3, 5, 100);
        twin.mark.nonce += 1;
        assert_eq!(seen.judge_peer(&twin), Err(Behind::Copied { incarnation: 3 }));
        assert_eq!(seen.judge_self(&twin), Err(Behind::Copied { incarnation: 3 }));
    }

    #[test]
    fn marks_only_rise() {
        let mut known = mark(3, 5, 100, 99);
        assert!(!known.raise(&mark(2, 4, 200, 50)), "an older one adds nothing: {known:?}");
        assert!(known.raise(&mark(3, 5, 101, 99)));
        assert_eq!(known.acknowledged, at(5, 101));
        assert!(known.raise(&Mark { acknowledged: None, ..mark(4, 6, 0, 0) }));
        assert_eq!((known.incarnation, known.nonce, known.acknowledged), (4, 40, None));
        assert_eq!(known.committed, at(5, 99).max(at(6, 0)));
    }

    #[test]
    fn what_is_stored_comes_back() {
        let seen = BTreeMap::from([(7, mark(3, 5, 100, 99))]);
        assert_eq!(decode(&encode(&seen)), Some(seen.clone()));
        assert_eq!(decode(&[]), Some(BTreeMap::new()));
        assert_eq!(decode(&[9, 9]), None);
        let testimony = Testimony { shown: shown(1, 2, 3), seen };
        assert_eq!(Testimony::decode(&testimony.encode()), Some(testimony));
    }
}

//! What the leader decides in its housekeeping: whom it hears, and the next
//! step from the members as they are to the members as they ought to be.
//!
//! All of it is computed anew from the state each time, so that a step that was
//! interrupted is repeated by whoever leads next. **One change of the voters is
//! proposed at a time, and none to a set of which no majority is there**, since
//! it could not be undone from within.

use crate::members::MemberState;
use crate::state::State;
use model::entry::Body;
use model::member::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How long a node must not have been heard to count as absent: several of the
/// longest heartbeats of the log, and well below the interval of most checks,
/// which others then take over.
pub const ABSENT_AFTER: Duration = Duration::from_secs(5);
/// How lately an absent node must have been heard to count as present again.
pub const PRESENT_WITHIN: Duration = Duration::from_secs(1);
/// Entries that a node may lack to become a voter: what comes in during a few
/// round trips under load. It must not hold commits up by having to catch up first.
pub const CAUGHT_UP_ENTRIES: u64 = 200;

/// Says which nodes the leader began or ceased to hear. `heard` holds for each
/// node the time since it last answered with a state that is good enough to
/// take its share of the checks; the leader itself is heard at every moment.
/// Right after an election nobody was heard for longer than the leader leads.
/// Of a node that is not in `heard` nothing is known, and nothing is said.
pub fn presence(state: &State, heard: &[(NodeId, Duration)]) -> Vec<Body> {
    let change = |(node, unheard): &(NodeId, Duration)| {
        let is_present = state.member(*node)?.is_present;
        let changes = if is_present { *unheard >= ABSENT_AFTER } else { *unheard <= PRESENT_WITHIN };
        changes.then_some(Body::Presence { node: *node, is_present: !is_present })
    };
    heard.iter().filter_map(change).collect()
}

/// The nodes to which the log is replicated, as the log's engine has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Those that vote.
    pub voters: BTreeMap<NodeId, Replica>,
    /// Those that do not vote yet.
    pub learners: BTreeMap<NodeId, Replica>,
}

/// A node to which the log is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The address under which the engine knows it.
    pub address: String,
    /// Whether it answers, by what the leader has heard lately; the leader itself does.
    pub is_heard: bool,
    /// Entries that it lacks; `None` if that is not known.
    pub lacks_entries: Option<u64>,
}

/// The next step of the housekeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// All is as it ought to be.
    Nothing,
    /// Something ought to change and cannot yet.
    Wait(Wait),
    /// Tell the engine where a node is reached by now.
    UpdateAddress {
        /// Which node.
        node: NodeId,
        /// Its address.
        address: String,
    },
    /// Replicate the log to a member, without a vote for now.
    AddLearner {
        /// Which node.
        node: NodeId,
        /// Its address.
        address: String,
    },
    /// Make these the voters: learners that have caught up come, members that
    /// were removed or replaced go, and those that go are not learners either.
    SetVoters {
        /// All that vote from then on; never empty.
        voters: BTreeSet<NodeId>,
    },
    /// Cease to replicate to a node without a vote that is no member any more.
    RemoveLearner {
        /// Which node.
        node: NodeId,
    },
    /// Log that a member is removed, since another has taken its place.
    RemoveMember {
        /// Which node.
        node: NodeId,
        /// The one that replaces it.
        by: NodeId,
    },
}

/// Why a step that ought to come does not come yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A node has not caught up.
    CatchesUp {
        /// Its name.
        node: String,
        /// Entries that it lacks; `None` if nothing was heard of it yet.
        lacks_entries: Option<u64>,
    },
    /// Too few of those that vote, or would vote then, are there.
    LacksMajority {
        /// The names of those that are missing.
        missing: Vec<String>,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CatchesUp { node, lacks_entries: Some(entries) } => {
                write!(f, "node {node} lacks {entries} entries before it can vote")
            }
            Self::CatchesUp { node, lacks_entries: None } => {
                write!(f, "node {node} was not heard yet; it votes when it has caught up")
            }
            Self::LacksMajority { missing } => {
                write!(f, "too few nodes are there to change who votes; missing: {}", missing.join(", "))
            }
        }
    }
}

/// The next step from the replicas as they are to the members as they ought to be.
///
/// A node that is added catches up first and votes then; all that have caught
/// up get their votes together, so that a cluster grows from one to three
/// without a pause at two, of which neither may be lost. One that replaces
/// another takes its vote in the same change.
pub fn reconcile(state: &State, replicas: &Replicas) -> Step {
    // Before the cluster is founded nobody ought to be anything.
    if state.members().next().is_none() || replicas.voters.is_empty() {
        return Step::Nothing;
    }
    if let Some(step) = stale_address(state, replicas) {
        return step;
    }
    if let Some(step) = replaced(state, replicas) {
        return step;
    }
    let is_known = |node: &NodeId| replicas.voters.contains_key(node) || replicas.learners.contains_key(node);
    if let Some(known) = state.members().find(|known| !is_known(&known.member.id)) {
        return Step::AddLearner { node: known.member.id, address: known.member.address.clone() };
    }
    if let Some(node) = replicas.learners.keys().find(|node| state.member(**node).is_none()) {
        return Step::RemoveLearner { node: *node };
    }
    let (before, after) = (replicas.voters.keys().copied().collect(), wanted(state, replicas));
    if before != after && !after.is_empty() {
        return match missing_for(state, replicas, &before).or_else(|| missing_for(state, replicas, &after)) {
            Some(missing) => Step::Wait(Wait::LacksMajority { missing }),
            None => Step::SetVoters { voters: after },
        };
    }
    catching_up(state, replicas).unwrap_or(Step::Nothing)
}

fn stale_address(state: &State, replicas: &Replicas) -> Option<Step> {
    let stale = |(node, known): (&NodeId, &Replica)| {
        let address = &state.member(*node)?.member.address;
        (*address != known.address).then(|| Step::UpdateAddress { node: *node, address: address.clone() })
    };
    replicas.voters.iter().chain(&replicas.learners).find_map(stale)
}

/// A member whose place another one has taken.
fn replaced(state: &State, replicas: &Replicas) -> Option<Step> {
    let by_voter = |known: &MemberState| {
        let (by, node) = (known.member.id, known.replaces?);
        let is_done = replicas.voters.contains_key(&by) && !replicas.voters.contains_key(&node);
        (is_done && state.member(node).is_some()).then_some(Step::RemoveMember { node, by })
    };
    state.members().find_map(by_voter)
}

/// Who should vote: the members that vote, and those that have caught up,
/// without those in whose place they came.
fn wanted(state: &State, replicas: &Replicas) -> BTreeSet<NodeId> {
    let has_caught_up = |(_, replica): &(&NodeId, &Replica)| {
        replica.is_heard && replica.lacks_entries.is_some_and(|lacks| lacks <= CAUGHT_UP_ENTRIES)
    };
    let ready = replicas.learners.iter().filter(has_caught_up).map(|(node, _)| node);
    let able: BTreeSet<NodeId> =
        replicas.voters.keys().chain(ready).copied().filter(|node| state.member(*node).is_some()).collect();
    let gone: Vec<NodeId> = able.iter().filter_map(|node| state.member(*node)?.replaces).collect();
    able.into_iter().filter(|node| !gone.contains(node)).collect()
}

fn catching_up(state: &State, replicas: &Replicas) -> Option<Step> {
    let (node, replica) = replicas.learners.iter().next()?;
    Some(Step::Wait(Wait::CatchesUp { node: name(state, *node), lacks_entries: replica.lacks_entries }))
}

/// The names of those that are not heard, if a majority of the voters is not.
fn missing_for(state: &State, replicas: &Replicas, voters: &BTreeSet<NodeId>) -> Option<Vec<String>> {
    let replica = |node: &NodeId| replicas.voters.get(node).or_else(|| replicas.learners.get(node));
    let is_heard = |node: &NodeId| replica(node).is_some_and(|replica| replica.is_heard);
    let missing = |voters: &BTreeSet<NodeId>| {
        voters.iter().filter(|node| !is_heard(node)).map(|node| name(state, *node)).collect()
    };
    lacks_majority(voters, is_heard).then(|| missing(voters))
}

fn lacks_majority(voters: &BTreeSet<NodeId>, is_heard: impl Fn(&NodeId) -> bool) -> bool {
    voters.iter().filter(|node| is_heard(node)).count() < quorum(voters.len())
}

/// How many of so many voters decide.
const fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn name(state: &State, node: NodeId) -> String {
    state.member(node).map_or_else(|| node.to_string(), |known| known.member.name.clone())
}

/// Whether a voter can be taken out now, `reachable` being the nodes that
/// answer, the leader included.
///
/// **Its vote goes first, and only then its removal is logged**
/// ([`model::entry::Action::RemoveMember`]): from the removal on nobody talks
/// to it any more, and of two or of four voters a majority can need the very
/// one that leaves. If the second is never logged, [`reconcile`] gives the
/// member its vote back. A leader hands its leadership over before it takes itself out.
///
/// # Errors
/// A sentence with the names of those that are missing.
pub fn may_remove(
    state: &State,
    node: NodeId,
    voters: &BTreeSet<NodeId>,
    reachable: &BTreeSet<NodeId>,
) -> Result<(), String> {
    if !voters.contains(&node) {
        return Ok(());
    }
    let left: BTreeSet<NodeId> = voters.iter().copied().filter(|voter| *voter != node).collect();
    let leaver = name(state, node);
    if left.is_empty() {
        return Err(format!("node {leaver} is the only one that votes; another must vote before it can be removed"));
    }
    for (set, when) in [(voters, "to remove"), (&left, "without")] {
        if !lacks_majority(set, |voter| reachable.contains(voter)) {
            continue;
        }
        let missing: Vec<String> = set.difference(reachable).map(|voter| name(state, *voter)).collect();
        let (of, needed) = (set.len(), quorum(set.len()));
        let there = of - missing.len();
        let missing = missing.join(", ");
        return Err(format!(
            "{when} node {leaver}, {needed} of {of} voting nodes must be there, and {there} would be; missing: {missing}; bring one of them back first"
        ));
    }
    Ok(())
}

//! What the leader does four times a second: brings openraft's members to what
//! the state says they ought to be, logs who is there, and hands over when it
//! should not be the one that leads.
//!
//! What is to be done is decided by [`control::leader`]; here it is carried
//! out. **Every step can be repeated**, so one that was interrupted is finished
//! by whoever leads next.

use crate::forward;
use crate::handover;
use crate::identity;
use crate::parts::{Parts, over};
use crate::pulse::Facts;
use crate::room::Room;
use crate::types::{NodeId, Peer};
use control::leader::{self, CAUGHT_UP_ENTRIES, Replica, Replicas, Step};
use control::members::MemberState;
use control::{CommandOutcome, State};
use model::entry::{Action, Body, Command, Origin};
use model::member::NodeId as MemberId;
use openraft::ChangeMembers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const EVERY: Duration = Duration::from_millis(250);
/// A clock that is further than this from the middle of all must not stamp.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(10);
/// How long what a node said of its clock and its disk counts.
const FACTS_AGE_MAX: Duration = Duration::from_secs(5);
/// The wait after the lead was handed over by itself, or could not be.
const HAND_OVER_WAIT: Duration = Duration::from_secs(30);

/// The task.
pub(crate) struct Tender {
    parts: Arc<Parts>,
    /// What was said last about a step that has to wait.
    waits_for: Option<String>,
    hand_over_at: Instant,
}

impl Tender {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self { parts, waits_for: None, hand_over_at: Instant::now() }
    }

    /// Runs until the node closes.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut leads = self.parts.leads.subscribe();
        loop {
            tokio::select! {
                () = over(&mut closing) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            leads.borrow_and_update();
            let since = self.parts.leads_since();
            tokio::select! {
                () = over(&mut closing) => return,
                () = async {
                    match since {
                        Some(since) => self.tend(since).await,
                        // Waits for the lead instead of asking for it.
                        None => drop(tokio::time::timeout(EVERY * 8, leads.changed()).await),
                    }
                } => {}
            }
        }
    }

    async fn tend(&mut self, leads_since: Instant) {
        let state = self.parts.shared.state();
        if state.members().next().is_none() {
            return;
        }
        for body in leader::presence(&state, &self.heard(&state, leads_since)) {
            tracing::info!(?body, "presence");
            // What could not be logged is found again the next time.
            let _ = forward::propose(&self.parts, body).await;
        }
        self.reconcile(&state).await;
        if Instant::now() >= self.hand_over_at {
            self.hand_over_if_odd(&state).await;
        }
    }

    /// For how long each member was not heard well enough to take its share.
    /// A leader is fair to those it has not met yet: one that is there is not
    /// away for longer than the leader leads, one that is away comes back only
    /// by being heard.
    fn heard(&self, state: &State, leads_since: Instant) -> Vec<(MemberId, Duration)> {
        let leads = leads_since.elapsed();
        let unheard = |known: &MemberState| {
            let node = known.member.id.0;
            if node == self.parts.me {
                return Some((known.member.id, Duration::ZERO));
            }
            let unheard = self.unheard(node);
            let fair =
                if known.is_present { Some(unheard.map_or(leads, |unheard| unheard.min(leads))) } else { unheard };
            fair.map(|unheard| (known.member.id, unheard))
        };
        state.members().filter_map(unheard).collect()
    }

    /// For how long a node was not heard well enough; `None` if it never was.
    fn unheard(&self, node: NodeId) -> Option<Duration> {
        let fit = self.parts.peers.facts(node).filter(|facts| facts.lacks_entries <= CAUGHT_UP_ENTRIES)?.at.elapsed();
        // Appends are answered more often than pulses.
        let heard = self.parts.peers.last_heard(node).map(|heard| heard.elapsed());
        Some(if fit < FACTS_AGE_MAX { heard.map_or(fit, |heard| heard.min(fit)) } else { fit })
    }

    async fn reconcile(&mut self, state: &State) {
        let parts = Arc::clone(&self.parts);
        let _alone = parts.changes_members.lock().await;
        if let Some(voters) = self.unfinished_change() {
            tracing::info!(?voters, "a change of the voters that was interrupted is finished");
            self.change(ChangeMembers::ReplaceAllVoters(voters), true).await;
            return;
        }
        let step = leader::reconcile(state, &self.replicas());
        if let Step::Wait(wait) = &step {
            let text = wait.to_string();
            if self.waits_for.as_ref() != Some(&text) {
                tracing::info!(text, "a change of the members waits");
                self.waits_for = Some(text);
            }
            return;
        }
        self.waits_for = None;
        if step != Step::Nothing {
            tracing::info!(?step, "members");
        }
        self.carry_out(step).await;
    }

    async fn carry_out(&mut self, step: Step) {
        match step {
            Step::Nothing | Step::Wait(_) => {}
            Step::AddLearner { node, address } => {
                self.change(ChangeMembers::AddNodes(BTreeMap::from([(node.0, Peer { address })])), true).await;
            }
            // The address here is for people; calls go by the state.
            Step::UpdateAddress { node, address } => {
                self.change(ChangeMembers::SetNodes(BTreeMap::from([(node.0, Peer { address })])), true).await;
            }
            Step::SetVoters { voters } if voters.contains(&MemberId(self.parts.me)) => {
                self.change(ChangeMembers::ReplaceAllVoters(ids(voters)), false).await;
            }
            // It is this node that goes; another one does it.
            Step::SetVoters { voters } => self.resign(&ids(voters)).await,
            Step::RemoveLearner { node } => {
                self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node.0])), false).await;
            }
            Step::RemoveMember { node, by } => {
                let lot = identity::random::<8>().map(u64::from_be_bytes).unwrap_or_default();
                let command = Command {
                    actor: format!("node {by}"),
                    origin: Origin::Node,
                    key: format!("replace {node} {lot:016x}"),
                    expected_revision: None,
                    action: Action::RemoveMember { node },
                };
                if let Ok(proposed) = forward::propose(&self.parts, Body::Command(command)).await
                    && let CommandOutcome::Refused(why) = proposed.applied.outcome
                {
                    tracing::warn!(why, "a node that was replaced stays a member");
                }
            }
        }
    }

    /// What a change that was interrupted half-way was to come to.
    fn unfinished_change(&self) -> Option<BTreeSet<NodeId>> {
        let metrics = self.parts.raft.server_metrics();
        let metrics = metrics.borrow();
        match metrics.membership_config.membership().get_joint_config().as_slice() {
            [_, .., last] => Some(last.clone()),
            _ => None,
        }
    }

    fn replicas(&self) -> Replicas {
        let last = self.parts.store.view().last.map_or(0, |id| id.index);
        let places = self.parts.raft.data_metrics().borrow().replication.clone().unwrap_or_default();
        let metrics = self.parts.raft.server_metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let mut replicas = Replicas::default();
        for (node, peer) in membership.nodes() {
            let replica = if *node == self.parts.me {
                Replica { address: peer.address.clone(), is_heard: true, lacks_entries: Some(0) }
            } else {
                let place = places.get(node).copied().flatten();
                Replica {
                    address: peer.address.clone(),
                    is_heard: self.parts.is_heard(*node),
                    lacks_entries: place.map(|place| last.saturating_sub(place.index)),
                }
            };
            let of = if voters.contains(node) { &mut replicas.voters } else { &mut replicas.learners };
            of.insert(MemberId(*node), replica);
        }
        replicas
    }

    async fn change(&self, change: ChangeMembers<NodeId, Peer>, retain: bool) {
        let changed = self.parts.raft.change_membership(change, retain);
        match tokio::time::timeout(self.parts.timing.commit() * 2, changed).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the members could not be changed; it is tried again"),
            Err(_) => tracing::warn!("a change of the members takes long; it is looked at again"),
        }
    }

    /// Hands over to one of the others, the one heard last first.
    async fn resign(&mut self, to: &BTreeSet<NodeId>) {
        let voters = self.parts.voters();
        let mut heirs: Vec<NodeId> =
            to.iter().copied().filter(|node| *node != self.parts.me && voters.contains(*node)).collect();
        heirs.sort_by_key(|node| {
            self.parts.peers.last_heard(*node).map(|heard| heard.elapsed()).unwrap_or(Duration::MAX)
        });
        for heir in heirs {
            match handover::hand_over(&self.parts, heir).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the lead could not be handed over"),
            }
        }
    }

    /// Hands over if this node's clock or its disk is worse than the others'.
    async fn hand_over_if_odd(&mut self, state: &State) {
        let voters = self.parts.voters();
        let others: Vec<(NodeId, Facts)> = state
            .members()
            .map(|known| known.member.id.0)
            .filter(|node| *node != self.parts.me && voters.contains(*node))
            .filter_map(|node| self.parts.peers.facts(node).map(|facts| (node, facts)))
            .filter(|(_, facts)| facts.at.elapsed() < FACTS_AGE_MAX)
            .collect();
        let heirs = match (odd_clock(&others), self.parts.gauge.get()) {
            (Some(middle_ms), _) => {
                tracing::error!(middle_ms, "the clock of this node is far from the others'; another one is to lead");
                let near = |facts: &Facts| is_near(facts.clock_ahead_ms, middle_ms);
                others.iter().filter(|(_, facts)| near(facts)).map(|(node, _)| *node).collect()
            }
            (None, Room::Tight | Room::Exhausted) => {
                others.iter().filter(|(_, facts)| facts.has_room).map(|(node, _)| *node).collect()
            }
            (None, Room::Ample) => return,
        };
        self.hand_over_at = Instant::now() + HAND_OVER_WAIT;
        self.resign(&heirs).await;
    }
}

/// How far the middle of all clocks is ahead of this node's, if that is too far
/// to be its own fault only by chance: with fewer than three clocks nobody
/// knows which one is wrong.
fn odd_clock(others: &[(NodeId, Facts)]) -> Option<i64> {
    if others.len() < 2 {
        return None;
    }
    let mut ahead: Vec<i64> = others.iter().map(|(_, facts)| facts.clock_ahead_ms).chain([0]).collect();
    ahead.sort_unstable();
    let middle = ahead[ahead.len() / 2];
    (!is_near(middle, 0)).then_some(middle)
}

fn is_near(one_ms: i64, other_ms: i64) -> bool {
    u128::from(one_ms.abs_diff(other_ms)) <= CLOCK_AHEAD_MAX.as_millis()
}

fn ids(nodes: BTreeSet<MemberId>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(|node| node.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(ahead_ms: &[i64]) -> Vec<(NodeId, Facts)> {
        let facts =
            |&clock_ahead_ms: &i64| Facts { at: Instant::now(), clock_ahead_ms, has_room: true, lacks_entries: 0 };
        (1..).zip(ahead_ms.iter().map(facts)).collect()
    }

    #[test]
    fn the_clock_that_is_far_from_the_middle_is_the_odd_one() {
        assert_eq!(odd_clock(&clocks(&[-30_000, -30_000])), Some(-30_000), "this one is 30 s ahead");
        assert_eq!(odd_clock(&clocks(&[30_000, 0])), None, "another one is ahead");
        assert_eq!(odd_clock(&clocks(&[9_000, 9_000])), None, "within what is borne");
        assert_eq!(odd_clock(&clocks(&[60_000])), None, "with two nobody knows");
        assert_eq!(odd_clock(&clocks(&[-11_000, -12_000, 0, -13_000])), Some(-11_000));
    }
}

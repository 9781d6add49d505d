//! What only the leader does beside delivering: it lets time pass, says whom it
//! hears, and brings the log's voters to what the members ought to be.

use super::Node;
use super::propose::Wish;
use crate::log::{Leading, Voters};
use crate::outside::{Event, Outside};
use crate::people::Deed;
use control::leader::{self, Replica, Replicas, Step};
use model::entry::{Action, Body, Command, Origin};
use model::member::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often time passes in the log while something waits for it.
const TICK_MS: u64 = 1_000;
/// The same while nothing waits.
const IDLE_TICK_MS: u64 = 5_000;
/// How often the leader keeps house.
const HOUSE_MS: u64 = 1_000;
/// How lately a node must have been heard to count as one that answers.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// How long a leader waits for a vote to go before it gives a removal up.
const REMOVAL_MS: u64 = 10_000;

/// What a leader has under way.
#[derive(Debug, Default)]
pub(super) struct Leadership {
    ticked_ms: u64,
    kept_house_ms: u64,
    removing: Option<Removing>,
}

/// A member on its way out: its vote goes first, then its removal is logged.
#[derive(Debug, Clone)]
struct Removing {
    node: NodeId,
    client: usize,
    asked: u64,
    until_ms: u64,
    is_proposed: bool,
}

impl Node {
    /// Does what a leader does; nothing if this node is none.
    pub(super) fn lead_on(&mut self, outside: &mut Outside) {
        let now_ms = outside.now;
        let life = self.life_mut();
        if !life.raft.is_ready(life.applied) {
            life.leadership.removing = None;
            return;
        }
        let tick_ms = if life.state.wants_ticks() { TICK_MS } else { IDLE_TICK_MS };
        if now_ms >= life.leadership.ticked_ms + tick_ms {
            life.leadership.ticked_ms = now_ms;
            self.propose(Wish::Note, Body::Tick, outside);
        }
        if now_ms >= self.life_mut().leadership.kept_house_ms + HOUSE_MS {
            self.life_mut().leadership.kept_house_ms = now_ms;
            self.say_whom_it_hears(outside);
            self.keep_house(outside);
        }
    }

    /// For each other node the time since it was last heard with a log good enough to take its share.
    fn heard(&self, leading: &Leading, now_ms: u64) -> Vec<(NodeId, Duration)> {
        let last = self.disk.log.last();
        let heard = leading.peers.iter().map(|(node, peer)| {
            let is_near = last.saturating_sub(peer.flushed) <= leader::CAUGHT_UP_ENTRIES;
            let since_ms = peer.heard_ms.filter(|_| is_near).unwrap_or(leading.since_ms);
            (*node, Duration::from_millis(now_ms.saturating_sub(since_ms)))
        });
        heard.chain([(self.id, Duration::ZERO)]).collect()
    }

    fn say_whom_it_hears(&mut self, outside: &mut Outside) {
        let Some(life) = &self.life else { return };
        let Some(leading) = life.raft.leading() else { return };
        let heard = self.heard(leading, outside.now);
        for body in leader::presence(&life.state, &heard) {
            self.propose(Wish::Note, body, outside);
        }
    }

    /// The nodes that have the log, as the log has them.
    fn replicas(&self, now_ms: u64) -> Replicas {
        let mut replicas = Replicas::default();
        let Some(life) = &self.life else { return replicas };
        let Some(leading) = life.raft.leading() else { return replicas };
        let heard = self.heard(leading, now_ms);
        let (_, newest) = self.disk.log.newest_voters();
        for node in newest.voting.union(&newest.learning) {
            let peer = leading.peers.get(node);
            // Of a node that this leader has not heard yet it knows nothing.
            let was_heard = *node == self.id || peer.is_some_and(|peer| peer.heard_ms.is_some());
            let is_heard = was_heard && heard.iter().any(|(known, since)| known == node && *since <= HEARD_WITHIN);
            let flushed = peer.map_or_else(|| self.disk.log.flushed(), |peer| peer.flushed);
            let lacks_entries = was_heard.then(|| self.disk.log.last().saturating_sub(flushed));
            let address = life.state.member(*node).map(|known| known.member.address.clone()).unwrap_or_default();
            let replica = Replica { address, is_heard, lacks_entries };
            let of_kind = if newest.voting.contains(node) { &mut replicas.voters } else { &mut replicas.learners };
            of_kind.insert(*node, replica);
        }
        replicas
    }

    fn keep_house(&mut self, outside: &mut Outside) {
        if self.go_on_removing(outside) {
            return;
        }
        let replicas = self.replicas(outside.now);
        let (_, newest) = self.disk.log.newest_voters().clone();
        let mut voters = (*newest).clone();
        match leader::reconcile(&self.life_mut().state, &replicas) {
            Step::Nothing | Step::Wait(_) | Step::UpdateAddress { .. } => return,
            Step::AddLearner { node, .. } => drop(voters.learning.insert(node)),
            Step::RemoveLearner { node } => drop(voters.learning.remove(&node)),
            Step::SetVoters { voters: wanted } => voters = with_votes(&voters, wanted),
            Step::RemoveMember { node, .. } => {
                let key = format!("replaced-{node}");
                return self.propose(Wish::Note, removal(node, key), outside);
            }
        }
        if self.set_voters(voters, outside) {
            outside.record.story.changes_of_voters += 1;
        }
    }

    /// Somebody wants a member out. What cannot be done now is said at once.
    pub(crate) fn remove(
        &mut self,
        node: NodeId,
        client: usize,
        asked: u64,
        outside: &mut Outside,
    ) -> Result<(), String> {
        let id = self.id;
        let life = self.life_mut();
        if !life.raft.is_ready(life.applied) || node == id {
            return Err("another node must lead for that".to_owned());
        }
        if life.leadership.removing.is_some() {
            return Err("another removal is under way".to_owned());
        }
        let replicas = self.replicas(outside.now);
        let voters: BTreeSet<NodeId> = replicas.voters.keys().copied().collect();
        let heard = replicas.voters.iter().filter(|(_, replica)| replica.is_heard);
        let reachable: BTreeSet<NodeId> = heard.map(|(node, _)| *node).collect();
        leader::may_remove(&self.life_mut().state, node, &voters, &reachable)?;
        let until_ms = outside.now + REMOVAL_MS;
        self.life_mut().leadership.removing = Some(Removing { node, client, asked, until_ms, is_proposed: false });
        Ok(())
    }

    /// Goes on with a removal; true while one is under way.
    fn go_on_removing(&mut self, outside: &mut Outside) -> bool {
        let Some(removing) = self.life_mut().leadership.removing.clone() else { return false };
        if removing.until_ms <= outside.now {
            self.life_mut().leadership.removing = None;
            return false;
        }
        let (since, newest) = self.disk.log.newest_voters().clone();
        let node = removing.node;
        if newest.voting.contains(&node) || newest.learning.contains(&node) {
            let mut voters = (*newest).clone();
            voters.voting.remove(&node);
            voters.learning.remove(&node);
            self.set_voters(voters, outside);
        } else if !removing.is_proposed && since <= self.life_mut().raft.committed {
            let Removing { client, asked, .. } = removing;
            self.life_mut().leadership.removing = Some(Removing { is_proposed: true, ..removing });
            self.propose(Wish::Remove { client, asked }, removal(node, removal_key(node)), outside);
        }
        true
    }

    /// The removal is logged, or its fate is known otherwise.
    pub(super) fn removed(&mut self, client: usize, asked: u64, fate: super::propose::Fate, outside: &mut Outside) {
        self.life_mut().leadership.removing = None;
        outside.after(0, Event::Acts(Deed::Answered { client, asked, fate }));
    }
}

/// The same nodes with these as voters: those that lose their vote go altogether.
fn with_votes(before: &Voters, voting: BTreeSet<NodeId>) -> Voters {
    let learning = before.learning.difference(&voting).copied().collect();
    Voters { voting, learning }
}

/// The key under which a removal is logged, whoever asks for it.
pub(crate) fn removal_key(node: NodeId) -> String {
    format!("remove-{node}")
}

fn removal(node: NodeId, key: String) -> Body {
    let action = Action::RemoveMember { node };
    Body::Command(Command { actor: "node".to_owned(), origin: Origin::Node, key, expected_revision: None, action })
}

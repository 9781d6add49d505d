//! When a node stands for election, and whether it leads.
//!
//! Before it stands it asks the others whether they would vote for it; only
//! when a majority would, a term is begun. So a node that was cut off deposes
//! nobody when it comes back, and one that lags does not keep the others busy.
//! This decides *when* there is an election, openraft who wins it: **however
//! wrong the times here are, two leaders of one term there are never.**

use crate::identity;
use crate::parts::{Parts, over};
use crate::stored::StoredLogId;
use crate::types::NodeId;
use crate::wire::{self, StandAnswer};
use openraft::ServerState;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The task.
pub(crate) struct Elector {
    parts: Arc<Parts>,
    /// Nothing is tried before.
    not_before: Instant,
}

/// What a node has to do with elections.
enum Stance {
    Leads,
    /// The only voter is elected by openraft's own timer, without a wait.
    IsAlone,
    Follows,
    /// It has no vote, or stops.
    LooksOn,
}

impl Elector {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self { parts, not_before: Instant::now() }
    }

    /// Runs until the node closes.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut server = self.parts.raft.server_metrics();
        let mut lot = draw();
        loop {
            server.borrow_and_update();
            let stance = self.stance();
            self.parts.raft.runtime_config().elect(matches!(stance, Stance::IsAlone));
            self.parts.say_who_leads();
            let silence = self.parts.timing.silence(self.ordinal(), lot);
            let until = match stance {
                Stance::Leads => Instant::now() + self.parts.timing.look(),
                Stance::Follows => (self.parts.contact.silent_since() + silence).max(self.not_before),
                // A change wakes it; this is for nothing but a change that was missed.
                Stance::IsAlone | Stance::LooksOn => Instant::now() + self.parts.timing.look() * 4,
            };
            tokio::select! {
                () = over(&mut closing) => return,
                changed = server.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until.into()) => {
                    let is_silent = self.parts.contact.silent_since() + silence <= Instant::now();
                    if matches!(stance, Stance::Follows) && is_silent {
                        self.stand(lot).await;
                        lot = draw();
                    }
                }
            }
        }
    }

    fn stance(&self) -> Stance {
        let voters = self.parts.voters();
        let state = self.parts.raft.server_metrics().borrow().state;
        if self.parts.has_failed() || state == ServerState::Shutdown || !voters.contains(self.parts.me) {
            return Stance::LooksOn;
        }
        match state {
            ServerState::Leader => Stance::Leads,
            _ if voters.is_only(self.parts.me) => Stance::IsAlone,
            _ => Stance::Follows,
        }
    }

    fn ordinal(&self) -> u8 {
        ordinal(&self.parts)
    }

    /// Asks the others, and begins a term if a majority would vote for this node.
    async fn stand(&mut self, lot: u64) {
        let pause = self.parts.timing.pause(self.ordinal(), lot);
        match ask(&self.parts).await {
            Asked::Yes => {
                tracing::info!("no leader is heard; this node stands for election");
                self.parts.contact.voted();
                // Fails only when replication has stopped.
                let _ = self.parts.raft.trigger().elect().await;
                self.not_before = Instant::now() + self.parts.timing.vote() + pause;
            }
            Asked::NotBefore(wait) => self.not_before = Instant::now() + wait.max(Duration::from_millis(1)),
            Asked::No => self.not_before = Instant::now() + pause,
        }
    }
}

/// Asks the others whether they would vote for this node.
pub(crate) async fn ask(parts: &Parts) -> Asked {
    let voters = parts.voters();
    let last = parts.store.view().last.map(StoredLogId::from);
    let mut answers = JoinSet::new();
    for node in voters.all() {
        if node != parts.me {
            let (peers, timeout) = (Arc::clone(&parts.peers), parts.timing.lease() / 2);
            answers.spawn(async move {
                let answer = peers.call(node, wire::STAND, wire::encode(&last), timeout).await.ok()?;
                wire::decode::<StandAnswer>(&answer).ok().map(|answer| (node, answer))
            });
        }
    }
    let mut would = BTreeSet::from([parts.me]);
    let mut soonest: Option<Duration> = None;
    while let Some(answer) = answers.join_next().await {
        let (node, answer): (NodeId, StandAnswer) = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => continue,
        };
        match answer {
            StandAnswer::Yes => drop(would.insert(node)),
            StandAnswer::NotBefore(ms) => {
                let wait = Duration::from_millis(ms);
                soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait)));
            }
            StandAnswer::Behind => {}
        }
        if voters.is_majority(&would) {
            return Asked::Yes;
        }
    }
    soonest.map_or(Asked::No, Asked::NotBefore)
}

/// What the others said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A majority would.
    Yes,
    /// Not now; the first of them may say something else after this.
    NotBefore(Duration),
    /// A majority would not, or does not answer.
    No,
}

/// Answers a node that asks whether it would be voted for.
pub(crate) fn would_vote(parts: &Parts, last: Option<StoredLogId>) -> StandAnswer {
    let lease = parts.timing.lease();
    let left = if *parts.hands_over.borrow() {
        // Its own lease counts from when it was elected.
        parts.contact.since_vote().map_or(Duration::ZERO, |since| lease.saturating_sub(since))
    } else if parts.is_leader() && parts.quorum().is_there {
        lease
    } else {
        lease.saturating_sub(parts.contact.lease_age())
    };
    if !left.is_zero() {
        return StandAnswer::NotBefore(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
    }
    if last < parts.store.view().last.map(StoredLogId::from) { StandAnswer::Behind } else { StandAnswer::Yes }
}

/// This node's ordinal; the last one, if it is not known yet.
pub(crate) fn ordinal(parts: &Parts) -> u8 {
    let members = u8::try_from(model::limits::MEMBERS_MAX).unwrap_or(u8::MAX);
    let state = parts.shared.state();
    state.member(model::member::NodeId(parts.me)).map_or(members, |known| known.member.ordinal)
}

fn draw() -> u64 {
    // Without randomness the ranges of the ordinals are still apart.
    identity::random::<8>().map(u64::from_be_bytes).unwrap_or(0)
}

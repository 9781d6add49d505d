//! Every second every node looks after every other one: is it there, how far
//! is it, what does its clock say, has it room.
//!
//! Each pulse carries the marks both ways, so that what one node has seen of
//! another is soon known to all. What comes of it stays in memory: the leader
//! logs who is there, and hands over if its clock or its disk is the odd one.

use crate::clock;
use crate::marks::Testimony;
use crate::parts::{Parts, over};
use crate::room::Room;
use crate::types::NodeId;
use crate::wire;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for the answer to a pulse.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What goes both ways.
#[derive(Debug, Serialize, Deserialize)]
struct Beat {
    testimony: Vec<u8>,
    /// The wall clock, in milliseconds since 1970.
    wall_ms: i64,
    /// Whether there is room for commands on its disk.
    has_room: bool,
    /// Index of the last entry applied.
    applied: u64,
    /// Who leads, if this node hears it.
    leader: Option<NodeId>,
    /// Whether it sees a majority.
    has_quorum: bool,
}

/// How another node was when it answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) at: Instant,
    /// How far its wall clock is ahead of this node's.
    pub(crate) clock_ahead_ms: i64,
    pub(crate) has_room: bool,
    /// Entries that it had not applied and this node had.
    pub(crate) lacks_entries: u64,
}

/// The task.
pub(crate) async fn run(parts: Arc<Parts>, mut closing: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(parts.timing.pulse());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = over(&mut closing) => return,
            _ = ticks.tick() => {}
        }
        if parts.has_failed() {
            return;
        }
        let mut beats = JoinSet::new();
        for node in parts.peers.nodes() {
            if node != parts.me {
                beats.spawn(look_after(Arc::clone(&parts), node));
            }
        }
        tokio::select! {
            () = over(&mut closing) => return,
            // Each has its own end.
            () = async { while beats.join_next().await.is_some() {} } => {}
        }
        parts.guard.settle();
    }
}

async fn look_after(parts: Arc<Parts>, node: NodeId) {
    let applied = parts.shared.state().applied_index();
    let asked = Instant::now();
    let (wall, _) = clock::read();
    let answer = parts.peers.call(node, wire::PULSE, wire::encode(&Beat::of(&parts)), ANSWER_TIME).await;
    let beat = match answer.as_deref().map(wire::decode::<Beat>) {
        Ok(Ok(beat)) => beat,
        Ok(Err(_)) => return,
        Err(error) => {
            tracing::debug!(node, %error, "a node does not answer");
            return;
        }
    };
    if beat.hear(&parts, node).is_err() {
        return;
    }
    // The answer was made in the middle, as far as can be known.
    let middle = wall.plus(asked.elapsed() / 2);
    parts.peers.noted(
        node,
        Facts {
            at: Instant::now(),
            clock_ahead_ms: beat.wall_ms.saturating_sub(middle.as_ms()),
            has_room: beat.has_room,
            lacks_entries: applied.saturating_sub(beat.applied),
        },
    );
}

/// Answers a pulse.
pub(crate) fn answer(parts: &Parts, from: NodeId, body: &[u8]) -> Result<Vec<u8>, String> {
    let beat: Beat = wire::decode(body).map_err(|error| error.to_string())?;
    beat.hear(parts, from)?;
    Ok(wire::encode(&Beat::of(parts)))
}

impl Beat {
    fn of(parts: &Parts) -> Self {
        let (wall, _) = clock::read();
        let has_quorum = parts.quorum().is_there;
        Self {
            testimony: parts.guard.testimony().encode(),
            wall_ms: wall.as_ms(),
            has_room: parts.gauge.get() == Room::Ample,
            applied: parts.shared.state().applied_index(),
            leader: if has_quorum { parts.leader() } else { None },
            has_quorum,
        }
    }

    fn hear(&self, parts: &Parts, from: NodeId) -> Result<(), String> {
        let testimony = Testimony::decode(&self.testimony).ok_or("marks that this version cannot read")?;
        if let Some(leader) = self.leader {
            parts.contact.told(leader);
        }
        if parts.leader() == Some(from) {
            parts.contact.follows_in_vain(!self.has_quorum);
        }
        parts.guard.hear(from, &testimony)
    }
}

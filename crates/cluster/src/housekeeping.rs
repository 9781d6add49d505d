//! What a node does once a second: snapshots when the log has grown, purging
//! what snapshots hold, room, and whether replication still runs.

use crate::failure::Failure;
use crate::parts::Parts;
use crate::room::Room;
use crate::writer::Job;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(1);
/// Wait after a snapshot found no room: encoding the state is not free.
const FULL_WAIT: Duration = Duration::from_secs(30);
/// Raft entries or bytes that are worth a transaction to purge.
const PURGE_ROWS: u64 = 256;
const PURGE_BYTES: u64 = 1 << 20;

/// From when on a snapshot is taken. Whatever limit is reached first counts;
/// together they keep the replay after a restart below a second.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotPolicy {
    /// Raft entries since the last snapshot.
    pub entries: u64,
    /// Bytes of entries since then.
    pub bytes: u64,
    /// Check results in them: small, but each is judged.
    pub observations: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { entries: 20_000, bytes: 8 << 20, observations: 500_000 }
    }
}

/// The task.
pub(crate) struct Housekeeper {
    pub(crate) parts: Arc<Parts>,
    pub(crate) policy: SnapshotPolicy,
    /// Index up to which history is durable.
    pub(crate) floor: Arc<AtomicU64>,
}

impl Housekeeper {
    /// Runs until the node closes or replication stops.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                _ = closing.wait_for(|is_closing| *is_closing) => return,
                _ = ticks.tick() => {}
            }
            let state = self.parts.raft.metrics().borrow().running_state.clone();
            if let Err(fatal) = state {
                // A failure that was reported before is the cause of this one.
                self.parts.failure.report(Failure::Engine(fatal.to_string()));
                return;
            }
            if self.parts.store.writer().send(Job::Housekeep).await.is_err() {
                continue;
            }
            if Instant::now() >= not_before && self.is_snapshot_due() {
                if self.parts.shared.snapshot_facts().borrow().is_full {
                    not_before = Instant::now() + FULL_WAIT;
                }
                // Refused only when replication has stopped, which the next round sees.
                let _ = self.parts.raft.trigger().snapshot().await;
            }
            if let Some(upto) = self.purge_target() {
                let _ = self.parts.raft.trigger().purge_log(upto).await;
            }
        }
    }

    fn is_snapshot_due(&self) -> bool {
        let published = self.parts.shared.published();
        let snapshot = self.parts.shared.snapshots().newest().and_then(|kept| kept.position());
        let applied = published.last.map_or(0, |id| id.index);
        let entries = applied - snapshot.unwrap_or(0).min(applied);
        let bytes = self.parts.store.view().bytes_behind(snapshot);
        let facts = *self.parts.shared.snapshot_facts().borrow();
        let observations = published.observations.saturating_sub(facts.observations);
        // On a full disk a snapshot is what makes room in the log.
        let part = if self.parts.gauge.get() == Room::Ample { 1 } else { 8 };
        entries >= self.policy.entries.div_ceil(part)
            || bytes >= self.policy.bytes.div_ceil(part)
            || observations >= self.policy.observations.div_ceil(part)
    }

    /// Up to where the log may go: what the snapshot to fall back to holds and
    /// history has. Without room the newest snapshot is enough.
    fn purge_target(&self) -> Option<u64> {
        let kept = self.parts.shared.snapshots().kept();
        let is_ample = self.parts.gauge.get() == Room::Ample;
        let snapshot = match kept.as_slice() {
            [.., before, _] if is_ample => before.position()?,
            [.., newest] if !is_ample => newest.position()?,
            _ => return None,
        };
        let published = self.parts.shared.published();
        let known = (published.last?.index, published.state.applied_index());
        let floor = self.floor.load(Ordering::Acquire);
        let view = self.parts.store.view();
        let upto = snapshot.min(view.position_of(floor, known)?);
        let rows = (upto + 1).checked_sub(view.first)?;
        let bytes = view.bytes - view.bytes_behind(Some(upto));
        (rows > 0 && (rows >= PURGE_ROWS || bytes >= PURGE_BYTES || !is_ample)).then_some(upto)
    }
}

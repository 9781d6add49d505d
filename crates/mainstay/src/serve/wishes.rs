//! What the web room asks of the house.

use super::House;
use super::checks;
use super::collect::Packet;
use super::nodes;
use crate::backup::Desk;
use control::CommandOutcome;
use history::{Read, ReadError, Resolution};
use model::entry::{Body, Command, ConditionKind};
use model::id::CheckId;
use model::observation::{Cause, Detail, Evidence, Failure, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use web::Commands;
use web::commands::{
    BackupRefused, BackupRequest, BackupRun, CommandError, Contact, Heartbeat, HeartbeatError, HistoryError,
    NodeAnswer, NodeRequest, NodeStatus, Pending, ResultRange, RollupRange, RollupStep, RoundCounts, Sender,
    StoredResult, StoredRollup,
};

/// Pieces of evidence looked at for the newest failure; passed rounds lie between them.
const DETAILS_LOOKED_AT: usize = 200;
/// How long an answer waits for the page to show what was done: longer than two publications are apart.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
/// How far back the newest failure of a check is looked for.
const FAILURE_LOOKED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The house behind the web room.
pub(crate) struct Wishes {
    house: Arc<House>,
    results: mpsc::Sender<Packet>,
    name: Arc<str>,
    started: Instant,
    backups: Arc<Desk>,
}

impl Wishes {
    pub(crate) fn new(house: Arc<House>, results: mpsc::Sender<Packet>, backups: Arc<Desk>) -> Self {
        let name = Arc::from(house.name.as_str());
        Self { house, results, name, started: Instant::now(), backups }
    }

    /// Waits until an entry is shown, so that people read their own writes;
    /// not for ever, because the entry counts all the same.
    async fn shown(&self, index: u64) {
        let mut shown = self.house.shown.subscribe();
        // Either it is shown, or the time is over, or the node stops.
        let _ = tokio::time::timeout(SHOWN_WITHIN, shown.wait_for(|shown| *shown >= index)).await;
    }

    async fn beat(&self, heartbeat: Heartbeat) -> Result<(), HeartbeatError> {
        let failure = (heartbeat.outcome != Outcome::Pass).then(|| Failure {
            cause: Cause::Reported,
            sentence: heartbeat.sentence.clone().unwrap_or_else(|| "it reported a failure".to_owned()),
        });
        let evidence = Evidence { excerpt: heartbeat.excerpt, ..Evidence::default() };
        let detail = (failure.is_some() || evidence.excerpt.is_some()).then(|| Detail {
            failure,
            evidence,
            ..Detail::default()
        });
        let took = heartbeat.took.unwrap_or_default();
        let observation = checks::heartbeat(heartbeat.slot, self.house.now(), heartbeat.outcome, detail, took);
        let (answered, answer) = oneshot::channel();
        let packet = Packet { observations: vec![observation], is_urgent: true, answered: Some(answered) };
        let not_committed = |because: String| HeartbeatError::NotCommitted { because };
        self.results.send(packet).await.map_err(|_| not_committed("Mainstay is stopping".to_owned()))?;
        match answer.await {
            Ok(outcome) => outcome.map_err(not_committed),
            Err(_) => Err(not_committed("Mainstay is stopping".to_owned())),
        }
    }

    async fn read<T, S>(
        &self,
        check: &CheckId,
        read: impl FnOnce(&history::Store, model::id::CheckSlot) -> Result<Read<S>, ReadError> + Send + 'static,
        then: fn(S) -> T,
    ) -> Result<Vec<T>, HistoryError>
    where
        T: Send + 'static,
        S: Send + 'static,
    {
        let Some(slot) = self.house.node.state().slot(check) else {
            return Ok(Vec::new());
        };
        let Some(history) = self.house.history.clone() else {
            let because = "this node is a witness and keeps no results; ask another one".to_owned();
            return Err(HistoryError::Unreadable { because });
        };
        let unreadable = |because: String| HistoryError::Unreadable { because };
        let found = tokio::task::spawn_blocking(move || read(&history, slot))
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        let found = found.map_err(|error| unreadable(crate::chain(&error.into())))?;
        Ok(found.items.into_iter().map(then).collect())
    }
}

impl Commands for Wishes {
    fn command(&self, command: Command) -> Pending<'_, Result<CommandOutcome, CommandError>> {
        Box::pin(async move {
            match self.house.node.propose(Body::Command(command)).await {
                Ok(proposed) => {
                    self.shown(proposed.index).await;
                    Ok(proposed.applied.outcome)
                }
                Err(error) => Err(nodes::not_done(&error)),
            }
        })
    }

    fn heartbeat(&self, heartbeat: Heartbeat) -> Pending<'_, Result<(), HeartbeatError>> {
        Box::pin(self.beat(heartbeat))
    }

    fn node(&self, sender: Sender, request: NodeRequest) -> Pending<'_, Result<NodeAnswer, CommandError>> {
        Box::pin(nodes::carry_out(&self.house, sender, request))
    }

    fn back_up(&self, request: BackupRequest) -> Pending<'_, Result<u64, BackupRefused>> {
        Box::pin(self.backups.order(request))
    }

    fn backups(&self) -> Vec<BackupRun> {
        self.backups.list()
    }

    fn results(&self, range: ResultRange) -> Pending<'_, Result<Vec<StoredResult>, HistoryError>> {
        Box::pin(async move {
            let ResultRange { check, from, to, limit } = range;
            self.read(&check, move |history, slot| history.range(slot, from, to, limit), stored).await
        })
    }

    fn rollups(&self, range: RollupRange) -> Pending<'_, Result<Vec<StoredRollup>, HistoryError>> {
        Box::pin(async move {
            let RollupRange { check, from, to, step } = range;
            let resolution = match step {
                RollupStep::FiveMinutes => Resolution::FiveMinutes,
                RollupStep::Day => Resolution::Day,
            };
            let read = move |history: &history::Store, slot| {
                let mut found = history.rollups(slot, resolution, from, to)?;
                found.items = history::merged(&found.items);
                Ok(found)
            };
            self.read(&check, read, rolled_up).await
        })
    }

    fn last_failure(&self, check: CheckId) -> Pending<'_, Result<Option<StoredResult>, HistoryError>> {
        Box::pin(async move {
            let to = self.house.now().plus(Duration::from_secs(1));
            let from = to.minus(FAILURE_LOOKED_FOR);
            let read = move |history: &history::Store, slot| history.details(slot, from, to, DETAILS_LOOKED_AT);
            let found = self.read(&check, read, evidence).await?;
            Ok(found.into_iter().find(|result| result.outcome != Outcome::Pass))
        })
    }

    fn contact(&self) -> Contact {
        Contact { name: Arc::clone(&self.name), cut_off_since: *self.house.cut_off.borrow() }
    }

    fn status(&self) -> NodeStatus {
        let status = self.house.node.status();
        let (started, late, skipped) = self.house.lag.counts();
        let usage = self.house.history.as_ref().and_then(|history| history.disk_usage().ok());
        let history_bytes = usage.map_or(0, |usage| usage.history_bytes);
        NodeStatus {
            name: self.house.name.clone(),
            has_quorum: status.has_quorum,
            cut_off_since: *self.house.cut_off.borrow(),
            history_fill: self.house.back_fill.borrow().map(|progress| (progress.done, progress.of)),
            nodes: nodes::infos(&self.house),
            applied_index: status.applied_index,
            leader: status.leader.map(|leader| format!("{leader:016x}")),
            log_refuses: status.is_tight.then(|| "the disk of the data directory is full".to_owned()),
            log_bytes: status.log_bytes,
            history_bytes,
            disk_free_bytes: status.free_bytes,
            // History stops long before the log does.
            is_tight: status.is_tight
                || self.house.node.state().condition_holds(ConditionKind::DiskFull, self.house.node.id()),
            uptime: self.started.elapsed(),
            rounds: RoundCounts { started, late, skipped },
        }
    }
}

fn stored(sample: history::Sample) -> StoredResult {
    StoredResult {
        location: sample.location,
        scheduled: sample.scheduled,
        outcome: sample.outcome,
        latency_us: sample.latency_us,
        detail: None,
    }
}

fn evidence(evidence: history::Evidence) -> StoredResult {
    StoredResult {
        location: evidence.location,
        scheduled: evidence.scheduled,
        outcome: evidence.outcome,
        latency_us: 0,
        detail: Some(Box::new(evidence.detail)),
    }
}

fn rolled_up(rollup: history::Rollup) -> StoredRollup {
    let totals = &rollup.totals;
    StoredRollup {
        from: rollup.from,
        to: rollup.to,
        pass: totals.pass,
        degraded: totals.degraded,
        fail: totals.fail,
        own: totals.own,
        latency_us: totals
            .latency
            .as_ref()
            .map(|latency| [latency.min_us, latency.mean_us, latency.p50_us, latency.p95_us, latency.max_us]),
    }
}

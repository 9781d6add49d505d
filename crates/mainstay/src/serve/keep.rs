//! Keeps results: writes batches of the log to the history, and maintains it.

use super::House;
use super::follow::Logged;
use history::{ApplyError, Budget, WriteError};
use model::entry::{Body, Condition, ConditionKind, Entry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// How often the history is maintained, as its store asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// Turns of upkeep between two flushes, after which the log may forget.
const FLUSH_TURNS: u64 = 10;
/// Free share of the volume below which results are no longer kept: what is
/// left is for commands, transitions and alerts.
const FREE_MIN: f64 = 0.02;
/// Free share of the volume from which they are kept again.
const FREE_AGAIN: f64 = 0.03;

pub(crate) async fn run(house: Arc<House>, mut batches: mpsc::Receiver<Logged>) {
    let mut upkeep = interval(UPKEEP_EVERY);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut disk = Disk::default();
    loop {
        tokio::select! {
            logged = batches.recv() => {
                let Some((index, entry)) = logged else { break };
                keep(&house, &mut disk, index, &entry).await;
            }
            _ = upkeep.tick() => maintain(&house, &mut disk).await,
            () = house.stopped() => break,
        }
    }
    while let Ok((index, entry)) = batches.try_recv() {
        keep(&house, &mut disk, index, &entry).await;
    }
    match tokio::task::block_in_place(|| house.history.flush()) {
        Ok(durable) => house.node.set_replay_floor(durable),
        Err(error) => {
            tracing::warn!(error = %crate::chain(&anyhow::Error::new(error)), "the last results are written at the next start, from the log")
        }
    }
}

/// What is known of the disk.
#[derive(Debug, Default)]
struct Disk {
    is_full: bool,
    skipped: u64,
    turns: u64,
}

async fn keep(house: &Arc<House>, disk: &mut Disk, index: u64, entry: &Entry) {
    let Body::Results(batch) = &entry.body else {
        return;
    };
    if disk.is_full {
        disk.skipped += batch.observations.len() as u64;
        return;
    }
    // The store's work is short and in memory mostly; it may block on a flush,
    // for which the runtime makes room.
    let applied =
        tokio::task::block_in_place(|| house.history.apply(index, entry.at, &batch.location, &batch.observations));
    match applied {
        Ok(_) => {}
        Err(ApplyError::DiskFull { .. }) => {
            disk.skipped = batch.observations.len() as u64;
            full(house, disk).await;
        }
        Err(error) => {
            tracing::error!(index, error = %crate::chain(&anyhow::Error::new(error)), "results could not be kept")
        }
    }
}

async fn full(house: &Arc<House>, disk: &mut Disk) {
    disk.is_full = true;
    let text = "The disk of the data directory is full. Checks and alerts go on; their results are not kept in the history until there is room. Make room.";
    tracing::error!("{text}");
    tell(house, true, text.to_owned()).await;
}

async fn tell(house: &Arc<House>, holds: bool, text: String) {
    let condition = Condition { kind: ConditionKind::DiskFull, holds, text };
    // The log has a reserve for exactly this; without it the log line above is all.
    if let Err(error) = house.node.propose(Body::Condition(condition)).await {
        tracing::error!(%error, "the condition of the disk could not be logged");
    }
}

async fn maintain(house: &Arc<House>, disk: &mut Disk) {
    disk.turns += 1;
    let free = house.history.disk_usage().map_or(1.0, |usage| usage.free_ratio());
    if !disk.is_full && free < FREE_MIN {
        full(house, disk).await;
    }
    if disk.is_full {
        if free < FREE_AGAIN {
            // The log must not wait for results that are not kept.
            house.node.set_replay_floor(house.node.state().applied_index());
            return;
        }
        disk.is_full = false;
        let text = format!("The disk has room again. {} results were not kept in the history.", disk.skipped);
        tracing::info!("{text}");
        tell(house, false, text).await;
    }
    let now = house.now();
    let flushes = disk.turns.is_multiple_of(FLUSH_TURNS);
    let upkept = tokio::task::block_in_place(|| {
        house.history.maintain(now, Budget::default())?;
        if flushes { house.history.flush().map(Some) } else { Ok(None) }
    });
    match upkept {
        Ok(Some(durable)) => house.node.set_replay_floor(durable),
        Ok(None) => {}
        Err(WriteError::DiskFull { .. }) => full(house, disk).await,
        Err(error) => {
            tracing::warn!(error = %crate::chain(&anyhow::Error::new(error)), "the history could not be maintained; tried again in a second")
        }
    }
}

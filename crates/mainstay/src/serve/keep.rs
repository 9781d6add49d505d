//! Keeps results: writes batches of the log to the history, and maintains it.

use super::House;
use super::follow::Logged;
use history::{ApplyError, Budget, DiskUsage, WriteError};
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
/// Room beyond the history's own reserve from which results are kept again,
/// as a part of that reserve: on a small volume the reserve is more than the
/// shares above, and at its very border the next flush would find no room.
const RESERVE_PART_AGAIN: u64 = 4;

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
            full(house, disk).await;
            disk.skipped = batch.observations.len() as u64;
        }
        Err(error) => {
            tracing::error!(index, error = %crate::chain(&anyhow::Error::new(error)), "results could not be kept")
        }
    }
}

async fn full(house: &Arc<House>, disk: &mut Disk) {
    disk.is_full = true;
    disk.skipped = 0;
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
    let usage = house.history.disk_usage();
    if !disk.is_full && usage.as_ref().is_ok_and(is_too_full) {
        full(house, disk).await;
    }
    if disk.is_full {
        if !usage.as_ref().is_ok_and(has_room_again) {
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

fn is_too_full(usage: &DiskUsage) -> bool {
    usage.free_ratio() < FREE_MIN || usage.free_bytes < usage.reserve_bytes
}

fn has_room_again(usage: &DiskUsage) -> bool {
    let wanted_bytes = usage.reserve_bytes + usage.reserve_bytes / RESERVE_PART_AGAIN;
    usage.free_ratio() >= FREE_AGAIN && usage.free_bytes >= wanted_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(megabytes: u64, free: u64) -> DiskUsage {
        let bytes = |megabytes: u64| megabytes << 20;
        let (volume_bytes, free_bytes) = (bytes(megabytes), bytes(free));
        DiskUsage { history_bytes: 0, volume_bytes, free_bytes, reserve_bytes: bytes(128) }
    }

    #[test]
    fn results_are_kept_again_only_where_the_next_flush_finds_room() {
        for (megabytes, free, too_full, room_again) in [
            (100_000, 1_900, true, false),
            (100_000, 2_500, false, false),
            (100_000, 3_100, false, true),
            // On a small volume the history's own reserve is what counts.
            (1_000, 100, true, false),
            (1_000, 130, false, false),
            (1_000, 200, false, true),
        ] {
            let usage = volume(megabytes, free);
            assert_eq!((is_too_full(&usage), has_room_again(&usage)), (too_full, room_again), "{megabytes} {free}");
        }
    }
}

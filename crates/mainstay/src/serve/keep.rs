//! Keeps results: writes batches of the log to the history, and maintains it.
//!
//! **Keeping never waits for the log**, because the log waits for it: what is
//! to be said about the disk is left to a loop beside it.

use super::House;
use super::follow::Logged;
use history::{ApplyError, Budget, DiskUsage, WriteError};
use model::entry::{Body, Condition, ConditionKind, Entry};
use model::member::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// How often the history is maintained, as its store asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// Turns of upkeep between two flushes, after which the log may forget.
const FLUSH_TURNS: u64 = 10;
/// Rest before the log is told again what it did not take.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(5);
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
    let Some(history) = house.history.clone() else {
        // A witness lets everything pass.
        while batches.recv().await.is_some() {}
        return;
    };
    let (said, saying) = watch::channel(None);
    // A disk that was full when the node stopped is so until it is seen to have room.
    let is_full = house.node.state().condition_holds(ConditionKind::DiskFull, house.node.id());
    let disk = Disk { node: house.node.id(), is_full, skipped: 0, turns: 0, said };
    tokio::join!(keep_all(Arc::clone(&house), history, batches, disk), say(&house, saying));
}

/// A witness learns only from the others that it is one, and remembers it for the next start.
fn mark_witness(house: &House) {
    if house.is_witness()
        && !crate::files::is_witness(&house.data)
        && let Err(error) = crate::files::mark_witness(&house.data)
    {
        tracing::warn!(%error, "that this node is a witness could not be written down");
    }
}

async fn keep_all(
    house: Arc<House>,
    history: Arc<history::Store>,
    mut batches: mpsc::Receiver<Logged>,
    mut disk: Disk,
) {
    let mut upkeep = interval(UPKEEP_EVERY);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            logged = batches.recv() => {
                let Some((index, entry)) = logged else { break };
                keep(&house, &history, &mut disk, index, &entry);
                house.tide.dealt_with(index);
            }
            _ = upkeep.tick() => maintain(&house, &history, &mut disk),
            () = house.stopped() => break,
        }
    }
    while let Ok((index, entry)) = batches.try_recv() {
        keep(&house, &history, &mut disk, index, &entry);
        house.tide.dealt_with(index);
    }
    match tokio::task::block_in_place(|| history.flush()) {
        Ok(durable) => house.node.set_replay_floor(durable),
        Err(error) => {
            tracing::warn!(error = %crate::chain(&anyhow::Error::new(error)), "the last results are written at the next start, from the log")
        }
    }
}

/// What is known of the disk.
#[derive(Debug)]
struct Disk {
    node: NodeId,
    is_full: bool,
    skipped: u64,
    turns: u64,
    said: watch::Sender<Option<Condition>>,
}

impl Disk {
    fn say(&self, holds: bool, text: String) {
        self.said.send_replace(Some(Condition { kind: ConditionKind::DiskFull, node: self.node, holds, text }));
    }
}

/// Logs the last thing that was said about the disk, until the log takes it.
async fn say(house: &House, mut saying: watch::Receiver<Option<Condition>>) {
    while saying.changed().await.is_ok() {
        loop {
            let Some(condition) = saying.borrow_and_update().clone() else { break };
            // The log has a reserve for exactly this.
            let Err(error) = house.node.propose(Body::Condition(condition)).await else { break };
            tracing::error!(%error, "the condition of the disk could not be logged; tried again");
            tokio::select! {
                () = tokio::time::sleep(SAY_AGAIN_AFTER) => {}
                changed = saying.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn keep(house: &House, history: &history::Store, disk: &mut Disk, index: u64, entry: &Entry) {
    let Body::Results(batch) = &entry.body else {
        return;
    };
    if house.is_witness() {
        house.node.set_replay_floor(index);
        return;
    }
    if disk.is_full {
        disk.skipped += batch.observations.len() as u64;
        return;
    }
    // The store's work is short and in memory mostly; it may block on a flush,
    // for which the runtime makes room.
    let applied = tokio::task::block_in_place(|| history.apply(index, entry.at, &batch.location, &batch.observations));
    match applied {
        Ok(_) => {}
        Err(ApplyError::DiskFull) => {
            full(disk);
            disk.skipped = batch.observations.len() as u64;
        }
        Err(error) => {
            tracing::error!(index, error = %crate::chain(&anyhow::Error::new(error)), "results could not be kept")
        }
    }
}

fn full(disk: &mut Disk) {
    disk.is_full = true;
    disk.skipped = 0;
    let text = "The disk of the data directory is full. Checks and alerts go on; their results are not kept in the history until there is room. Make room.";
    tracing::error!("{text}");
    disk.say(true, text.to_owned());
}

fn maintain(house: &House, history: &history::Store, disk: &mut Disk) {
    mark_witness(house);
    disk.turns += 1;
    let usage = history.disk_usage();
    if !disk.is_full && usage.as_ref().is_ok_and(is_too_full) {
        full(disk);
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
        disk.say(false, text);
    }
    let now = house.now();
    let flushes = disk.turns.is_multiple_of(FLUSH_TURNS);
    let upkept = tokio::task::block_in_place(|| {
        history.maintain(now, Budget::default())?;
        if flushes { history.flush().map(Some) } else { Ok(None) }
    });
    match upkept {
        Ok(Some(durable)) => house.node.set_replay_floor(durable),
        Ok(None) => {}
        Err(WriteError::DiskFull) => full(disk),
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
    use crate::serve::{follow, lag};
    use model::id::LocationId;
    use model::observation::Batch;

    /// A node on a disk without room for history, the batches it passes on, and what stops it.
    async fn full_house(directory: &std::path::Path) -> (Arc<House>, mpsc::Receiver<Logged>, watch::Sender<bool>) {
        let options = history::Options { reserve_bytes: u64::MAX / 2, ..history::Options::default() };
        let history =
            Arc::new(history::Store::open(&directory.join("history"), options).expect("a store in a new directory"));
        let (followed, follower) = follow::channel();
        let options = cluster::Options { durable_history: Some(0), ..cluster::Options::default() };
        let log = directory.join("log");
        let tide = follower.tide();
        let node = cluster::Node::open(&log, options, follower.with_history(Some(&history)));
        let (stop, stopping) = watch::channel(false);
        let house = House {
            node: node.await.expect("a node in a new directory"),
            history: Some(history),
            location: LocationId::new("local").expect("a legal id"),
            allow_plugins: false,
            data: directory.to_owned(),
            configuration: directory.to_owned(),
            lag: lag::Lag::default(),
            tide,
            name: "node".to_owned(),
            cut_off: watch::Sender::new(None),
            back_fill: watch::Sender::new(None),
            failing: tokio::sync::Notify::new(),
            shown: tokio::sync::watch::Sender::new(0),
            stopping,
        };
        (Arc::new(house), followed.batches, stop)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_is_told_while_the_log_waits_for_the_history() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (house, batches, stop) = full_house(directory.path()).await;
        // More batches than may wait, so that the log stands still until they are taken.
        for sequence in 1..=500 {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                let location = house.location.clone();
                let batch = Batch { location, node: NodeId(1), incarnation: 1, sequence, observations: Vec::new() };
                house.node.propose(Body::Results(batch)).await
            });
        }
        tokio::time::timeout(Duration::from_secs(20), async {
            while batches.len() < batches.max_capacity() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let keeping = tokio::spawn(run(Arc::clone(&house), batches));
            let mut applied = house.node.watch();
            applied.mark_changed();
            while !house.node.state().condition_holds(ConditionKind::DiskFull, house.node.id()) {
                applied.changed().await.expect("the node lives");
            }
            stop.send(true).expect("the house listens");
            keeping.await.expect("it ends");
        })
        .await
        .expect("nothing waits for the other");
        house.node.close().await.expect("a node that closes");
    }

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

//! Hands results in: from the threads that probe, and from heartbeats, into
//! numbered batches of the log.

use super::House;
use control::edge::Collector;
use model::entry::Body;
use model::observation::Observation;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Packets that may wait. A thread sends one every few milliseconds, so this
/// is about a second of a stalled log; then the threads wait, and checks start late.
const WAITING_MAX: usize = 512;

/// Observations that belong together.
pub(crate) struct Packet {
    /// What was seen.
    pub(crate) observations: Vec<Observation>,
    /// Whether it is news and is handed in at once.
    pub(crate) is_urgent: bool,
    /// Told when the observations are committed and applied, or why they are not.
    pub(crate) answered: Option<oneshot::Sender<Result<(), String>>>,
}

pub(crate) fn channel() -> (mpsc::Sender<Packet>, mpsc::Receiver<Packet>) {
    mpsc::channel(WAITING_MAX)
}

pub(crate) async fn run(house: Arc<House>, mut packets: mpsc::Receiver<Packet>) {
    // Sequences start again with each process; the start's own time tells them apart.
    let incarnation = u64::try_from(house.now().as_ms()).unwrap_or(0);
    let mut collector = Collector::new(house.location.clone(), incarnation);
    let mut waiting: Vec<oneshot::Sender<Result<(), String>>> = Vec::new();
    loop {
        let rest = collector.due().map(|due| due.since(house.now()));
        tokio::select! {
            packet = packets.recv() => {
                let Some(packet) = packet else { break };
                add(&mut collector, &mut waiting, packet, &house);
                while let Ok(packet) = packets.try_recv() {
                    add(&mut collector, &mut waiting, packet, &house);
                }
            }
            () = tokio::time::sleep(rest.unwrap_or(Duration::MAX)), if rest.is_some() => {}
            () = house.stopped() => break,
        }
        hand_in(&house, &mut collector, &mut waiting).await;
    }
    collector.hurry();
    hand_in(&house, &mut collector, &mut waiting).await;
}

fn add(
    collector: &mut Collector,
    waiting: &mut Vec<oneshot::Sender<Result<(), String>>>,
    packet: Packet,
    house: &House,
) {
    for observation in packet.observations {
        collector.add(observation, packet.is_urgent, house.now());
    }
    waiting.extend(packet.answered);
}

async fn hand_in(house: &House, collector: &mut Collector, waiting: &mut Vec<oneshot::Sender<Result<(), String>>>) {
    let mut outcome = Ok(());
    let mut is_handed_in = false;
    while let Some(batch) = collector.take(house.now()) {
        is_handed_in = true;
        let count = batch.observations.len();
        if let Err(error) = house.node.propose(Body::Results(batch)).await {
            tracing::error!(results = count, %error, "results could not be logged and are lost");
            outcome = Err(error.to_string());
        }
    }
    // Whoever waits has added to what was just handed in, unless all of it still waits.
    if is_handed_in && collector.is_empty() {
        for answered in waiting.drain(..) {
            // Nobody waits any more if the request was given up.
            let _ = answered.send(outcome.clone());
        }
    }
}

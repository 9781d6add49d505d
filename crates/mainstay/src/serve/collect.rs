//! Hands results in: from the threads that probe, and from heartbeats, into
//! numbered batches of the log.
//!
//! What the log cannot take at the moment, because this node has lost the
//! others, waits on disk and goes first when it can ([`super::spool`]): **batches
//! are handed in in the order in which they were made**, or later ones would
//! make earlier ones look like repetitions.

use super::House;
use super::spool::Spool;
use cluster::{ProposeError, Proposed};
use control::edge::Collector;
use model::entry::Body;
use model::observation::{Batch, Observation, Outcome};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Packets that may wait. A thread sends one every few milliseconds, so this
/// is about a second of a stalled log; then the threads wait, and checks start late.
const WAITING_MAX: usize = 512;
/// While the log takes nothing, how long results are gathered before they go
/// to disk together: a file and a flush for each batch is dear.
const GATHERED_FOR: Duration = Duration::from_secs(5);
/// How long a batch that the log did not take rests before it is offered again.
const OFFERED_EVERY: Duration = Duration::from_millis(500);

/// Observations that belong together.
pub(crate) struct Packet {
    /// What was seen.
    pub(crate) observations: Vec<Observation>,
    /// Whether it is news and is handed in at once.
    pub(crate) is_urgent: bool,
    /// Told when the observations are committed and applied, or why they are not.
    pub(crate) answered: Option<Answer>,
}

pub(crate) fn channel() -> (mpsc::Sender<Packet>, mpsc::Receiver<Packet>) {
    mpsc::channel(WAITING_MAX)
}

pub(crate) async fn run(house: Arc<House>, packets: mpsc::Receiver<Packet>, spool: Spool) {
    // Sequences start again with each process; the start's own time tells them apart.
    let incarnation = u64::try_from(house.now().as_ms()).unwrap_or(0);
    let collector = Collector::new(house.location.clone(), house.node.id(), incarnation);
    let kept = spool.len();
    if kept > 0 {
        tracing::info!(batches = kept, "results from before the start wait to be handed in");
    }
    let now = Instant::now();
    Desk { house, collector, waiting: Vec::new(), spool, refused: None, gathered_until: now, offer_at: now }
        .run(packets)
        .await;
}

type Answer = oneshot::Sender<Result<(), String>>;
type Proposing = Pin<Box<dyn Future<Output = Result<Proposed, ProposeError>> + Send>>;

/// A batch on its way into the log.
struct UnderWay {
    batch: Batch,
    is_kept: bool,
    waiting: Vec<Answer>,
    proposing: Proposing,
}

/// Where results are handed in.
struct Desk {
    house: Arc<House>,
    collector: Collector,
    waiting: Vec<Answer>,
    spool: Spool,
    /// Why the log takes nothing at the moment.
    refused: Option<String>,
    /// Until when results are gathered before they go to disk.
    gathered_until: Instant,
    /// When the oldest batch that waits is offered again.
    offer_at: Instant,
}

impl Desk {
    async fn run(mut self, mut packets: mpsc::Receiver<Packet>) {
        let mut under_way: Option<UnderWay> = None;
        loop {
            if under_way.is_none() {
                under_way = self.next();
            }
            let is_idle = under_way.is_none();
            let rest = self.rest();
            tokio::select! {
                packet = packets.recv() => {
                    let Some(packet) = packet else { break };
                    self.add(packet);
                    while let Ok(packet) = packets.try_recv() {
                        self.add(packet);
                    }
                }
                ended = async { under_way.as_mut().expect("asked only if there is one").proposing.as_mut().await }, if !is_idle => {
                    if let Some(done) = under_way.take() {
                        self.ended(done, ended.err());
                    }
                }
                () = tokio::time::sleep(rest.unwrap_or(Duration::MAX)), if is_idle && rest.is_some() => {}
                () = self.house.stopped() => break,
            }
        }
        self.finish(under_way).await;
    }

    /// How long until there is something to do.
    fn rest(&self) -> Option<Duration> {
        let now = Instant::now();
        if self.is_behind() {
            let gathered = (!self.collector.is_empty()).then_some(self.gathered_until);
            let offered = (self.spool.len() > 0).then_some(self.offer_at);
            return gathered.into_iter().chain(offered).min().map(|at| at.saturating_duration_since(now));
        }
        self.collector.due().map(|due| due.since(self.house.now()))
    }

    /// Whether batches wait on disk, so that new ones have to stand behind them.
    fn is_behind(&self) -> bool {
        self.refused.is_some() || self.spool.len() > 0
    }

    fn add(&mut self, packet: Packet) {
        if self.is_behind() && self.collector.is_empty() {
            self.gathered_until = Instant::now() + GATHERED_FOR;
        }
        if packet.observations.iter().any(|observation| observation.outcome == Outcome::Fail) {
            self.house.failing.notify_one();
        }
        for observation in packet.observations {
            self.collector.add(observation, packet.is_urgent, self.house.now());
        }
        match (packet.answered, &self.refused) {
            (Some(answered), Some(why)) => drop(answered.send(Err(why.clone()))),
            (Some(answered), None) => self.waiting.push(answered),
            (None, _) => {}
        }
    }

    /// What is handed in next, if something is due.
    fn next(&mut self) -> Option<UnderWay> {
        let now = Instant::now();
        if !self.is_behind() {
            let batch = self.collector.take(self.house.now())?;
            return Some(self.propose(batch, false));
        }
        if !self.collector.is_empty() && self.gathered_until <= now {
            self.keep_gathered();
        }
        if self.offer_at > now {
            return None;
        }
        match tokio::task::block_in_place(|| self.spool.first()) {
            Some(batch) => Some(self.propose(batch, true)),
            None => {
                self.refused = None;
                None
            }
        }
    }

    fn propose(&mut self, batch: Batch, is_kept: bool) -> UnderWay {
        // Whoever waits has added to this batch, unless something still waits.
        let waiting = if self.collector.is_empty() { std::mem::take(&mut self.waiting) } else { Vec::new() };
        let (node, body) = (self.house.node.clone(), Body::Results(batch.clone()));
        UnderWay { batch, is_kept, waiting, proposing: Box::pin(async move { node.propose(body).await }) }
    }

    fn ended(&mut self, done: UnderWay, error: Option<ProposeError>) {
        let outcome = error.as_ref().map_or(Ok(()), |error| Err(error.to_string()));
        for answered in done.waiting {
            // Nobody waits any more if the request was given up.
            let _ = answered.send(outcome.clone());
        }
        match error {
            Some(error) if is_for_now(&error) => {
                if self.refused.is_none() {
                    tracing::warn!(%error, "results are kept on this node's disk until the log takes them");
                    self.gathered_until = Instant::now() + GATHERED_FOR;
                }
                self.refused = Some(error.to_string());
                self.offer_at = Instant::now() + OFFERED_EVERY;
                if !done.is_kept {
                    self.keep(&done.batch);
                }
                return;
            }
            Some(error) => {
                let count = done.batch.observations.len();
                tracing::error!(results = count, %error, "results could not be logged and are lost");
            }
            None => {}
        }
        if done.is_kept {
            self.let_go();
        }
    }

    /// Lets the batch go that was logged, and says so when it was the last one.
    fn let_go(&mut self) {
        if let Err(error) = tokio::task::block_in_place(|| self.spool.pop()) {
            tracing::error!(error = %crate::chain(&error), "results that are logged could not be removed");
        }
        self.refused = None;
        if self.spool.len() == 0 {
            tracing::info!("all results that waited are logged");
        }
    }

    fn keep_gathered(&mut self) {
        self.collector.hurry();
        while let Some(batch) = self.collector.take(self.house.now()) {
            self.keep(&batch);
        }
        let why = self.refused.clone().unwrap_or_else(|| "earlier results wait as well".to_owned());
        for answered in self.waiting.drain(..) {
            let _ = answered.send(Err(why.clone()));
        }
    }

    fn keep(&mut self, batch: &Batch) {
        match tokio::task::block_in_place(|| self.spool.push(batch)) {
            Ok(0) => {}
            Ok(dropped) => tracing::warn!(batches = dropped, "the oldest results that wait had to make room"),
            Err(error) => {
                let count = batch.observations.len();
                tracing::error!(results = count, error = %crate::chain(&error), "results could not be kept and are lost");
            }
        }
    }

    /// Hands in what is left when the node stops.
    async fn finish(&mut self, under_way: Option<UnderWay>) {
        if let Some(mut last) = under_way {
            let ended = last.proposing.as_mut().await;
            self.ended(last, ended.err());
        }
        if self.is_behind() {
            return self.keep_gathered();
        }
        self.collector.hurry();
        while let Some(mut last) = self.next() {
            let ended = last.proposing.as_mut().await;
            self.ended(last, ended.err());
            self.collector.hurry();
            if self.is_behind() {
                return self.keep_gathered();
            }
        }
    }
}

/// Whether the log may take the same later.
fn is_for_now(error: &ProposeError) -> bool {
    match error {
        ProposeError::NoQuorum | ProposeError::Unknown | ProposeError::Stopped => true,
        ProposeError::DiskFull | ProposeError::TooLarge { .. } => false,
    }
}

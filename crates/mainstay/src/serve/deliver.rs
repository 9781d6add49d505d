//! Has deliveries made: logs the attempt, makes it, logs how it ended.
//!
//! Looks at the state for what is due, woken by effects and by the clock, so
//! that neither a start after a crash nor a change of leaders is a special
//! case. **Only the leader makes deliveries.**

use super::House;
use anyhow::Context;
use control::delivery::{self, Delivery};
use control::state::CommandOutcome;
use model::entry::{Answer, Body};
use model::id::ReceiverId;
use notify::{Notifier, Try};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// Attempts at a time to one receiver, so that one that hangs holds up no other.
const TO_ONE_RECEIVER_MAX: usize = 8;
/// Attempts at a time to all, each with a connection and its buffers.
const AT_A_TIME_MAX: usize = 256;
/// Longest rest, should an effect be missed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(crate) fn run(
    house: Arc<House>,
    woken: watch::Receiver<u64>,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let notifier = Arc::new(
        Notifier::new(notify::Options { runs_programs: house.allow_plugins, ..notify::Options::default() })
            .context("cannot prepare the receivers")?,
    );
    Ok(deliver(house, notifier, woken))
}

async fn deliver(house: Arc<House>, notifier: Arc<Notifier>, mut woken: watch::Receiver<u64>) {
    let mut attempts = JoinSet::new();
    let mut under_way: HashMap<Id, (String, ReceiverId)> = HashMap::new();
    let mut leads = house.node.leads();
    loop {
        // What this node began while it led it carries through all the same.
        if !*leads.borrow_and_update() {
            tokio::select! {
                Some(ended) = attempts.join_next_with_id(), if !attempts.is_empty() => {
                    under_way.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                changed = leads.changed() => if changed.is_err() { break },
                () = house.stopped() => break,
            }
            continue;
        }
        let now = house.now();
        let in_flight = under_way.values().map(|(key, _)| key.clone()).collect();
        let mut to_one: BTreeMap<ReceiverId, usize> = BTreeMap::new();
        under_way.values().for_each(|(_, receiver)| *to_one.entry(receiver.clone()).or_default() += 1);
        // A state that is held while this waits makes every change copy what it changes.
        let (due, next) = delivery::due(&house.node.state(), now, house.node.id(), &in_flight);
        for delivery in due.into_iter().filter(|delivery| !in_flight.contains(&delivery.message.key)) {
            let to_this = to_one.entry(delivery.receiver.clone()).or_default();
            if under_way.len() >= AT_A_TIME_MAX {
                break;
            }
            if *to_this >= TO_ONE_RECEIVER_MAX {
                continue;
            }
            *to_this += 1;
            let names = (delivery.message.key.clone(), delivery.receiver.clone());
            let task = attempts.spawn(attempt(Arc::clone(&house), Arc::clone(&notifier), delivery));
            under_way.insert(task.id(), names);
        }
        let rest = next.map_or(LOOK_EVERY, |next| next.since(now).min(LOOK_EVERY)).max(Duration::from_millis(10));
        tokio::select! {
            Some(ended) = attempts.join_next_with_id(), if !attempts.is_empty() => {
                // One that panicked has said so; it is repeated.
                under_way.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            changed = woken.changed() => if changed.is_err() { break },
            changed = leads.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(rest) => {}
            () = house.stopped() => break,
        }
    }
    // What is in flight is finished within its own time limit, or repeated at the next start.
    while attempts.join_next().await.is_some() {}
}

async fn attempt(house: Arc<House>, notifier: Arc<Notifier>, delivery: Arc<Delivery>) {
    let key = delivery.message.key.clone();
    let number = delivery.attempt + 1;
    match house.node.propose(Body::AttemptBegins { key: key.clone(), attempt: number, node: house.node.id() }).await {
        Ok(proposed) if proposed.applied.outcome == CommandOutcome::Accepted => {}
        Ok(_) => return,
        Err(error) => {
            tracing::error!(delivery = key, %error, "an attempt could not be logged and is not made");
            tokio::time::sleep(Duration::from_secs(1)).await;
            return;
        }
    }
    let answer = make(&house, &notifier, &delivery, number).await;
    match &answer {
        Answer::Delivered { said } => tracing::info!(delivery = key, attempt = number, said, "delivered"),
        Answer::Failed { reason, .. } => {
            tracing::warn!(delivery = key, attempt = number, reason, "not delivered yet, will be tried again")
        }
        Answer::Refused { reason } => {
            tracing::error!(delivery = key, attempt = number, reason, "delivery refused and given up")
        }
    }
    if let Err(error) = house.node.propose(Body::AttemptEnded { key: key.clone(), attempt: number, answer }).await {
        tracing::error!(delivery = key, %error, "the end of an attempt could not be logged; it may be made twice");
    }
}

async fn make(house: &House, notifier: &Notifier, delivery: &Delivery, attempt: u32) -> Answer {
    let state = house.node.state();
    let Some(receiver) = state.configuration().receiver(&delivery.receiver).cloned() else {
        return Answer::Refused { reason: "the receiver is no longer configured".to_owned() };
    };
    let possibly_double = state.delivery(&delivery.message.key).is_some_and(|known| known.is_possibly_double);
    drop(state);
    notifier.deliver(&receiver.means, &delivery.message, Try { attempt, possibly_double }).await
}

//! Has deliveries made: logs the attempt, makes it, logs how it ended.
//!
//! **Only the leader begins attempts**; what a node began while it led it
//! carries through all the same.

use super::Node;
use super::propose::{Fate, Wish};
use crate::outside::{Attempt, Event, Outside};
use control::delivery::{self, Delivery};
use control::state::CommandOutcome;
use model::entry::{Answer, Body};
use model::id::ReceiverId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Attempts at a time to one receiver.
const TO_ONE_RECEIVER_MAX: usize = 8;
/// Rest after an attempt that could not be logged.
const REST_MS: u64 = 1_000;

/// The attempts of this life.
#[derive(Debug, Default)]
pub(super) struct Delivering {
    under_way: BTreeMap<String, ReceiverId>,
    /// Attempts that could not be logged a moment ago, and until when they rest.
    resting: BTreeMap<String, u64>,
}

impl Node {
    pub(super) fn deliver(&mut self, outside: &mut Outside) {
        let (id, now, now_ms) = (self.id, self.now(outside), outside.now);
        let life = self.life_mut();
        let delivering = &mut life.delivering;
        delivering.resting.retain(|_, until_ms| *until_ms > now_ms);
        if !life.raft.is_ready(life.applied) {
            return;
        }
        let held = delivering.under_way.keys().chain(delivering.resting.keys());
        let in_flight: BTreeSet<String> = held.cloned().collect();
        let mut to_one: BTreeMap<ReceiverId, usize> = BTreeMap::new();
        delivering.under_way.values().for_each(|receiver| *to_one.entry(receiver.clone()).or_default() += 1);
        let (due, _) = delivery::due(&life.state, now, id, &in_flight);
        for delivery in due.into_iter().filter(|delivery| !in_flight.contains(&delivery.message.key)) {
            let to_this = to_one.entry(delivery.receiver.clone()).or_default();
            if *to_this < TO_ONE_RECEIVER_MAX {
                *to_this += 1;
                self.begin_attempt(&delivery, outside);
            }
        }
    }

    fn begin_attempt(&mut self, delivery: &Arc<Delivery>, outside: &mut Outside) {
        let (key, attempt, node) = (delivery.message.key.clone(), delivery.attempt + 1, self.id);
        self.life_mut().delivering.under_way.insert(key.clone(), delivery.receiver.clone());
        self.propose(Wish::Begin { key: key.clone(), attempt }, Body::AttemptBegins { key, attempt, node }, outside);
    }

    /// The begin of an attempt is logged, or not.
    pub(super) fn begun(&mut self, key: String, attempt: u32, fate: &Fate, outside: &mut Outside) {
        let (id, life) = (self.id, self.life_number());
        let known = self.life_mut();
        if !matches!(fate, Fate::Taken { outcome: CommandOutcome::Accepted, .. }) {
            known.delivering.under_way.remove(&key);
            if !matches!(fate, Fate::Taken { .. }) {
                known.delivering.resting.insert(key, outside.now + REST_MS);
            }
            return;
        }
        let Some(delivery) = known.state.delivery(&key) else { return };
        let told = Box::new(Attempt {
            receiver: delivery.receiver.clone(),
            message: Arc::clone(&delivery.message),
            number: Some(attempt),
            is_possibly_double: delivery.is_possibly_double,
        });
        if known.state.configuration().receiver(&told.receiver).is_none() {
            let reason = "the receiver is no longer configured".to_owned();
            return outside.after(0, Event::Answered { node: id, life, told, answer: Answer::Refused { reason } });
        }
        let way_ms = outside.random.between(1, 200);
        outside.after(way_ms, Event::Reaches { node: id, life, told });
    }

    /// The receiver has answered, or the node has given up waiting.
    pub(crate) fn answered(&mut self, told: &Attempt, answer: Answer, outside: &mut Outside) {
        let key = told.message.key.clone();
        match told.number {
            Some(attempt) => {
                self.propose(Wish::End { key: key.clone() }, Body::AttemptEnded { key, attempt, answer }, outside);
            }
            None => self.told_alone(told, &answer, outside),
        }
    }

    /// The end of an attempt is logged, or could not be; then it may be made twice.
    pub(super) fn ended(&mut self, key: &str) {
        self.life_mut().delivering.under_way.remove(key);
    }
}

//! What a node finds out about itself: whether its way out works, and whether
//! it is cut off from the others, which it tells once on its own account.

use super::Node;
use super::propose::Wish;
use crate::outside::{Attempt, Event, Outside};
use control::edge::{CutOff, Notice};
use model::entry::{Answer, Body, Condition, ConditionKind};
use model::time::Timestamp;
use std::sync::Arc;

/// How often the way out is tried while nothing fails.
const TRIED_EVERY_MS: u64 = 30_000;
/// Shortest time between two tries.
const TRY_REST_MS: u64 = 2_000;
/// How often a node asks itself whether it is alone.
const LOOK_MS: u64 = 1_000;
/// Rest before the log is told again what it did not take.
const SAID_EVERY_MS: u64 = 5_000;
/// Attempts for each receiver to tell it that the node is cut off.
const ATTEMPTS_MAX: u32 = 5;

/// What is in mind about itself.
#[derive(Debug)]
pub(super) struct Alone {
    try_at_ms: u64,
    tried_ms: u64,
    looked_ms: u64,
    said_ms: u64,
    cut_off: CutOff,
    /// What could not be told yet: the message, how many attempts were made, and when the next is.
    telling: Vec<(Box<Attempt>, u32, u64)>,
}

impl Alone {
    pub(super) fn new(told: Option<Timestamp>) -> Self {
        Self { try_at_ms: 0, tried_ms: 0, looked_ms: 0, said_ms: 0, cut_off: CutOff::new(told), telling: Vec::new() }
    }

    /// Something began to fail: is it us?
    pub(super) fn hurry(&mut self, now_ms: u64) {
        self.try_at_ms = self.try_at_ms.min((self.tried_ms + TRY_REST_MS).max(now_ms));
    }
}

impl Node {
    pub(super) fn be_alone(&mut self, outside: &mut Outside) {
        let now_ms = outside.now;
        if self.watches_way_out && now_ms >= self.life_mut().alone.try_at_ms {
            self.try_way_out(outside);
        }
        if now_ms >= self.life_mut().alone.looked_ms + LOOK_MS {
            self.life_mut().alone.looked_ms = now_ms;
            self.look_for_others(outside);
        }
        self.tell_again(outside);
    }

    fn try_way_out(&mut self, outside: &mut Outside) {
        let (node, now_ms) = (self.id, outside.now);
        let works = outside.targets.has_way_out(node);
        let life = self.life_mut();
        (life.alone.tried_ms, life.alone.try_at_ms) = (now_ms, now_ms + TRIED_EVERY_MS);
        let known = life.state.member(node).is_none_or(|member| member.egress_broken.is_none());
        if known != works {
            let text = if works { "192.0.2.1:443 accepts connections" } else { "192.0.2.1:443: no answer" };
            self.propose(Wish::Note, Body::Egress { node, works, text: text.to_owned() }, outside);
        }
    }

    /// Logs that the disk has no room for results, or has room again, until the log takes it.
    pub(super) fn say_about_disk(&mut self, outside: &mut Outside) {
        let (node, is_full) = (self.id, self.disk.is_full);
        let life = self.life_mut();
        let held = life.state.condition_holds(ConditionKind::DiskFull, node);
        if held != is_full && outside.now >= life.alone.said_ms + SAID_EVERY_MS {
            life.alone.said_ms = outside.now;
            let text = "made up".to_owned();
            let condition = Condition { kind: ConditionKind::DiskFull, node, holds: is_full, text };
            self.propose(Wish::Note, Body::Condition(condition), outside);
        }
    }

    fn look_for_others(&mut self, outside: &mut Outside) {
        let (node, now, has_quorum) = (self.id, self.now(outside), self.has_quorum(outside.now));
        let Some(notice) = self.life_mut().alone.cut_off.observe(has_quorum, now) else { return };
        // It is written down before it is sent, so that a restart does not say it again.
        self.disk.told_cut_off = match notice {
            Notice::CutOff { since, .. } => Some(since),
            Notice::Together { .. } => None,
        };
        outside.trace(|| format!("{node} tells on its own account: {notice:?}"));
        outside.record.notice(node, notice);
        let messages = notice.messages(&self.life_mut().state, node);
        for (receiver, message) in messages {
            let told = Attempt { receiver, message: Arc::new(message), number: None, is_possibly_double: false };
            self.life_mut().alone.telling.push((Box::new(told), 0, outside.now));
        }
    }

    fn tell_again(&mut self, outside: &mut Outside) {
        let (node, life) = (self.id, self.life_number());
        for (told, attempts, at_ms) in &mut self.life_mut().alone.telling {
            if *at_ms <= outside.now {
                *attempts += 1;
                *at_ms = u64::MAX;
                let way_ms = outside.random.between(1, 200);
                outside.after(way_ms, Event::Reaches { node, life, told: told.clone() });
            }
        }
    }

    /// A receiver has answered what was told on the node's own account.
    pub(super) fn told_alone(&mut self, told: &Attempt, answer: &Answer, outside: &mut Outside) {
        let telling = &mut self.life_mut().alone.telling;
        let of_this = |(known, ..): &(Box<Attempt>, u32, u64)| known.message.key == told.message.key;
        let Some(at) = telling.iter().position(of_this) else { return };
        let (_, attempts, at_ms) = &mut telling[at];
        if matches!(answer, Answer::Failed { .. }) && *attempts < ATTEMPTS_MAX {
            let wait_ms = u64::try_from(control::delivery::backoff(*attempts).as_millis()).unwrap_or(u64::MAX);
            *at_ms = outside.now + wait_ms;
        } else {
            telling.swap_remove(at);
        }
    }
}

//! Whether what several clients were told can be explained by one register
//! that carried out one call after the other.
//!
//! A history is a list of calls, each with when it was sent and when it was
//! answered. It is linearizable (Herlihy and Wing, 1990) if each call can be
//! given one instant between the two, so that a single register that works at
//! these instants gives the same answers. A call without an answer may have
//! had its instant at any time since it was sent, or never.
//!
//! The search is the one of Wing and Gong ("Testing and verifying concurrent
//! objects", 1993) with Lowe's memory of what was tried in vain: take any call
//! that no unfinished business precedes, carry it out on a copy of the
//! register, and go on; if that leads nowhere take another one. Registers are
//! independent of each other, so each is searched by itself, which is what
//! keeps it short (Horn and Kroening, 2015).
//!
//! **Knows nothing of Mainstay.** What tests must not share its mistakes.

use std::collections::HashSet;

/// What a register holds, if anything.
pub type Value = Option<u64>;

/// What was wanted of a register and what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is to hold this; that was done.
    Write(u64),
    /// It is to hold nothing. Whether it held something then, if that was answered.
    Clear(Option<bool>),
    /// What it holds.
    Read(Value),
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was wanted and answered.
    pub act: Act,
    /// When it was sent, on a clock that all calls share.
    pub sent: u64,
    /// When it was answered; `None` if it never was.
    pub answered: Option<u64>,
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// The search was given up: too many calls without an answer.
    Undecided,
}

/// States looked at before a search is given up: a few seconds.
const STATES_MAX: usize = 2_000_000;

/// Judges the calls of one register that holds nothing at first.
pub fn judge(calls: &[Call]) -> Judgement {
    let mut search = Search { calls, tried: HashSet::new() };
    let nothing = Done(vec![0; calls.len().div_ceil(64)]);
    // A stack of our own, because a history may be longer than a thread's is deep.
    let mut stack = vec![(nothing, None)];
    while let Some((done, held)) = stack.pop() {
        if search.is_explained(&done) {
            return Judgement::Linearizable;
        }
        if search.tried.len() > STATES_MAX {
            return Judgement::Undecided;
        }
        search.push_next(&done, held, &mut stack);
    }
    Judgement::Impossible
}

/// Which calls have had their instant, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, call: usize) -> bool {
        self.0[call / 64] >> (call % 64) & 1 == 1
    }

    fn with(&self, call: usize) -> Self {
        let mut bits = self.0.clone();
        bits[call / 64] |= 1 << (call % 64);
        Self(bits)
    }
}

struct Search<'a> {
    calls: &'a [Call],
    tried: HashSet<(Done, Value)>,
}

impl Search<'_> {
    /// Whether everything that was answered has had its instant.
    fn is_explained(&self, done: &Done) -> bool {
        self.calls.iter().enumerate().all(|(at, call)| call.answered.is_none() || done.has(at))
    }

    /// Adds what can come next. Calls with an answer are tried first: the others need not have happened.
    fn push_next(&mut self, done: &Done, held: Value, stack: &mut Vec<(Done, Value)>) {
        let waiting = || self.calls.iter().enumerate().filter(|(at, _)| !done.has(*at));
        let first_answer = waiting().filter_map(|(_, call)| call.answered).min().unwrap_or(u64::MAX);
        // What was sent after another call was answered cannot come before it.
        let mut next: Vec<usize> = waiting().filter(|(_, call)| call.sent <= first_answer).map(|(at, _)| at).collect();
        next.sort_by_key(|at| (self.calls[*at].answered.is_some(), std::cmp::Reverse(self.calls[*at].answered)));
        for at in next {
            if let Some(after) = carry_out(self.calls[at].act, held) {
                let state = (done.with(at), after);
                if self.tried.insert(state.clone()) {
                    stack.push(state);
                }
            }
        }
    }
}

/// What the register holds afterwards; `None` if it could not have answered so.
fn carry_out(act: Act, held: Value) -> Option<Value> {
    match act {
        Act::Write(value) => Some(Some(value)),
        Act::Clear(found) => found.is_none_or(|found| found == held.is_some()).then_some(None),
        Act::Read(value) => (value == held).then_some(held),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn one_call_after_the_other_is_what_it_is() {
        check(&[write(1, 0, 1), read(Some(1), 2, 3), clear(true, 4, 5), read(None, 6, 7), clear(false, 8, 9)], true);
        check(&[write(1, 0, 1), read(None, 2, 3)], false);
        check(&[write(1, 0, 1), clear(false, 2, 3)], false);
        check(&[clear(true, 0, 1)], false);
    }

    #[test]
    fn calls_at_the_same_time_may_have_had_either_order() {
        check(&[write(1, 0, 10), read(None, 1, 2), read(Some(1), 3, 4)], true);
        check(&[write(1, 0, 10), read(Some(1), 1, 2), read(None, 3, 4)], false);
        check(&[write(1, 0, 10), write(2, 0, 10), read(Some(1), 11, 12)], true);
        check(&[write(1, 0, 10), clear(true, 1, 9), clear(true, 2, 9)], false);
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_found() {
        check(&[write(1, 0, 1), write(2, 2, 3), read(Some(1), 4, 5)], false);
    }

    #[test]
    fn a_call_without_an_answer_may_have_happened_or_not_but_not_twice() {
        check(&[lost_write(1, 0), read(None, 5, 6)], true);
        check(&[lost_write(1, 0), read(Some(1), 5, 6)], true);
        check(&[lost_write(1, 0), read(None, 1, 2), read(Some(1), 5, 6)], true);
        check(&[lost_write(1, 0), read(Some(1), 1, 2), read(None, 5, 6)], false);
        let again = [lost_write(1, 0), read(Some(1), 1, 2), write(2, 3, 4), read(Some(2), 5, 6), read(Some(1), 7, 8)];
        check(&again, false);
        check(&[lost_write(1, 5), read(Some(1), 1, 2)], false);
    }

    #[test]
    fn random_histories_are_judged_as_by_trying_every_order() {
        let mut random = Random::new(2);
        let mut seen = [0, 0];
        for _ in 0..20_000 {
            let calls = made_up(&mut random, 5);
            let expected = some_order_explains(&calls, 0, None);
            seen[usize::from(expected)] += 1;
            check(&calls, expected);
        }
        assert!(seen.iter().all(|count| *count > 2_000), "both kinds: {seen:?}");
    }

    #[test]
    fn a_long_history_with_a_single_mistake_is_judged_soon() {
        let mut calls: Vec<Call> = (0..300).map(|at| write(at, at * 10, at * 10 + 25)).collect();
        calls.push(read(Some(299), 4_000, 4_001));
        check(&calls, true);
        calls.push(read(Some(100), 4_002, 4_003));
        check(&calls, false);
    }

    fn check(calls: &[Call], is_linearizable: bool) {
        let expected = if is_linearizable { Judgement::Linearizable } else { Judgement::Impossible };
        assert_eq!(judge(calls), expected, "{calls:?}");
    }

    /// Another way to the same answer: every order of every subset.
    fn some_order_explains(calls: &[Call], done: usize, held: Value) -> bool {
        let waiting = |at: usize| done >> at & 1 == 0;
        if (0..calls.len()).all(|at| !waiting(at) || calls[at].answered.is_none()) {
            return true;
        }
        (0..calls.len()).filter(|at| waiting(*at)).any(|at| {
            let is_before = |other: usize| calls[other].answered.is_some_and(|answered| answered < calls[at].sent);
            let may_come = !(0..calls.len()).any(|other| other != at && waiting(other) && is_before(other));
            may_come
                && carry_out(calls[at].act, held).is_some_and(|held| some_order_explains(calls, done | 1 << at, held))
        })
    }

    fn made_up(random: &mut Random, count: u64) -> Vec<Call> {
        let call = |random: &mut Random| {
            let value = random.between(1, 3);
            let sent = random.below(12);
            let is_answered = random.chance(80);
            let act = match random.below(3) {
                0 => Act::Write(value),
                1 => Act::Clear(is_answered.then(|| random.chance(60))),
                _ => Act::Read(random.chance(75).then_some(value)),
            };
            // A read that was never answered says nothing.
            let is_answered = is_answered || matches!(act, Act::Read(_));
            Call { act, sent, answered: is_answered.then(|| sent + random.below(6)) }
        };
        (0..count).map(|_| call(random)).collect()
    }

    fn write(value: u64, sent: u64, answered: u64) -> Call {
        Call { act: Act::Write(value), sent, answered: Some(answered) }
    }

    fn lost_write(value: u64, sent: u64) -> Call {
        Call { act: Act::Write(value), sent, answered: None }
    }

    fn clear(found: bool, sent: u64, answered: u64) -> Call {
        Call { act: Act::Clear(Some(found)), sent, answered: Some(answered) }
    }

    fn read(value: Value, sent: u64, answered: u64) -> Call {
        Call { act: Act::Read(value), sent, answered: Some(answered) }
    }
}

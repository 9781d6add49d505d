//! One result beside its time, and which of two of the same round is kept.
//!
//! A round can be reported twice: while one node of a location takes over from
//! another, both may make it. Nodes can hear of the two in different orders,
//! because what a node missed reaches it later from a peer, and their histories
//! must be equal all the same. So the order decides nothing: whoever looked is
//! kept before whoever could not, then the worse outcome, then the longer
//! latency. **Keeping is commutative, associative and idempotent.**
//!
//! In a head a result is a key without a value, and the greatest key of a round
//! is the one that is kept. A value would be replaced by whatever is written
//! later.

use crate::codec::chunk::Point;
use crate::keys::RowKey;
use model::observation::Outcome;

/// Bytes of a head's key: where the result belongs, and what it is.
const HEAD_KEY_BYTES: usize = 14;

/// What a result holds beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) outcome: Outcome,
    pub(crate) latency_us: u32,
}

impl Row {
    /// The one of two results of the same round that is kept.
    pub(crate) fn or(self, other: Self) -> Self {
        if other.precedence() > self.precedence() { other } else { self }
    }

    fn precedence(self) -> (u8, u32) {
        (rank(self.outcome), self.latency_us)
    }
}

impl Point {
    /// What the point holds beside its time.
    pub(crate) fn row(&self) -> Row {
        Row { outcome: self.outcome, latency_us: self.latency_us }
    }

    /// A result at its time in a window.
    pub(crate) fn new(offset_ms: u32, row: Row) -> Self {
        Self { offset_ms, outcome: row.outcome, latency_us: row.latency_us }
    }
}

/// All results of two lists, ascending by time, each round once.
pub(crate) fn united(one: &[Point], other: &[Point]) -> Vec<Point> {
    let mut all = [one, other].concat();
    // Two ascending runs; the sort finds them and merges.
    all.sort_by_key(|point| point.offset_ms);
    all.dedup_by(|next, kept| {
        let is_same = next.offset_ms == kept.offset_ms;
        if is_same {
            *kept = Point::new(kept.offset_ms, kept.row().or(next.row()));
        }
        is_same
    });
    all
}

/// The key of a result in a head.
pub(crate) fn head_key(key: &RowKey, row: &Row) -> [u8; HEAD_KEY_BYTES] {
    let mut bytes = [0; HEAD_KEY_BYTES];
    bytes[..9].copy_from_slice(&key.bytes());
    bytes[9] = rank(row.outcome);
    bytes[10..].copy_from_slice(&row.latency_us.to_be_bytes());
    bytes
}

/// The result of a head's key.
pub(crate) fn read_head_key(bytes: &[u8]) -> Option<(RowKey, Row)> {
    let (key, row) = bytes.split_first_chunk::<9>()?;
    let [outcome, a, b, c, d] = *row.as_array()?;
    let row = Row { outcome: outcome_of_rank(outcome)?, latency_us: u32::from_be_bytes([a, b, c, d]) };
    Some((RowKey::read(key)?, row))
}

/// The stored order of outcomes; never changed.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Own => 0,
        Outcome::Pass => 1,
        Outcome::Degraded => 2,
        Outcome::Fail => 3,
    }
}

fn outcome_of_rank(rank: u8) -> Option<Outcome> {
    [Outcome::Own, Outcome::Pass, Outcome::Degraded, Outcome::Fail].get(usize::from(rank)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SeriesKey;
    use model::id::CheckSlot;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Row> {
        let outcome = prop::sample::select(vec![Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own]);
        (outcome, 0u32..4).prop_map(|(outcome, latency_us)| Row { outcome, latency_us })
    }

    proptest! {
        #[test]
        fn which_result_is_kept_does_not_depend_on_the_order(a in rows(), b in rows(), c in rows()) {
            prop_assert_eq!(a.or(b), b.or(a));
            prop_assert_eq!(a.or(b).or(c), a.or(b.or(c)));
            prop_assert_eq!(a.or(a), a);
        }

        #[test]
        fn the_greatest_key_of_a_round_is_the_one_that_is_kept(a in rows(), b in rows(), slot in any::<u32>()) {
            let key = RowKey { series: SeriesKey::new(CheckSlot(slot), 3), offset_ms: 77 };
            let last = head_key(&key, &a).max(head_key(&key, &b));
            prop_assert_eq!(read_head_key(&last), Some((key, a.or(b))));
        }
    }

    #[test]
    fn a_node_that_could_not_look_hides_nothing() {
        let (pass, own) = (Row { outcome: Outcome::Pass, latency_us: 5 }, Row { outcome: Outcome::Own, latency_us: 9 });
        assert_eq!(own.or(pass), pass);
        let fail = Row { outcome: Outcome::Fail, latency_us: 1 };
        assert_eq!(pass.or(fail), fail);
    }

    #[test]
    fn lists_are_united_by_time() {
        let point = |offset_ms, latency_us| Point { offset_ms, outcome: Outcome::Pass, latency_us };
        let all = united(&[point(1, 5), point(4, 5)], &[point(0, 1), point(4, 9), point(6, 2)]);
        assert_eq!(all, [point(0, 1), point(1, 5), point(4, 9), point(6, 2)]);
    }
}

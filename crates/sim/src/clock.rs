//! A node's clock: it runs a little fast or slow, and somebody may set it.
//!
//! As the log's clock does, it never goes back while its process lives: one
//! that was set back runs slow until it is right, one that was set forward is
//! believed when that has lasted. A process that starts takes over what the
//! machine shows, but nothing before the last stamp that it knows.

use model::time::Timestamp;

/// The first moment of every run.
const BEGIN_MS: i64 = 1_795_000_000_000;
/// How long a clock must stay ahead before it is believed.
const BELIEVED_AFTER_MS: u64 = 60_000;
/// A clock that is ahead of what it should show is slow by one part in this.
const SLOW_BY: i64 = 10;

/// What an ideal clock shows after so many virtual milliseconds.
pub(crate) const fn ideal(now_ms: u64) -> Timestamp {
    Timestamp::from_ms(BEGIN_MS + now_ms as i64)
}

/// The clock of one machine, as its process reads it.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    offset_ms: i64,
    drift_per_million: i64,
    /// Jumps back that are made up for, each with its moment.
    back: Vec<(u64, i64)>,
    /// Jumps forward that are not believed yet.
    forward: Vec<(u64, i64)>,
}

impl Clock {
    pub(crate) const fn new(offset_ms: i64, drift_per_million: i64) -> Self {
        Self { offset_ms, drift_per_million, back: Vec::new(), forward: Vec::new() }
    }

    /// What it shows.
    pub(crate) fn read(&self, now_ms: u64) -> Timestamp {
        let drifted_ms = now_ms as i64 * self.drift_per_million / 1_000_000;
        let left = |(at_ms, by_ms): &(u64, i64)| (by_ms - (now_ms - at_ms) as i64 / SLOW_BY).max(0);
        let unbelieved = |(at_ms, by_ms): &(u64, i64)| if now_ms < at_ms + BELIEVED_AFTER_MS { *by_ms } else { 0 };
        let ahead_ms: i64 = self.back.iter().map(left).sum();
        let behind_ms: i64 = self.forward.iter().map(unbelieved).sum();
        Timestamp::from_ms(ideal(now_ms).as_ms() + self.offset_ms + drifted_ms + ahead_ms - behind_ms)
    }

    /// Somebody sets it.
    pub(crate) fn jump(&mut self, now_ms: u64, by_ms: i64) {
        self.offset_ms += by_ms;
        if by_ms < 0 { self.back.push((now_ms, -by_ms)) } else { self.forward.push((now_ms, by_ms)) }
    }

    /// A process starts that knows a stamp.
    pub(crate) fn start(&mut self, now_ms: u64, stamped: Timestamp) {
        (self.back, self.forward) = (Vec::new(), Vec::new());
        let ahead_ms = stamped.as_ms() + 1 - self.read(now_ms).as_ms();
        if ahead_ms > 0 {
            self.back.push((now_ms, ahead_ms));
        }
    }
}

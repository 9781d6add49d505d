//! Comparing histories of two nodes, and completing one from the other.
//!
//! ```text
//!   here                                       a peer
//!   digests ───────── what differs? ────────── digests
//!   import  ◀──────── a unit, ≤ 1 MiB ──────── export
//! ```
//!
//! Everything that is kept lies in [`Span`]s that begin and end at the same
//! instants on every node, and in 256 shards by check. A [`Digest`] is what a
//! shard of a span comes to; where two differ, one side asks for it as a
//! [`Unit`] and imports the answer. **What is exchanged is united, never
//! replaced**: importing twice, in any order, from whomever, beside batches of
//! the log, ends with the same history, and nothing is counted twice.
//!
//! Nothing here knows a network, or decides from whom, when and how fast; one
//! unit is small enough that a caller can limit all that between two of them.
//!
//! What a digest does *not* cover: details of rounds, which travel with the
//! results but are bounded by bytes a day in the order they came. A node can
//! lack one without anybody noticing if two nodes reported the same round and
//! it missed the report with the detail. And the precision of latencies, which
//! has to be the same on nodes that compare.
//!
//! Reading order: `digest`, `unit` (the stored form), `export`, `import`,
//! `rollups` (importing those).

mod cache;
mod digest;
mod export;
mod import;
mod rollups;
mod unit;

use crate::keys::{self, DAY_MS, WINDOW_MS, days_of_month, month_of, window_of, window_start};
use crate::limits::UNIT_BYTES_MAX;
use crate::store::SCHEDULED_MS_MAX;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use cache::Cache;
pub use digest::{Digest, differing};
pub use export::{Cursor, ExportError, Exported};
pub use import::{ImportError, Imported};

/// A kind of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Single results, in windows of two hours.
    Results,
    /// 5-minute roll-ups, by days.
    FiveMinutes,
    /// Daily roll-ups, by months.
    Days,
}

/// A span of one kind of history, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    kind: Kind,
    /// The window, the day, or the month counted from year 0.
    number: i64,
}

impl Span {
    /// The span of a kind that an instant lies in.
    pub fn of(kind: Kind, at: Timestamp) -> Self {
        let number = match kind {
            Kind::Results => window_of(at),
            Kind::FiveMinutes => at.day(),
            Kind::Days => month_of(at.day()),
        };
        Self { kind, number }
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its first instant.
    pub fn from(&self) -> Timestamp {
        Self::start(self.kind, self.number)
    }

    /// Its end, which is not part of it.
    pub fn upto(&self) -> Timestamp {
        Self::start(self.kind, self.number + 1)
    }

    /// The span that follows.
    pub fn next(&self) -> Self {
        Self { number: self.number + 1, ..*self }
    }

    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    pub(crate) fn new(kind: Kind, number: i64) -> Self {
        Self { kind, number }
    }

    /// Whether results could lie in it; a number from elsewhere may be any.
    pub(crate) fn is_sane(&self) -> bool {
        let last = Timestamp::from_ms(SCHEDULED_MS_MAX - 1);
        (Self::of(self.kind, Timestamp::EPOCH).number..=Self::of(self.kind, last).number).contains(&self.number)
    }

    fn start(kind: Kind, number: i64) -> Timestamp {
        match kind {
            Kind::Results => window_start(number),
            Kind::FiveMinutes => Timestamp::of_day(number),
            Kind::Days => Timestamp::of_day(days_of_month(number).start),
        }
    }
}

/// What is exported at a time: neighbouring shards of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// The span.
    pub span: Span,
    /// The first shard.
    pub first_shard: u8,
    /// The last shard, which is part of it.
    pub last_shard: u8,
}

impl Unit {
    /// A span with all its shards.
    pub fn whole(span: Span) -> Self {
        Self { span, first_shard: 0, last_shard: u8::MAX }
    }

    /// Whether there can be such a unit; one from elsewhere may be anything.
    pub(crate) fn is_sane(&self) -> bool {
        self.span.is_sane() && self.first_shard <= self.last_shard
    }
}

const _: () = assert!(UNIT_BYTES_MAX <= 1 << 20, "callers limit bandwidth by units");
const _: () = assert!(DAY_MS % WINDOW_MS == 0 && keys::SHARDS == 256);

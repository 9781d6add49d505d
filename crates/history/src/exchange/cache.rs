//! Digests that were computed and still hold.
//!
//! Only spans whose content lies in tables alone are remembered, so that
//! applying batches need not tell anybody. Whoever writes a table tells after
//! writing: what was computed from the older content is then neither kept nor
//! taken in.

use super::digest::Sum;
use super::{Kind, Span};
use crate::keys::{self, WINDOWS_PER_DAY};
use crate::limits::DIGESTS_REMEMBERED_MAX;
use crate::tables::TableId;
use std::collections::BTreeMap;

/// Digests by span and shard.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    spans: BTreeMap<Span, BTreeMap<u8, Sum>>,
    version: u64,
}

impl Cache {
    pub(super) fn get(&self, span: Span, shard: u8) -> Option<Sum> {
        self.spans.get(&span)?.get(&shard).copied()
    }

    /// To be asked before reading what a digest is computed from.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Remembers a digest, unless something was written since `version`.
    pub(super) fn put(&mut self, span: Span, shard: u8, sum: Sum, version: u64) {
        if version != self.version {
            return;
        }
        self.spans.entry(span).or_default().insert(shard, sum);
        if self.spans.len() > DIGESTS_REMEMBERED_MAX {
            // The oldest are the ones that a comparison of recent history does without.
            self.spans.pop_first();
        }
    }

    /// Hears that values were written to a table under these keys.
    pub(crate) fn written<'a>(&mut self, table: TableId, keys: impl Iterator<Item = &'a [u8]>) {
        self.version += 1;
        for key in keys {
            let span = match table {
                TableId::Raw(day) => keys::read_chunk_key(day, key).map(|(_, window)| Span::new(Kind::Results, window)),
                TableId::Five(month) => key.first().map(|day_of_month| {
                    let day = keys::days_of_month(month).start + i64::from(*day_of_month) - 1;
                    Span::new(Kind::FiveMinutes, day)
                }),
                TableId::Days(_) | TableId::Head(_) | TableId::Evidence(_) => None,
            };
            if let Some(span) = span {
                self.spans.remove(&span);
            }
        }
    }

    /// Hears that a table was dropped.
    pub(crate) fn dropped(&mut self, table: TableId) {
        self.version += 1;
        let (kind, numbers) = match table {
            TableId::Raw(day) => (Kind::Results, day * WINDOWS_PER_DAY..(day + 1) * WINDOWS_PER_DAY),
            TableId::Five(month) => (Kind::FiveMinutes, keys::days_of_month(month)),
            TableId::Days(_) | TableId::Head(_) | TableId::Evidence(_) => return,
        };
        for number in numbers {
            self.spans.remove(&Span::new(kind, number));
        }
    }
}

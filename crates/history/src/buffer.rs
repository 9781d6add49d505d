//! The results that were applied and are not on disk yet.
//!
//! The log holds them durably, so the store need not write each entry: it
//! gathers some ten thousand results and writes them sorted, as whole tables.
//! That needs no journal of the store's own, whose replay at every start took
//! two to three seconds where this takes milliseconds. **The buffer is bounded
//! by count and bytes**, and it is one of the places every read looks at.

use crate::codec::column;
use crate::codec::row::Row;
use crate::evidence::{self, Details};
use crate::keys::{EvidenceKey, RowKey, SeriesKey, WINDOW_MS, window_of, window_start};
use crate::limits::{BUFFER_EVIDENCE_BYTES_MAX, BUFFER_ROWS_MAX};
use model::observation::{Detail, Observation};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Results and evidence by where they will be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    pub(crate) rows: BTreeMap<i64, BTreeMap<RowKey, Row>>,
    pub(crate) evidence: BTreeMap<i64, Details>,
    /// Log index of the last entry in it.
    pub(crate) watermark: u64,
    row_count: usize,
    evidence_bytes: usize,
}

impl Buffer {
    /// An empty buffer that goes on after `watermark`.
    pub(crate) fn after(watermark: u64) -> Self {
        Self { watermark, ..Self::default() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.row_count >= BUFFER_ROWS_MAX || self.evidence_bytes >= BUFFER_EVIDENCE_BYTES_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.row_count == 0 && self.evidence.is_empty()
    }

    /// Adds a result, whose latency is already rounded.
    pub(crate) fn insert(&mut self, observation: &Observation, location: u16, latency_us: u32) {
        let series = SeriesKey::new(observation.slot, location);
        let window = window_of(observation.scheduled);
        let offset = observation.scheduled.as_ms() - window_start(window).as_ms();
        debug_assert!((0..WINDOW_MS).contains(&offset));
        let key = RowKey { series, offset_ms: offset as u32 };
        let row = Row { outcome: observation.outcome, latency_us };
        match self.rows.entry(window).or_default().entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(row);
                self.row_count += 1;
            }
            Entry::Occupied(mut there) => {
                let kept = there.get().or(row);
                there.insert(kept);
            }
        }
        if let Some(detail) = &observation.detail {
            self.insert_evidence(observation, series, detail);
        }
    }

    fn insert_evidence(&mut self, observation: &Observation, series: SeriesKey, detail: &Detail) {
        let key = EvidenceKey::new(series, observation.scheduled, evidence::class_of(observation.outcome));
        let of_day = self.evidence.entry(observation.scheduled.day()).or_default();
        if evidence::is_wanted(of_day, &key) {
            let sealed = column::seal(evidence::encode(observation.outcome, detail), &key.bytes());
            // What is pushed out still counts: the bound is there to be met early, not late.
            self.evidence_bytes += sealed.len();
            evidence::keep(of_day, key, sealed);
        }
    }
}

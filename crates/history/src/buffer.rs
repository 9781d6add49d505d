//! The results that were applied and are not on disk yet.
//!
//! The log holds them durably, so the store need not write each entry: it
//! gathers some ten thousand results and writes them sorted, as whole tables.
//! That needs no journal of the store's own, whose replay at every start took
//! two to three seconds where this takes milliseconds. **The buffer is bounded
//! by count and bytes**, and it is one of the places every read looks at.

use crate::codec::chunk::outcome_number;
use crate::codec::column;
use crate::keys::{EvidenceClass, EvidenceKey, RowKey, SeriesKey, WINDOW_MS, window_of, window_start};
use crate::limits::{BUFFER_EVIDENCE_BYTES_MAX, BUFFER_ROWS_MAX, EVIDENCE_PASSED_PER_HOUR, EVIDENCE_TROUBLE_PER_HOUR};
use model::observation::{Detail, Observation, Outcome};
use std::collections::BTreeMap;

/// Version of a stored detail.
pub(crate) const DETAIL_VERSION: u8 = 1;

/// What a row holds beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) outcome: Outcome,
    pub(crate) latency_us: u32,
}

/// Results and evidence by where they will be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    pub(crate) rows: BTreeMap<i64, BTreeMap<RowKey, Row>>,
    pub(crate) evidence: BTreeMap<i64, BTreeMap<EvidenceKey, Vec<u8>>>,
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
        if self.rows.entry(window).or_default().insert(key, row).is_none() {
            self.row_count += 1;
        }
        if let Some(detail) = &observation.detail {
            self.insert_evidence(observation, series, detail);
        }
    }

    fn insert_evidence(&mut self, observation: &Observation, series: SeriesKey, detail: &Detail) {
        let class = match observation.outcome {
            Outcome::Pass => EvidenceClass::Passed,
            Outcome::Degraded | Outcome::Fail | Outcome::Own => EvidenceClass::Trouble,
        };
        let key = EvidenceKey::new(series, observation.scheduled, class);
        let of_day = self.evidence.entry(observation.scheduled.day()).or_default();
        let first = EvidenceKey { offset_ms: 0, ..key };
        let last = EvidenceKey { offset_ms: u32::MAX, ..key };
        if of_day.range(first..=last).count() >= per_hour(class) {
            return;
        }
        let mut bytes = vec![DETAIL_VERSION, outcome_number(observation.outcome)];
        bytes = postcard::to_extend(detail, bytes).expect("own types always encode");
        let bytes = column::seal(bytes, &key.bytes());
        self.evidence_bytes += bytes.len();
        of_day.insert(key, bytes);
    }
}

/// How many details of one class are kept for a series in an hour.
pub(crate) fn per_hour(class: EvidenceClass) -> usize {
    match class {
        EvidenceClass::Passed => EVIDENCE_PASSED_PER_HOUR,
        EvidenceClass::Trouble => EVIDENCE_TROUBLE_PER_HOUR,
    }
}

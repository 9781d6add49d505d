//! What this store knows that it lacks.
//!
//! A node that was away for long gets a snapshot of the state instead of the
//! entries it missed; their results are then in no entry that it will ever
//! apply. The gap is written down before anything above it is applied and
//! stays until the owner has fetched from a peer what can be fetched (see
//! [`exchange`](crate::exchange)). **A gap is never forgotten by itself.**

use crate::error::WriteError;
use crate::limits::GAPS_MAX;
use crate::store::Store;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Entries of the log that were never applied here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Their indices.
    pub entries: Range<u64>,
    /// No result in them is likely to have been scheduled before this instant.
    pub from: Timestamp,
    /// None is likely to have been scheduled at or after this one.
    pub upto: Timestamp,
}

impl Gap {
    /// Whether results scheduled in this span may be missing.
    pub(crate) fn concerns(&self, from: Timestamp, to: Timestamp) -> bool {
        self.from < to && from < self.upto
    }

    fn touches(&self, other: &Self) -> bool {
        self.entries.start <= other.entries.end && other.entries.start <= self.entries.end
    }

    fn extend(&mut self, other: &Self) {
        self.entries = self.entries.start.min(other.entries.start)..self.entries.end.max(other.entries.end);
        self.from = self.from.min(other.from);
        self.upto = self.upto.max(other.upto);
    }
}

/// Adds a gap to a list in the order of entries. Those that touch become one;
/// when the list is full the two lowest do, which says too much and never too little.
pub(crate) fn add(gaps: &mut Vec<Gap>, mut gap: Gap) {
    for other in gaps.extract_if(.., |other| other.touches(&gap)).collect::<Vec<_>>() {
        gap.extend(&other);
    }
    gaps.push(gap);
    gaps.sort_by_key(|gap| gap.entries.start);
    if gaps.len() > GAPS_MAX {
        let second = gaps.remove(1);
        gaps[0].extend(&second);
    }
}

impl Store {
    /// Notes that entries were not and never will be applied here, for results
    /// that may have been scheduled from `from` until before `upto`. When this
    /// returns the note is on disk and the [watermark](Self::watermark) is not below the
    /// last of the entries. To be called before later entries are applied;
    /// noting the same again changes nothing. An empty range notes nothing.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was noted, call again before going on.
    pub fn note_gap(&self, entries: Range<u64>, from: Timestamp, upto: Timestamp) -> Result<(), WriteError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer();
        // The watermark must not pass results that are only in memory.
        self.write_out(&mut writer)?;
        let last = entries.end - 1;
        self.change_state(|state| {
            add(&mut state.gaps, Gap { entries, from, upto });
            state.watermark = state.watermark.max(last);
        })?;
        let mut shared = self.shared_mut();
        shared.buffer.watermark = shared.state.watermark;
        Ok(())
    }

    /// The gaps that are open, ascending by entries.
    pub fn gaps(&self) -> Vec<Gap> {
        self.shared().state.gaps.clone()
    }

    /// Closes a gap as [`gaps`](Self::gaps) named it: what it lacked was fetched, or
    /// nobody has it any more. Returns whether it was there; a gap that has
    /// grown meanwhile is another one and stays open.
    ///
    /// # Errors
    /// [`WriteError`]; the gap is still open.
    pub fn gap_closed(&self, gap: &Gap) -> Result<bool, WriteError> {
        let _writer = self.writer();
        if !self.shared().state.gaps.contains(gap) {
            return Ok(false);
        }
        self.change_state(|state| state.gaps.retain(|open| open != gap))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gap(start: u64, end: u64) -> Gap {
        Gap { entries: start..end, from: Timestamp::from_ms(start as i64), upto: Timestamp::from_ms(end as i64) }
    }

    #[test]
    fn gaps_that_touch_become_one() {
        let mut gaps = Vec::new();
        for (start, end) in [(10, 20), (40, 50), (20, 30), (45, 60), (35, 38)] {
            add(&mut gaps, gap(start, end));
        }
        assert_eq!(gaps, [gap(10, 30), gap(35, 38), gap(40, 60)]);
    }

    proptest! {
        #[test]
        fn no_entry_of_a_gap_is_forgotten(noted in prop::collection::vec((0u64..5_000, 1u64..9), 1..200)) {
            let mut gaps = Vec::new();
            for (start, length) in &noted {
                add(&mut gaps, gap(*start, start + length));
            }
            prop_assert!(gaps.len() <= GAPS_MAX);
            prop_assert!(gaps.windows(2).all(|pair| pair[0].entries.end < pair[1].entries.start));
            for (start, length) in noted {
                let covering = gaps.iter().find(|gap| gap.entries.start <= start && start + length <= gap.entries.end);
                let covering = covering.expect("an entry was forgotten");
                prop_assert!(covering.concerns(Timestamp::from_ms(start as i64), Timestamp::from_ms((start + length) as i64)));
            }
        }
    }
}

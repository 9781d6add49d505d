//! Which details are kept: of each hour, check, location and class the first.
//!
//! What is kept follows from what there is and never from which came first, so
//! that nodes which hear of rounds in different orders show the same. A table
//! may hold more than is kept, because nothing is deleted in it row by row; the
//! surplus is left out when it is read. **The bound of bytes a day
//! ([`EVIDENCE_BYTES_PER_DAY_MAX`](crate::limits::EVIDENCE_BYTES_PER_DAY_MAX)) is the one
//! exception:** beyond it details are lost in the order they come, so details are
//! no part of what nodes compare.

use crate::codec::chunk::{outcome_from, outcome_number};
use crate::codec::column;
use crate::keys::{EvidenceClass, EvidenceKey};
use crate::limits::{EVIDENCE_PASSED_PER_HOUR, EVIDENCE_TROUBLE_PER_HOUR};
use model::observation::{Detail, Outcome};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Version of a stored detail.
const DETAIL_VERSION: u8 = 1;

/// Sealed details of a day.
pub(crate) type Details = BTreeMap<EvidenceKey, Vec<u8>>;

/// The class a round is limited in.
pub(crate) fn class_of(outcome: Outcome) -> EvidenceClass {
    match outcome {
        Outcome::Pass => EvidenceClass::Passed,
        Outcome::Degraded | Outcome::Fail | Outcome::Own => EvidenceClass::Trouble,
    }
}

/// How many details of one class are kept for a series in an hour.
pub(crate) fn per_hour(class: EvidenceClass) -> usize {
    match class {
        EvidenceClass::Passed => EVIDENCE_PASSED_PER_HOUR,
        EvidenceClass::Trouble => EVIDENCE_TROUBLE_PER_HOUR,
    }
}

/// Whether a detail would be among those that are kept.
pub(crate) fn is_wanted(details: &Details, key: &EvidenceKey) -> bool {
    details.range(key.first_of_group()..*key).count() < per_hour(key.class)
}

/// Adds a sealed detail, which may push out a later one.
pub(crate) fn keep(details: &mut Details, key: EvidenceKey, sealed: Vec<u8>) {
    match details.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(sealed);
        }
        Entry::Occupied(mut there) => {
            if body(&sealed) > body(there.get()) {
                there.insert(sealed);
            }
        }
    }
    let mut surplus = details.range(key.first_of_group()..=key.last_of_group()).skip(per_hour(key.class));
    if let Some((&last, _)) = surplus.next() {
        details.remove(&last);
    }
}

/// What two details of the same round are compared by, of which the greater is
/// kept. The checksum is left out, it depends on the location's number here.
pub(crate) fn body(sealed: &[u8]) -> &[u8] {
    sealed.split_last_chunk::<{ column::CHECKSUM_BYTES }>().map_or(&[], |(body, _)| body)
}

/// The stored form of a detail, still without its checksum.
pub(crate) fn encode(outcome: Outcome, detail: &Detail) -> Vec<u8> {
    let head = vec![DETAIL_VERSION, outcome_number(outcome)];
    postcard::to_extend(detail, head).expect("own types always encode")
}

/// Reads what [`encode`] made.
pub(crate) fn decode(body: &[u8]) -> Option<(Outcome, Detail)> {
    let [DETAIL_VERSION, outcome, rest @ ..] = body else { return None };
    Some((outcome_from(u64::from(*outcome))?, postcard::from_bytes(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SeriesKey;
    use model::id::CheckSlot;
    use model::time::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_does_not_depend_on_the_order(
            rounds in prop::collection::vec((0i64..20, any::<bool>(), any::<u8>()), 0..30),
            seed in any::<u64>(),
        ) {
            let kept = |rounds: &[(i64, bool, u8)]| {
                let mut details = Details::new();
                for (minute, passed, text) in rounds {
                    let class = class_of(if *passed { Outcome::Pass } else { Outcome::Fail });
                    let at = Timestamp::from_ms(minute * 400_000);
                    let key = EvidenceKey::new(SeriesKey::new(CheckSlot(1), 0), at, class);
                    if is_wanted(&details, &key) {
                        keep(&mut details, key, column::seal(vec![*text], &[]));
                    }
                }
                details
            };
            let mut shuffled = rounds.clone();
            shuffled.sort_by_key(|(minute, _, text)| seed.wrapping_mul(2 * u64::from(*text) + 1 + *minute as u64));
            prop_assert_eq!(kept(&rounds), kept(&shuffled));
        }
    }
}

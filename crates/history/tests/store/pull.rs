//! What a node does to complete its history from another one.

use crate::common::{START, end};
use history::Store;
use history::exchange::{Kind, Unit, differing};
use model::time::Timestamp;

const KINDS: [Kind; 3] = [Kind::Results, Kind::FiveMinutes, Kind::Days];

/// What came of pulling.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    pub(crate) units: u64,
    pub(crate) new: u64,
    pub(crate) known: u64,
    pub(crate) expired: u64,
    pub(crate) largest: usize,
}

/// Pulls everything that differs, of every kind, whole spans.
pub(crate) fn pull_all(from: &Store, into: &Store) -> Pulled {
    let mut sum = Pulled::default();
    for kind in KINDS {
        let pulled = pull(from, into, kind, START, end(), usize::MAX);
        sum.units += pulled.units;
        sum.new += pulled.new;
        sum.known += pulled.known;
    }
    sum
}

/// Pulls what differs between two instants.
pub(crate) fn pull(
    from: &Store,
    into: &Store,
    kind: Kind,
    since: Timestamp,
    upto: Timestamp,
    bytes_max: usize,
) -> Pulled {
    let ours = into.digests(kind, since, upto).unwrap();
    let theirs = from.digests(kind, since, upto).unwrap();
    let mut sum = Pulled::default();
    for unit in differing(&ours, &theirs) {
        let pulled = pull_unit(from, into, unit, bytes_max);
        sum.units += pulled.units;
        sum.new += pulled.new;
        sum.known += pulled.known;
        sum.expired += pulled.expired;
        sum.largest = sum.largest.max(pulled.largest);
    }
    sum
}

/// Pulls a unit, in parts of a size.
pub(crate) fn pull_unit(from: &Store, into: &Store, unit: Unit, bytes_max: usize) -> Pulled {
    let mut sum = Pulled::default();
    let mut cursor = None;
    loop {
        let exported = from.export(&unit, bytes_max, cursor.as_ref()).unwrap();
        let imported = into.import(&exported.bytes).unwrap();
        assert_eq!((imported.unit, imported.watermark), (unit, from.watermark()));
        sum.units += 1;
        sum.new += imported.items_new;
        sum.known += imported.items_known;
        sum.expired += u64::from(imported.is_expired);
        sum.largest = sum.largest.max(exported.bytes.len());
        match exported.next {
            Some(next) => cursor = Some(next),
            None => return sum,
        }
    }
}

/// All that can be compared is equal, and the same waits for its roll-ups.
pub(crate) fn assert_digests_equal(one: &Store, other: &Store) {
    for kind in KINDS {
        let [ours, theirs] = [one, other].map(|store| store.digests(kind, START, end()).unwrap());
        for digest in ours.iter().chain(&theirs) {
            let counterparts = [&ours, &theirs].map(|digests| digests.contains(digest));
            assert_eq!(counterparts, [true, true], "{digest:?}");
        }
        assert_eq!((differing(&ours, &theirs), differing(&theirs, &ours)), (vec![], vec![]));
    }
}

/// Whether upkeep has left nothing to do in a store.
pub(crate) fn is_at_rest(store: &Store) -> bool {
    let rollups = store.digests(Kind::FiveMinutes, START, end()).unwrap();
    !store.bytes_by_kind().contains_key("head") && !rollups.iter().any(|digest| digest.is_pending)
}

//! What a store lacks is written down before anything goes on above it.

use crate::common::{all, at, directory, end, location, open, pass, put};
use crate::pull::pull_all;
use history::Gap;
use model::observation::Observation;
use std::ops::Range;

fn entry(index: u64) -> Vec<Observation> {
    vec![pass(1, at(index * 60), index as u32)]
}

#[test]
fn a_gap_is_on_disk_before_later_entries_are_applied() {
    let directory = directory();
    let gap = Gap { entries: 4..9, from: at(0), upto: at(600) };
    {
        let store = open(directory.path());
        for index in 1..=3 {
            put(&store, index, &location("paris"), &entry(index)).unwrap();
        }
        store.note_gap(gap.entries.clone(), gap.from, gap.upto).unwrap();
        assert_eq!((store.watermark(), store.gaps()), (8, vec![gap.clone()]));
        assert!(put(&store, 8, &location("paris"), &entry(8)).unwrap().is_repeated, "it is in the gap");
        put(&store, 9, &location("paris"), &entry(9)).unwrap();
    }
    // As after a crash: entry 9 was in memory alone and comes again.
    let store = open(directory.path());
    assert_eq!((store.watermark(), store.gaps()), (8, vec![gap.clone()]));
    assert_eq!(all(&store, 1).len(), 3);
    put(&store, 9, &location("paris"), &entry(9)).unwrap();
    store.note_gap(gap.entries.clone(), gap.from, gap.upto).unwrap();
    assert_eq!((store.watermark(), store.gaps()), (9, vec![gap]), "noted twice is noted once");
}

#[test]
fn a_gap_stays_until_it_is_closed_as_it_is() {
    let directory = directory();
    let store = open(directory.path());
    let note = |entries: Range<u64>, from, upto| store.note_gap(entries, at(from), at(upto)).unwrap();
    note(5..9, 100, 200);
    let before = store.gaps();
    note(7..12, 150, 300);
    let [grown] = &store.gaps()[..] else { panic!("two gaps that touch are one") };
    assert_eq!(*grown, Gap { entries: 5..12, from: at(100), upto: at(300) });
    assert!(!store.gap_closed(&before[0]).unwrap(), "it has grown meanwhile");
    note(20..20, 0, 1);
    note(30..31, 0, 1);
    assert_eq!(store.gaps().len(), 2, "an empty range is no gap");
    assert!(store.gap_closed(grown).unwrap());
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.gaps(), [Gap { entries: 30..31, from: at(0), upto: at(1) }]);
    assert_eq!(store.watermark(), 30);
}

#[test]
fn a_node_that_began_with_a_snapshot_completes_its_history() {
    let (one, other) = (directory(), directory());
    let (whole, late) = (open(one.path()), open(other.path()));
    for index in 1..=500 {
        put(&whole, index, &location("paris"), &entry(index)).unwrap();
    }
    // A snapshot of entry 400, and the entries behind it.
    late.note_gap(1..401, at(0), at(401 * 60)).unwrap();
    for index in 401..=500 {
        put(&late, index, &location("paris"), &entry(index)).unwrap();
    }
    assert_eq!(all(&late, 1).len(), 100);
    let pulled = pull_all(&whole, &late);
    assert_eq!(pulled.new, 400);
    assert!(late.gap_closed(&late.gaps()[0]).unwrap());
    drop(late);
    let late = open(other.path());
    for index in 401..=500 {
        put(&late, index, &location("paris"), &entry(index)).unwrap();
    }
    assert_eq!(all(&whole, 1), all(&late, 1));
    assert_eq!(
        (late.gaps(), late.range(model::id::CheckSlot(1), at(0), end(), 999).unwrap().items.len()),
        (vec![], 500)
    );
}

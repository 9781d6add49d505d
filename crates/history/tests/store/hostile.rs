//! Units that no store has made: refused, or taken as far as they are true. No
//! panic, no memory without bound, and what is here stays as it is.

use crate::common::{DAY, START, all, at, directory, end, location, observation, open, pass, put, settle};
use crate::pull::{assert_digests_equal, pull, pull_all, pull_unit};
use history::exchange::{Cursor, ExportError, ImportError, Kind, Span, Unit};
use history::limits::UNIT_BYTES_READ_MAX;
use history::{Resolution, Store};
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::time::Timestamp;
use proptest::prelude::*;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const SLOTS: u32 = 6;
const CHECKSUM_BYTES: usize = 8;

/// A day of results with details, sealed and rolled up.
fn filled(store: &Store) {
    let detail = Detail {
        failure: Some(Failure { cause: Cause::Status, sentence: "expected 200, got 503".to_owned() }),
        ..Detail::default()
    };
    for hour in 0..24 {
        let result = |minute: u64, slot: u32| {
            let failed = (minute + u64::from(slot)).is_multiple_of(17);
            Observation {
                detail: failed.then(|| Box::new(detail.clone())),
                outcome: if failed { Outcome::Fail } else { Outcome::Pass },
                ..pass(slot, at(hour * 3_600 + minute * 60), (minute * 977 + u64::from(slot)) as u32)
            }
        };
        let results: Vec<_> = (0..60).flat_map(|minute| (0..SLOTS).map(move |slot| result(minute, slot))).collect();
        put(store, hour + 1, &location("paris"), &results).unwrap();
    }
    settle(store, at(2 * 86_400));
}

fn unit_of(kind: Kind) -> Unit {
    Unit::whole(Span::of(kind, at(0)))
}

fn exported(store: &Store, kind: Kind) -> Vec<u8> {
    let exported = store.export(&unit_of(kind), usize::MAX, None).unwrap();
    assert!(exported.next.is_none() && exported.bytes.len() > 100);
    exported.bytes
}

/// Gives bytes the checksum that fits them.
fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &xxh3_64(content).to_le_bytes()].concat()
}

/// Asks a store everything; the answers must at least not contradict each other.
fn ask_everything(store: &Store) {
    for slot in 0..SLOTS {
        let samples = all(store, slot);
        assert!(samples.is_sorted_by(|a, b| (a.scheduled, &a.location) < (b.scheduled, &b.location)), "a round twice");
        store.details(CheckSlot(slot), START, end(), 1_000).unwrap();
        for resolution in [Resolution::FiveMinutes, Resolution::Day] {
            history::merged(&store.rollups(CheckSlot(slot), resolution, START, end()).unwrap().items);
        }
    }
    for kind in [Kind::Results, Kind::FiveMinutes, Kind::Days] {
        store.digests(kind, START, end()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn changed_units_are_refused_or_taken_without_harm(
        kind in prop::sample::select(vec![Kind::Results, Kind::FiveMinutes, Kind::Days]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5),
    ) {
        thread_local! {
            static SOURCE: (tempfile::TempDir, Store, [Vec<u8>; 3]) = {
                let directory = directory();
                let store = open(directory.path());
                filled(&store);
                let units = [Kind::Results, Kind::FiveMinutes, Kind::Days].map(|kind| exported(&store, kind));
                (directory, store, units)
            };
        }
        let bytes = SOURCE.with(|(_, _, units)| units[kind as usize].clone());
        let mut content = bytes[..bytes.len() - CHECKSUM_BYTES].to_vec();
        for (position, byte, how) in changes {
            let index = position.index(content.len());
            match how {
                0 => content[index] = byte,
                1 => content[index] ^= 1 << (byte % 8),
                2 => content.insert(index, byte),
                _ => content.truncate(index.max(5)),
            }
        }
        // Without the checksum that fits it is never even looked at.
        let directory = directory();
        let store = open(directory.path());
        if content != bytes[..bytes.len() - CHECKSUM_BYTES] {
            let damaged = [content.as_slice(), &bytes[bytes.len() - CHECKSUM_BYTES..]].concat();
            prop_assert!(store.import(&damaged).is_err());
        }
        match store.import(&with_checksum(&content)) {
            Ok(_) => {}
            Err(ImportError::Malformed | ImportError::Foreign | ImportError::Version { .. }) => {
                prop_assert!(store.bytes_by_kind().is_empty(), "something was written");
            }
            Err(other) => panic!("{other:?}"),
        }
        ask_everything(&store);
        settle(&store, at(3 * 86_400));
        settle(&store, at(4 * 86_400));
        ask_everything(&store);
    }

    #[test]
    fn no_bytes_are_more_than_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), has_head in any::<bool>()) {
        let directory = directory();
        let store = open(directory.path());
        let content = if has_head { [b"MSHU\x01".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(store.import(&content).is_err());
        if let Ok(imported) = store.import(&with_checksum(&content)) {
            prop_assert_eq!((imported.items_new, imported.items_known), (0, 0), "a unit with nothing in it");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    filled(&from);
    let bytes = exported(&from, Kind::Results);
    for position in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[position] ^= 1 << (position % 8);
        let error = into.import(&changed).unwrap_err();
        let is_said = match position {
            0..4 => matches!(error, ImportError::Foreign),
            4 => matches!(error, ImportError::Version { .. }),
            _ => matches!(error, ImportError::Damaged),
        };
        assert!(is_said, "{position}: {error:?}");
    }
    assert!(into.bytes_by_kind().is_empty());
    assert!(matches!(into.import(&vec![0; UNIT_BYTES_READ_MAX + 1]), Err(ImportError::TooLarge { .. })));
}

/// A unit of results made by hand: its head, one location, and records.
fn made_up(records: &[u8]) -> Vec<u8> {
    let mut bytes = b"MSHU\x01\x00\x00\xff\x01".to_vec();
    put_number(&mut bytes, (DAY * 12) as u64);
    put_number(&mut bytes, 1);
    bytes.extend(b"\x01\x05paris");
    bytes.extend(records);
    with_checksum(&bytes)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A record that says so many results, all alike, in a few bytes.
fn bomb(slot: u32, results: u64) -> Vec<u8> {
    let mut body = vec![1];
    put_number(&mut body, results);
    put_number(&mut body, 0);
    for (value, count) in [(1, results - 1), (0, results)] {
        body.push(1);
        put_number(&mut body, value);
        put_number(&mut body, count);
    }
    // The column of latencies is missing, which is found only after the rest was unpacked.
    let mut record = vec![1];
    put_number(&mut record, u64::from(slot));
    record.push(0);
    put_number(&mut record, body.len() as u64);
    [record, body].concat()
}

#[test]
fn results_that_only_claim_to_be_many_cost_neither_memory_nor_time() {
    let directory = directory();
    let store = open(directory.path());
    let records: Vec<u8> = (0..60_000).flat_map(|slot| bomb(slot, 7_000_000)).collect();
    let began = Instant::now();
    assert!(matches!(store.import(&made_up(&records)), Err(ImportError::Malformed)));
    let many: Vec<u8> = (0..60_000).flat_map(|slot| bomb(slot, 65_536)).collect();
    assert!(matches!(store.import(&made_up(&many)), Err(ImportError::Malformed)));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let empty = store.import(&made_up(&[])).unwrap();
    assert_eq!((empty.items_new, empty.items_known, empty.watermark), (0, 0, 1));
}

#[test]
fn a_unit_is_held_to_what_it_says_it_is() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    filled(&from);
    let bytes = exported(&from, Kind::Results);
    let content = &bytes[..bytes.len() - CHECKSUM_BYTES];
    let changed = |position: usize, byte: u8| {
        let mut content = content.to_vec();
        content[position] = byte;
        into.import(&with_checksum(&content))
    };
    assert_eq!(changed(7, 0xff).unwrap().items_new, u64::from(SLOTS) * 120);
    for (position, byte, what) in [
        (5, 1, "roll-ups that are results"),
        (5, 3, "a kind that is none"),
        (6, 3, "shards that it does not hold"),
        (7, 4, "shards that it does not hold"),
        (8, 3, "a flag that is none"),
    ] {
        assert!(matches!(changed(position, byte), Err(ImportError::Malformed)), "{what}");
    }
}

#[test]
fn a_span_without_end_is_no_span() {
    let directory = directory();
    let store = open(directory.path());
    let far = |number: &str| -> Span {
        // As it would come from a peer: through its serialised form.
        let mut bytes = postcard::to_allocvec(&Span::of(Kind::Results, at(0))).unwrap();
        bytes.truncate(1);
        put_zigzag(&mut bytes, number.parse().unwrap());
        postcard::from_bytes(&bytes).unwrap()
    };
    for number in [i64::MAX, i64::MIN, -1, 1_388_889_000] {
        let span = far(&number.to_string());
        assert!(matches!(store.export(&Unit::whole(span), 0, None), Err(ExportError::NoSuchUnit)), "{number}");
    }
    let backwards = Unit { first_shard: 5, last_shard: 4, ..unit_of(Kind::Results) };
    assert!(matches!(store.export(&backwards, 0, None), Err(ExportError::NoSuchUnit)));
    assert!(store.digests(Kind::Days, Timestamp::from_ms(i64::MIN), Timestamp::from_ms(i64::MAX)).unwrap().is_empty());
}

fn put_zigzag(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

#[test]
fn any_cursor_names_a_place() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    filled(&from);
    for shard in [0, 3, 5, 255] {
        for is_past_details in [false, true] {
            for key in [vec![], vec![0], vec![0xff; 3], vec![0xff; 6], vec![3, 0, 0, 0, 0, 0, 0xff, 0xff], vec![0; 90]]
            {
                for kind in [Kind::Results, Kind::FiveMinutes, Kind::Days] {
                    let bytes = postcard::to_allocvec(&(shard as u8, is_past_details, &key)).unwrap();
                    let cursor: Cursor = postcard::from_bytes(&bytes).unwrap();
                    let exported = from.export(&unit_of(kind), usize::MAX, Some(&cursor)).unwrap();
                    into.import(&exported.bytes).unwrap();
                }
            }
        }
    }
    pull_all(&from, &into);
    ask_everything(&into);
    assert_eq!(all(&from, 2), all(&into, 2));
}

/// Replaces the stored chunk of slot 0's first window by something else.
fn damage(directory: &std::path::Path) {
    let db = fjall::Database::builder(directory.join("tables")).open().unwrap();
    let raw = db.list_keyspace_names().into_iter().find(|name| name.starts_with("raw.")).unwrap();
    let raw = db.keyspace(&raw, fjall::KeyspaceCreateOptions::default).unwrap();
    let (key, _) = raw.iter().next().unwrap().into_inner().unwrap();
    raw.insert(key, b"no chunk at all").unwrap();
}

#[test]
fn damage_here_is_healed_by_a_peer() {
    let (one, other) = (directory(), directory());
    let (whole, into) = (open(one.path()), open(other.path()));
    filled(&whole);
    filled(&into);
    drop(into);
    damage(other.path());
    let into = open(other.path());
    assert!(into.digests(Kind::Results, START, end()).unwrap().iter().any(|digest| digest.is_damaged));
    // Something late comes into the damaged chunk, which then says that it is not whole.
    for store in [&into, &whole] {
        put(store, 99, &location("paris"), &[observation(0, at(61), Outcome::Own, 0)]).unwrap();
        store.flush().unwrap();
        settle(store, at(3 * 86_400));
        settle(store, at(4 * 86_400));
    }
    let read = into.range(CheckSlot(0), at(0), at(7_200), usize::MAX).unwrap();
    assert_eq!((read.items.len(), read.damaged.len()), (1, 1));
    assert_eq!(pull(&whole, &into, Kind::Results, START, end(), usize::MAX).new, 120);
    settle(&into, at(5 * 86_400));
    settle(&into, at(6 * 86_400));
    assert_digests_equal(&whole, &into);
    assert_eq!(all(&into, 0).len(), 1_441, "and nothing is damaged");
    let days = into.rollups(CheckSlot(0), Resolution::Day, START, end()).unwrap();
    assert_eq!((days.items[0].totals.rounds(), days.items[0].totals.is_partial), (1_441, false));
}

#[test]
fn what_a_peer_lacks_itself_heals_no_damage() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    filled(&from);
    filled(&into);
    drop(into);
    damage(other.path());
    let into = open(other.path());
    from.note_gap(500..600, at(0), at(10)).unwrap();
    assert_eq!(pull_unit(&from, &into, unit_of(Kind::Results), usize::MAX).new, 120);
    let damaged = || into.range(CheckSlot(0), at(0), at(7_200), usize::MAX).unwrap().damaged.len();
    assert_eq!(damaged(), 1, "what was there may have been more");
    assert!(from.gap_closed(&from.gaps()[0]).unwrap());
    assert_eq!(pull_unit(&from, &into, unit_of(Kind::Results), usize::MAX).new, 0);
    assert_eq!(damaged(), 0);
}

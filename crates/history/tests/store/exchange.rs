//! Two nodes that missed different things end with the same history.

use crate::common::{START, all, at, directory, end, exact, location, observation, open, pass, put, settle};
use crate::pull::{assert_digests_equal, is_at_rest, pull, pull_all, pull_unit};
use history::exchange::{Digest, Kind, Span, Unit, differing};
use history::limits::UNIT_BYTES_MAX;
use history::{Budget, Options, Resolution, Store};
use model::id::CheckSlot;
use model::observation::{Cause, Detail, Failure, Observation, Outcome};
use model::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const LOCATIONS: [&str; 3] = ["paris", "london", "aachen"];
/// The first two share a shard.
const SLOTS: [u32; 4] = [3, 259, 7, 200];

#[derive(Debug, Clone)]
enum Step {
    /// An entry of the log; a node may miss it.
    Apply {
        location: usize,
        results: Vec<(usize, u32, Outcome, u32)>,
        missed_by: Option<usize>,
    },
    Maintain {
        node: usize,
        minutes: u64,
        results: u32,
    },
    Reopen {
        node: usize,
    },
    /// A unit, from one to the other.
    Pull {
        into: usize,
        window: u64,
        shards: (u8, u8),
        bytes_max: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome =
        prop::sample::select(vec![Outcome::Pass, Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own]);
    // A day and a quarter in no order, so that most results are late; few
    // minutes and latencies, so that a round often comes twice.
    let result = (0..SLOTS.len(), 0u32..1_800, outcome, 0u32..300);
    let results = prop::collection::vec(result, 0..60);
    let apply = (0..LOCATIONS.len(), results, prop::option::of(0..2usize))
        .prop_map(|(location, results, missed_by)| Step::Apply { location, results, missed_by });
    let maintain =
        (0..2usize, 0u64..40, 1u32..200).prop_map(|(node, minutes, results)| Step::Maintain { node, minutes, results });
    let shards = prop_oneof![Just((0, u8::MAX)), Just((3, 3)), Just((4, u8::MAX))];
    let pull = (0..2usize, 0u64..15, shards, 0usize..20_000).prop_map(|(into, window, shards, bytes_max)| Step::Pull {
        into,
        window,
        shards,
        bytes_max,
    });
    let reopen = (0..2usize).prop_map(|node| Step::Reopen { node });
    prop::collection::vec(prop_oneof![6 => apply, 4 => maintain, 1 => reopen, 3 => pull], 1..30)
}

struct Node {
    directory: tempfile::TempDir,
    store: Option<Store>,
}

impl Node {
    fn new() -> Self {
        let directory = directory();
        let store = Some(open(directory.path()));
        Self { directory, store }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }
}

/// Runs the steps; returns the two nodes, a third that saw everything in order,
/// and the time it has become.
fn run(steps: Vec<Step>) -> ([Node; 2], Node, Timestamp) {
    let mut nodes = [Node::new(), Node::new()];
    let whole = Node::new();
    let mut now = at(2 * 86_400);
    let mut index = 0;
    for step in steps {
        match step {
            Step::Apply { location: number, results, missed_by } => {
                index += 1;
                let results = observations(&results);
                put(whole.store(), index, &location(LOCATIONS[number]), &results).unwrap();
                for (_, node) in nodes.iter().enumerate().filter(|(node, _)| missed_by != Some(*node)) {
                    put(node.store(), index, &location(LOCATIONS[number]), &results).unwrap();
                }
            }
            Step::Maintain { node, minutes, results } => {
                now = now.plus(Duration::from_secs(minutes * 60));
                nodes[node].store().maintain(now, Budget { results }).unwrap();
            }
            Step::Reopen { node } => {
                nodes[node].store().flush().unwrap();
                nodes[node].store = None;
                nodes[node].store = Some(open(nodes[node].directory.path()));
            }
            Step::Pull { into, window, shards: (first_shard, last_shard), bytes_max } => {
                let span = Span::of(Kind::Results, at(window * 7_200));
                pull_unit(
                    nodes[1 - into].store(),
                    nodes[into].store(),
                    Unit { span, first_shard, last_shard },
                    bytes_max,
                );
            }
        }
    }
    (nodes, whole, now)
}

/// Every fourth minute has details. There, whoever reports a round saw the same:
/// which reports a node missed is told by results alone.
fn observations(results: &[(usize, u32, Outcome, u32)]) -> Vec<Observation> {
    let observed = |(slot, minute, outcome, latency): &(usize, u32, Outcome, u32)| {
        let scheduled = at(u64::from(*minute) * 60);
        if !minute.is_multiple_of(4) {
            return observation(SLOTS[*slot], scheduled, *outcome, *latency);
        }
        let outcome = if minute.is_multiple_of(8) { Outcome::Pass } else { Outcome::Fail };
        let sentence = format!("{slot} {minute}");
        let detail = Detail { failure: Some(Failure { cause: Cause::Status, sentence }), ..Detail::default() };
        Observation { detail: Some(Box::new(detail)), ..observation(SLOTS[*slot], scheduled, outcome, *latency) }
    };
    results.iter().map(observed).collect()
}

/// Writes what is in memory and lets time pass until upkeep has nothing left to do.
fn finish(store: &Store, now: Timestamp) {
    store.flush().unwrap();
    for hours in 1..=3 {
        settle(store, now.plus(Duration::from_secs(hours * 3_600)));
    }
}

/// A number that does not compress.
fn noise(n: u32) -> u32 {
    let mixed = (n ^ (n >> 16)).wrapping_mul(0x45d9_f3b3);
    (mixed ^ (mixed >> 16)).wrapping_mul(0x45d9_f3b3) >> 8
}

/// Everything that two stores can be asked is answered the same.
fn assert_equal(one: &Store, other: &Store) {
    assert_digests_equal(one, other);
    for slot in SLOTS {
        assert_eq!(all(one, slot), all(other, slot));
        for resolution in [Resolution::FiveMinutes, Resolution::Day] {
            let [ours, theirs] =
                [one, other].map(|store| store.rollups(CheckSlot(slot), resolution, START, end()).unwrap());
            assert_eq!(ours, theirs);
        }
        let [ours, theirs] =
            [one, other].map(|store| store.details(CheckSlot(slot), START, end(), usize::MAX).unwrap());
        assert_eq!(ours, theirs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn nodes_that_missed_different_batches_end_equal(steps in steps()) {
        let (nodes, whole, now) = run(steps);
        let [one, other] = [&nodes[0], &nodes[1]].map(Node::store);
        for _ in 0..2 {
            pull_all(whole.store(), one);
            pull_all(one, other);
        }
        [one, other, whole.store()].iter().for_each(|store| finish(store, now));
        assert_equal(one, other);
        assert_equal(one, whole.store());
        prop_assert!(is_at_rest(one) && is_at_rest(other), "everything is sealed and rolled up");
    }
}

#[test]
fn a_digest_does_not_depend_on_where_results_lie() {
    let directory = directory();
    let store = open(directory.path());
    let results: Vec<Observation> = (0..240).map(|minute| pass(1, at(minute * 60), minute as u32)).collect();
    let mut seen: Vec<Vec<Digest>> = Vec::new();
    put(&store, 1, &location("paris"), &results).unwrap();
    seen.push(store.digests(Kind::Results, START, end()).unwrap());
    store.flush().unwrap();
    seen.push(store.digests(Kind::Results, START, end()).unwrap());
    settle(&store, at(7_200 + 700));
    seen.push(store.digests(Kind::Results, START, end()).unwrap());
    settle(&store, at(2 * 86_400));
    // Twice, because the second comes from memory.
    seen.push(store.digests(Kind::Results, START, end()).unwrap());
    seen.push(store.digests(Kind::Results, START, end()).unwrap());
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let [first, second] = &seen[0][..] else { panic!("two windows of one shard") };
    assert_eq!((first.shard, first.items, second.items), (1, 120, 120));
    assert_ne!(first.checksum, second.checksum);
    put(&store, 2, &location("paris"), &[pass(1, at(30), 1)]).unwrap();
    let after = store.digests(Kind::Results, START, end()).unwrap();
    assert_eq!((after[0].items, after[1]), (121, *second), "what comes late is noticed");
}

#[test]
fn only_whole_spans_between_the_instants_are_compared() {
    let directory = directory();
    let store = open(directory.path());
    let results: Vec<Observation> = (0..5).map(|window| pass(1, at(window * 7_200), 5)).collect();
    put(&store, 1, &location("paris"), &results).unwrap();
    let spans = |from, upto| -> Vec<Timestamp> {
        store.digests(Kind::Results, from, upto).unwrap().iter().map(|digest| digest.span.from()).collect()
    };
    assert_eq!(spans(at(1), at(3 * 7_200 + 1)), [at(7_200), at(2 * 7_200)]);
    assert_eq!(spans(at(7_200), at(7_200)), []);
    assert_eq!(spans(end(), START), []);
}

#[test]
fn what_differs_is_asked_for_in_runs_of_neighbouring_shards() {
    let span = Span::of(Kind::Results, at(0));
    let digest =
        |span, shard, checksum| Digest { span, shard, items: 1, checksum, is_damaged: false, is_pending: false };
    let unit = |span, first_shard, last_shard| Unit { span, first_shard, last_shard };
    let ours = [digest(span, 4, 1), digest(span, 9, 7), digest(span, 30, 1)];
    let theirs = [
        digest(span, 1, 1),
        digest(span, 4, 2),
        digest(span, 9, 7),
        digest(span, 12, 1),
        digest(span, 255, 1),
        digest(span.next(), 0, 1),
        Digest { is_pending: true, ..digest(span.next(), 3, 1) },
    ];
    // Shard 9 is equal and shard 30 is only here; between others lies nothing.
    let expected = [unit(span, 1, 4), unit(span, 12, 12), unit(span, 255, 255), unit(span.next(), 0, 0)];
    assert_eq!(differing(&ours, &theirs), expected);
    assert_eq!(differing(&theirs, &theirs), []);
}

#[test]
fn a_unit_stays_below_its_size_and_brings_everything_in_parts() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    let results: Vec<Observation> =
        (0..60_000u32).map(|n| pass(n % 500, at(u64::from(n / 500) * 60), noise(n))).collect();
    put(&from, 1, &location("paris"), &results).unwrap();
    settle(&from, at(86_400));
    let unit = Unit::whole(Span::of(Kind::Results, at(0)));
    let pulled = pull_unit(&from, &into, unit, 20_000);
    assert_eq!((pulled.new, pulled.known), (60_000, 0));
    assert!(pulled.units > 5 && pulled.largest <= 20_000, "{pulled:?}");
    let again = pull_unit(&from, &into, unit, usize::MAX);
    assert_eq!((again.new, again.known, again.units), (0, 60_000, 1));
    assert!(again.largest <= UNIT_BYTES_MAX);
    for slot in 0..500 {
        assert_eq!(all(&from, slot), all(&into, slot));
    }
}

#[test]
fn a_check_made_many_times_a_second_is_cut_into_records() {
    let (one, other) = (directory(), directory());
    let (from, into) = (open(one.path()), open(other.path()));
    let results: Vec<Observation> =
        (0..150_000u32).map(|n| pass(5, Timestamp::from_ms(at(0).as_ms() + i64::from(n) * 37), noise(n))).collect();
    for (index, batch) in (1..).zip(results.chunks(50_000)) {
        put(&from, index, &location("paris"), batch).unwrap();
    }
    settle(&from, at(86_400));
    let pulled = pull_unit(&from, &into, Unit::whole(Span::of(Kind::Results, at(0))), 0);
    assert_eq!((pulled.new, pulled.units), (150_000, 3));
    assert!(pulled.largest < 1 << 20, "{pulled:?}");
    assert_eq!(all(&from, 5), all(&into, 5));
}

#[test]
fn late_batches_end_with_the_same_history_as_those_in_order() {
    let (one, other) = (directory(), directory());
    let (in_order, late) = (open(one.path()), open(other.path()));
    let entry = |minute: u64| -> Vec<Observation> {
        (0..20).map(|slot| pass(slot, at(minute * 60 + u64::from(slot)), (minute * 7) as u32 + slot)).collect()
    };
    let minutes = 26 * 60;
    for minute in 0..minutes {
        put(&in_order, minute + 1, &location("paris"), &entry(minute)).unwrap();
        if minute % 60 == 0 {
            settle(&in_order, at(minute * 60));
        }
    }
    // Every third minute comes a day and more later, after its day was rolled up, newest first.
    let (lates, on_time): (Vec<u64>, Vec<u64>) = (0..minutes).partition(|minute| minute % 3 == 0);
    for (index, minute) in (1..).zip(on_time.iter().chain(lates.iter().rev())) {
        put(&late, index, &location("paris"), &entry(*minute)).unwrap();
        if index % 60 == 0 {
            settle(&late, at(25 * 3_600 + index * 60));
        }
    }
    [&in_order, &late].iter().for_each(|store| finish(store, at(60 * 3_600)));
    assert_digests_equal(&in_order, &late);
    assert!(is_at_rest(&late));
    let rolled = in_order.digests(Kind::Days, START, end()).unwrap();
    assert_eq!(rolled.iter().map(|digest| digest.items).sum::<u64>(), 40, "one of each check and day");
}

#[test]
fn a_store_completed_by_a_peer_takes_no_more_room() {
    let (one, other) = (directory(), directory());
    let (whole, completed) = (open(one.path()), open(other.path()));
    let paris = location("paris");
    for minute in 0..24 * 60u64 {
        let entry: Vec<Observation> =
            (0..100).map(|slot| pass(slot, at(minute * 60), ((minute * 31 + u64::from(slot)) % 977) as u32)).collect();
        put(&whole, minute + 1, &paris, &entry).unwrap();
        // Ten hours are missing, and every fifth minute.
        if !(300..900).contains(&minute) && minute % 5 != 0 {
            put(&completed, minute + 1, &paris, &entry).unwrap();
        }
        if minute % 30 == 0 {
            settle(&whole, at(minute * 60));
            settle(&completed, at(minute * 60));
        }
    }
    pull_all(&whole, &completed);
    [&whole, &completed].iter().for_each(|store| finish(store, at(25 * 3_600)));
    assert_digests_equal(&whole, &completed);
    assert!(is_at_rest(&completed));
    let [ours, theirs] = [&completed, &whole].map(Store::bytes_by_kind);
    println!("completed {ours:?}, in order {theirs:?}");
    for kind in ["raw", "five", "days"] {
        assert!(ours[kind] * 10 <= theirs[kind] * 15, "{kind}: {} for {}", ours[kind], theirs[kind]);
    }
}

#[test]
fn roll_ups_whose_results_have_expired_come_from_a_peer() {
    let (one, other) = (directory(), directory());
    let options = Options { raw_days: 2, ..exact() };
    let from = Store::open(one.path(), options).unwrap();
    let into = Store::open(other.path(), options).unwrap();
    let day = |day: u64| -> Vec<Observation> {
        (0..1_440).map(|minute| pass(1, at(day * 86_400 + minute * 60), 9 + day as u32)).collect()
    };
    for number in 0..6 {
        put(&from, number + 1, &location("paris"), &day(number)).unwrap();
        settle(&from, at((number + 1) * 86_400 + 3_600));
    }
    // A node that came on the last day, and another location first.
    put(&into, 1, &location("aachen"), &[pass(2, at(5 * 86_400), 3)]).unwrap();
    put(&into, 6, &location("paris"), &day(5)).unwrap();
    settle(&into, at(6 * 86_400 + 3_600));
    let now = at(6 * 86_400 + 3_600);
    let kept = from.kept_from(now);
    assert_eq!(kept, at(4 * 86_400), "two days before today");
    for kind in [Kind::FiveMinutes, Kind::Days] {
        let pulled = pull(&from, &into, kind, START, kept, usize::MAX);
        // Of the month everything is sent, also what was not asked about.
        let expected = if kind == Kind::Days { (5, 1) } else { (4, 0) };
        assert_eq!((pulled.new, pulled.known), expected, "{kind:?}");
        assert_eq!(pull(&from, &into, kind, START, kept, usize::MAX).units, 0, "nothing differs any more");
    }
    for resolution in [Resolution::FiveMinutes, Resolution::Day] {
        let [ours, theirs] = [&from, &into].map(|store| store.rollups(CheckSlot(1), resolution, START, kept).unwrap());
        assert_eq!(ours, theirs);
        assert!(!ours.items.is_empty());
    }
    let old = Unit::whole(Span::of(Kind::Results, at(86_400)));
    let pulled = pull_unit(&from, &into, old, usize::MAX);
    assert_eq!((pulled.new, pulled.expired), (0, 1), "what nobody keeps is not taken");
}

#[test]
fn what_comes_while_a_day_is_rolled_up_again_is_in_its_roll_ups() {
    let (one, other) = (directory(), directory());
    let (whole, into) = (open(one.path()), open(other.path()));
    for minute in 0..1_440u64 {
        let results = [pass(0, at(minute * 60), minute as u32), pass(200, at(minute * 60), 7)];
        put(&whole, minute + 1, &location("paris"), &results).unwrap();
        if minute >= 720 {
            put(&into, minute + 1, &location("paris"), &results).unwrap();
        }
    }
    [&whole, &into].iter().for_each(|store| finish(store, at(86_400)));
    let window = |number: u64| Unit::whole(Span::of(Kind::Results, at(number * 7_200)));
    assert_eq!(pull_unit(&whole, &into, window(0), usize::MAX).new, 240);
    // No more came for ten minutes, so the day is rolled up again: the first check, and then it pauses.
    let noon = 2 * 86_400;
    into.maintain(at(noon), Budget::default()).unwrap();
    let report = into.maintain(at(noon + 700), Budget { results: 1 }).unwrap();
    assert_eq!((report.rollups, report.is_done), (1, false));
    for number in 1..6 {
        assert_eq!(pull_unit(&whole, &into, window(number), usize::MAX).new, 240);
    }
    finish(&into, at(noon + 700));
    assert_digests_equal(&whole, &into);
    assert!(is_at_rest(&into));
}

#[test]
fn a_roll_up_that_knows_more_is_not_replaced_by_one_that_knows_less() {
    let (one, other) = (directory(), directory());
    let whole = Store::open(one.path(), Options { raw_days: 1, ..exact() }).unwrap();
    let into = open(other.path());
    for minute in 0..4 * 1_440u64 {
        let results = [pass(1, at(minute * 60), minute as u32 % 700)];
        put(&whole, minute + 1, &location("paris"), &results).unwrap();
        if minute >= 720 {
            put(&into, minute + 1, &location("paris"), &results).unwrap();
        }
        if minute % 60 == 0 {
            settle(&whole, at(minute * 60));
        }
    }
    finish(&whole, at(4 * 86_400));
    assert!(whole.range(CheckSlot(1), at(0), at(86_400), 9).unwrap().items.is_empty(), "the results have expired");
    for kind in [Kind::FiveMinutes, Kind::Days] {
        pull_unit(&whole, &into, Unit::whole(Span::of(kind, at(0))), usize::MAX);
    }
    let rounds = || {
        let days = into.rollups(CheckSlot(1), Resolution::Day, at(0), at(86_400)).unwrap().items;
        let spans = into.rollups(CheckSlot(1), Resolution::FiveMinutes, at(0), at(86_400)).unwrap().items;
        (days[0].totals.rounds(), spans.iter().map(|span| span.totals.rounds()).sum::<u32>())
    };
    assert_eq!(rounds(), (720, 720), "what is not rolled up is answered from the results");
    finish(&into, at(4 * 86_400));
    assert_eq!(rounds(), (1_440, 1_440));
    put(&into, 9_000, &location("paris"), &[pass(1, at(80_000), 5)]).unwrap();
    finish(&into, at(5 * 86_400));
    assert_eq!(rounds(), (1_440, 1_441), "the span that was late is made from results, the day is not");
}

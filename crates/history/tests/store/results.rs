//! What is read is what was applied, wherever it lies meanwhile.

use crate::common::{DAY, START, all, at, directory, end, exact, location, observation, open, pass, put, settle};
use history::{Budget, LatencySummary, Resolution, Rollup, Store, Totals, merged};
use model::id::{CheckSlot, LocationId};
use model::observation::{Observation, Outcome};
use model::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const LOCATIONS: [&str; 2] = ["london", "paris"];
const SLOTS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Apply {
        location: usize,
        results: Vec<(u32, u32, Outcome, u32)>,
    },
    Flush,
    Maintain {
        minutes: u64,
        results: u32,
    },
    /// What a crash does: what was not flushed is applied again from the log.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome =
        prop::sample::select(vec![Outcome::Pass, Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own]);
    // A day and a quarter, so that windows and days end in the middle; whole
    // minutes, so that keys are sometimes the same.
    let result = (0..SLOTS, 0u32..1_800, outcome, 0u32..3_000_000);
    let results = prop::collection::vec(result, 0..60);
    let apply = (0..LOCATIONS.len(), results).prop_map(|(location, results)| Step::Apply { location, results });
    let maintain = (0u64..40, 1u32..200).prop_map(|(minutes, results)| Step::Maintain { minutes, results });
    let step = prop_oneof![6 => apply, 1 => Just(Step::Flush), 4 => maintain, 1 => Just(Step::Reopen)];
    prop::collection::vec(step, 1..25)
}

type Key = (CheckSlot, Timestamp, LocationId);
type Value = (Outcome, u32);
type Known = BTreeMap<Key, Value>;
type Entry<'a> = (&'a Key, &'a Value);

/// A store beside the plainest possible one, and the log that feeds both.
struct Pair {
    directory: tempfile::TempDir,
    store: Option<Store>,
    known: Known,
    log: Vec<(LocationId, Vec<Observation>)>,
    now: Timestamp,
}

impl Pair {
    fn new() -> Self {
        let directory = directory();
        let store = Some(open(directory.path()));
        let now = at(2 * 86_400);
        Self { directory, store, known: Known::new(), log: Vec::new(), now }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Apply { location: number, results } => {
                let place = location(LOCATIONS[number]);
                let results: Vec<Observation> = results
                    .into_iter()
                    .map(|(slot, minute, outcome, latency)| {
                        observation(slot, at(u64::from(minute) * 60), outcome, latency)
                    })
                    .collect();
                self.log.push((place.clone(), results.clone()));
                put(self.store(), self.log.len() as u64, &place, &results).unwrap();
                for result in results {
                    let value = (result.outcome, result.latency_us);
                    let there = self.known.entry((result.slot, result.scheduled, place.clone())).or_insert(value);
                    *there = kept(*there, value);
                }
            }
            Step::Flush => assert_eq!(self.store().flush().unwrap(), self.log.len() as u64),
            Step::Maintain { minutes, results } => {
                self.now = self.now.plus(Duration::from_secs(minutes * 60));
                self.store().maintain(self.now, Budget { results }).unwrap();
            }
            Step::Reopen => {
                self.store = None;
                self.store = Some(open(self.directory.path()));
                let watermark = self.store().watermark() as usize;
                for (index, (place, results)) in self.log.iter().enumerate().skip(watermark) {
                    put(self.store(), index as u64 + 1, place, results).unwrap();
                }
            }
        }
    }

    fn check(&self) {
        for slot in (0..SLOTS).map(CheckSlot) {
            let expected: Vec<_> = self.known.iter().filter(|((of, _, _), _)| *of == slot).collect();
            let found: Vec<_> = all(self.store(), slot.0);
            let found: Vec<_> =
                found.into_iter().map(|s| ((slot, s.scheduled, s.location), (s.outcome, s.latency_us))).collect();
            let by_key: Known = found.iter().cloned().collect();
            assert_eq!(by_key.len(), found.len(), "something is there twice");
            assert_eq!(by_key.iter().collect::<Vec<_>>(), expected);
            let latest = self.store().latest(slot).unwrap().items.pop().map(|sample| sample.scheduled);
            assert_eq!(latest, expected.last().map(|((_, scheduled, _), _)| *scheduled));
            for resolution in [Resolution::FiveMinutes, Resolution::Day] {
                let read = self.store().rollups(slot, resolution, START, end()).unwrap();
                assert_eq!(read.damaged, vec![]);
                assert_eq!(read.items, rolled_up(&expected, resolution), "{resolution:?}");
            }
        }
    }
}

/// The one of two results of the same round that is kept.
fn kept(one: Value, other: Value) -> Value {
    let order = [Outcome::Own, Outcome::Pass, Outcome::Degraded, Outcome::Fail];
    let rank = |(outcome, latency): &Value| (order.iter().position(|o| o == outcome), *latency);
    if rank(&other) > rank(&one) { other } else { one }
}

/// Roll-ups by the plainest method.
fn rolled_up(known: &[Entry<'_>], resolution: Resolution) -> Vec<Rollup> {
    let length = match resolution {
        Resolution::FiveMinutes => 300_000,
        Resolution::Day => 86_400_000,
    };
    let mut spans: BTreeMap<(i64, usize), Vec<(Outcome, u32)>> = BTreeMap::new();
    for ((_, scheduled, place), value) in known {
        let number = LOCATIONS.iter().position(|name| *name == place.as_str()).unwrap();
        spans.entry((scheduled.as_ms() / length, number)).or_default().push(**value);
    }
    spans
        .into_iter()
        .map(|((span, number), values)| Rollup {
            location: Some(location(LOCATIONS[number])),
            from: Timestamp::from_ms(span * length),
            to: Timestamp::from_ms((span + 1) * length),
            totals: totals(&values),
        })
        .collect()
}

fn totals(values: &[Value]) -> Totals {
    let count = |outcome| values.iter().filter(|(of, _)| *of == outcome).count() as u32;
    let good = |outcome: &Outcome| matches!(outcome, Outcome::Pass | Outcome::Degraded);
    let mut latencies: Vec<u64> = values.iter().filter(|(of, _)| good(of)).map(|(_, us)| u64::from(*us)).collect();
    latencies.sort_unstable();
    let rank = |share: f64| latencies[(latencies.len() as f64 * share).ceil() as usize - 1];
    let latency = (!latencies.is_empty()).then(|| LatencySummary {
        min_us: rounded(latencies[0]),
        mean_us: rounded(latencies.iter().sum::<u64>() / latencies.len() as u64),
        p50_us: rounded(rank(0.5)),
        p95_us: rounded(rank(0.95)),
        max_us: rounded(latencies[latencies.len() - 1]),
    });
    Totals {
        pass: count(Outcome::Pass),
        degraded: count(Outcome::Degraded),
        fail: count(Outcome::Fail),
        own: count(Outcome::Own),
        latency,
        is_partial: false,
    }
}

/// The middle of the latency's bucket: seven leading bits are kept.
fn rounded(latency_us: u64) -> u32 {
    let mut width = 1;
    while latency_us / width >= 128 {
        width *= 2;
    }
    (latency_us / width * width + width / 2) as u32
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_was_applied(steps in steps()) {
        let mut pair = Pair::new();
        for step in steps {
            pair.run(step);
        }
        pair.check();
        settle(pair.store(), pair.now.plus(Duration::from_secs(3_600)));
        settle(pair.store(), pair.now.plus(Duration::from_secs(7_200)));
        pair.check();
        prop_assert!(!pair.store().bytes_by_kind().contains_key("head"), "everything is sealed");
    }
}

#[test]
fn an_entry_that_comes_again_changes_nothing() {
    let directory = directory();
    let store = open(directory.path());
    let paris = location("paris");
    assert_eq!(put(&store, 5, &paris, &[pass(1, at(0), 10)]).unwrap().taken, 1);
    let again = put(&store, 5, &paris, &[pass(1, at(0), 99), pass(1, at(60), 99)]).unwrap();
    assert!(again.is_repeated);
    assert_eq!(all(&store, 1).len(), 1);
    assert_eq!(store.watermark(), 5);
}

#[test]
fn latencies_are_kept_to_one_percent_by_default() {
    let directory = directory();
    let store = Store::open(directory.path(), history::Options::default()).unwrap();
    let results: Vec<_> = (0..500).map(|i| pass(1, at(i * 60), 50 + (i as u32).pow(3))).collect();
    put(&store, 1, &location("paris"), &results).unwrap();
    let before = all(&store, 1);
    for (sample, result) in before.iter().zip(&results) {
        let off = f64::from(sample.latency_us.abs_diff(result.latency_us)) / f64::from(result.latency_us);
        assert!(off <= 0.008, "{} for {}", sample.latency_us, result.latency_us);
    }
    settle(&store, at(2 * 86_400));
    assert_eq!(all(&store, 1), before, "sealing changes no answer");
}

#[test]
fn a_range_is_cut_at_its_limit_and_says_so() {
    let directory = directory();
    let store = open(directory.path());
    let results: Vec<_> = (0..200).map(|i| pass(1, at(i * 60), 7)).collect();
    put(&store, 1, &location("paris"), &results).unwrap();
    let read = store.range(CheckSlot(1), at(60), at(180 * 60), 100).unwrap();
    assert_eq!((read.items.len(), read.is_cut), (100, true));
    assert_eq!((read.items[0].scheduled, read.items[99].scheduled), (at(60), at(100 * 60)));
    let read = store.range(CheckSlot(1), at(190 * 60), at(195 * 60), 5).unwrap();
    assert_eq!((read.items.len(), read.is_cut), (5, false));
    assert!(store.range(CheckSlot(1), at(60), at(60), 5).unwrap().items.is_empty());
    assert!(store.range(CheckSlot(2), START, end(), 5).unwrap().items.is_empty());
    assert!(store.latest(CheckSlot(2)).unwrap().items.is_empty());
}

#[test]
fn results_of_several_locations_become_one_line() {
    let directory = directory();
    let store = open(directory.path());
    put(&store, 1, &location("paris"), &[pass(1, at(0), 10), pass(1, at(60), 30)]).unwrap();
    put(&store, 2, &location("london"), &[observation(1, at(0), Outcome::Fail, 0), pass(1, at(60), 90)]).unwrap();
    let read = store.rollups(CheckSlot(1), Resolution::Day, START, end()).unwrap();
    assert_eq!(read.items.len(), 2);
    let [line] = &merged(&read.items)[..] else { panic!("not one line") };
    assert_eq!((line.from, line.totals.pass, line.totals.fail), (Timestamp::of_day(DAY), 3, 1));
    let latency = line.totals.latency.unwrap();
    assert_eq!((latency.min_us, latency.mean_us, latency.max_us), (10, 43, 90));
}

#[test]
fn results_outside_the_time_kept_are_left_out_and_counted() {
    let directory = directory();
    let store = Store::open(directory.path(), history::Options { raw_days: 2, ..exact() }).unwrap();
    let offered = [
        pass(1, at(7 * 86_400), 1),
        pass(1, at(8 * 86_400), 1),
        pass(1, at(10 * 86_400 + 3_000), 1),
        pass(1, at(10 * 86_400 + 4_000), 1),
        pass(1, Timestamp::from_ms(-5), 1),
    ];
    let applied = store.apply(1, at(10 * 86_400), &location("paris"), &offered).unwrap();
    assert_eq!((applied.taken, applied.outside), (2, 3));
    assert_eq!(all(&store, 1).len(), 2);
}

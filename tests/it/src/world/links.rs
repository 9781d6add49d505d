//! What becomes of a packet between two places: lost, late, or at once.
//!
//! Each direction of each pair has a rule of its own, so that every shape of
//! partition can be made, those included in which one side hears the other
//! and not the other way round. Knows no device and no clock.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A place by its number; what makes it up is in [`super::World`].
pub type PlaceNumber = u8;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives after this time.
    Late(Duration),
}

/// How one direction between two places is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Way {
    delay: Duration,
    /// At most this much is added to the delay, so that packets overtake each other.
    jitter: Duration,
    lost_per_thousand: u64,
}

/// The rules between all places. Shared by whoever changes them and whoever
/// carries the packets.
#[derive(Debug)]
pub struct Links(Mutex<Rules>);

#[derive(Debug)]
struct Rules {
    ways: BTreeMap<(PlaceNumber, PlaceNumber), Way>,
    cut: BTreeSet<(PlaceNumber, PlaceNumber)>,
    random: Random,
}

impl Links {
    /// Links over which everything arrives at once.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Rules { ways: BTreeMap::new(), cut: BTreeSet::new(), random: Random::new(1) }))
    }

    /// Loses everything that one sends to the other; not the other way round.
    pub fn cut_one_way(&self, from: PlaceNumber, to: PlaceNumber) {
        self.rules().cut.insert((from, to));
    }

    /// Loses everything between two places.
    pub fn cut(&self, a: PlaceNumber, b: PlaceNumber) {
        self.rules().cut.extend([(a, b), (b, a)]);
    }

    /// Loses everything between each of some and each of others.
    pub fn part(&self, some: &[PlaceNumber], others: &[PlaceNumber]) {
        for a in some {
            for b in others {
                self.cut(*a, *b);
            }
        }
    }

    /// Mends every cut; delays and losses stay.
    pub fn mend(&self) {
        self.rules().cut.clear();
    }

    /// Lets everything between two places take this long each way, and up to
    /// `jitter` longer.
    pub fn delay(&self, a: PlaceNumber, b: PlaceNumber, delay: Duration, jitter: Duration) {
        let mut rules = self.rules();
        for pair in [(a, b), (b, a)] {
            let way = rules.ways.entry(pair).or_default();
            (way.delay, way.jitter) = (delay, jitter);
        }
    }

    /// Loses a share of what one sends to the other; 0 loses nothing.
    pub fn lose(&self, from: PlaceNumber, to: PlaceNumber, per_thousand: u64) {
        self.rules().ways.entry((from, to)).or_default().lost_per_thousand = per_thousand;
    }

    pub(super) fn fate(&self, from: PlaceNumber, to: PlaceNumber) -> Fate {
        let mut rules = self.rules();
        if rules.cut.contains(&(from, to)) {
            return Fate::Lost;
        }
        let way = rules.ways.get(&(from, to)).copied().unwrap_or_default();
        if rules.random.below(1000) < way.lost_per_thousand {
            return Fate::Lost;
        }
        let jitter_us = u64::try_from(way.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = if jitter_us == 0 { 0 } else { rules.random.below(jitter_us) };
        Fate::Late(way.delay + Duration::from_micros(jitter))
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // Whoever panicked held a set of rules, and each of them stands for itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Fate = Fate::Late(Duration::ZERO);

    #[test]
    fn a_cut_one_way_leaves_the_other() {
        let links = Links::new();
        links.cut_one_way(1, 2);
        assert_eq!((links.fate(1, 2), links.fate(2, 1), links.fate(1, 3)), (Fate::Lost, AT_ONCE, AT_ONCE));
    }

    #[test]
    fn what_is_mended_is_as_slow_as_before() {
        let links = Links::new();
        let slow = Duration::from_millis(40);
        links.delay(1, 2, slow, Duration::ZERO);
        links.part(&[1], &[2, 3]);
        assert_eq!((links.fate(2, 1), links.fate(3, 1)), (Fate::Lost, Fate::Lost));
        links.mend();
        assert_eq!((links.fate(2, 1), links.fate(3, 1)), (Fate::Late(slow), AT_ONCE));
    }

    #[test]
    fn a_share_is_lost() {
        let links = Links::new();
        links.lose(1, 2, 250);
        let lost = (0..4_000).filter(|_| links.fate(1, 2) == Fate::Lost).count();
        assert!((800..1_200).contains(&lost), "{lost} of 4,000");
        assert_eq!(links.fate(2, 1), AT_ONCE);
    }
}

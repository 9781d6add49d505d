//! Flap detection: whether a check goes up and down too often to tell each time.
//!
//! The method and its numbers are Nagios's, which its users have tuned for two
//! decades: of the last 21 rounds, the share of the 20 possible changes that
//! happened, newer ones weighing up to half more than older ones; flapping
//! starts at 30 % and stops below 25 %. Of a check that is looked at from
//! several places as many more rounds are looked at: one outage is two changes
//! at each of them, which of 20 rounds of three places would be 30 %.

use serde::{Deserialize, Serialize};

/// Changes that are looked at, for each place.
const WINDOW: u32 = 20;
/// Changes that are looked at in all: from four places on fewer for each, and
/// up to eight places few enough that one outage is no flapping.
const WINDOW_MAX: u32 = u64::BITS;
/// Weight of the oldest change in hundredths.
const WEIGHT_OLDEST: u32 = 80;
/// Weight of the newest change in hundredths.
const WEIGHT_NEWEST: u32 = 120;
/// Per cent from which a check is flapping.
const START_PERCENT: u32 = 30;
/// Per cent below which it is no longer.
const STOP_PERCENT: u32 = 25;

/// The recent changes of a check between working and failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flap {
    changes: u64,
    is_flapping: bool,
}

impl Flap {
    /// Whether the check is flapping.
    pub const fn is_flapping(&self) -> bool {
        self.is_flapping
    }

    /// Counts one round of a check that is looked at from so many places, and
    /// whether it went otherwise than the one before at the same place: that one
    /// place sees what another does not is no flapping. Returns the new state if
    /// it changed.
    pub fn count(&mut self, changed: bool, places: usize) -> Option<bool> {
        self.changes = self.changes << 1 | u64::from(changed);
        let percent = self.percent(places);
        let flapping = if self.is_flapping { percent >= STOP_PERCENT } else { percent >= START_PERCENT };
        (flapping != self.is_flapping).then(|| {
            self.is_flapping = flapping;
            flapping
        })
    }

    /// The weighted share of changes, in per cent from 0 to 100.
    pub fn percent(&self, places: usize) -> u32 {
        let window = u32::try_from(places).map_or(WINDOW_MAX, |places| WINDOW.saturating_mul(places.max(1)));
        let window = window.min(WINDOW_MAX);
        let weight = |age: u32| WEIGHT_NEWEST - (WEIGHT_NEWEST - WEIGHT_OLDEST) * age / (window - 1);
        let sum: u32 = (0..window).filter(|age| self.changes & (1 << age) != 0).map(weight).sum();
        sum / window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_alternates_is_flapping_until_it_has_been_quiet() {
        for (places, begin) in [(1, 6), (3, 18)] {
            let mut flap = Flap::default();
            let started = (0..60).position(|round| flap.count(round > 0, places) == Some(true));
            assert!(started.is_some_and(|started| (begin - 2..=begin).contains(&started)), "{places}: {started:?}");
            let stopped = (0..120).position(|_| flap.count(false, places) == Some(false));
            assert!(stopped.is_some_and(|stopped| (10 * places..20 * places).contains(&stopped)), "{stopped:?}");
        }
    }

    #[test]
    fn one_outage_is_not_flapping_when_eight_places_see_it() {
        for places in 1..=8 {
            let mut flap = Flap::default();
            // Each place in turn: well, failing from its fourth round on, well again from its seventh.
            let rounds = (0..30).flat_map(|round| (0..places).map(move |_| round == 3 || round == 6));
            assert!(rounds.into_iter().all(|changed| flap.count(changed, places).is_none()), "{places}");
        }
    }
}

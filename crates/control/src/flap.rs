//! Flap detection: whether a check goes up and down too often to tell each time.
//!
//! The method and its numbers are Nagios's, which its users have tuned for two
//! decades: of the last 21 rounds, the share of the 20 possible changes that
//! happened, newer ones weighing up to half more than older ones; flapping
//! starts at 30 % and stops below 25 %.

use serde::{Deserialize, Serialize};

/// Changes that are looked at.
const WINDOW: u32 = 20;
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
    changes: u32,
    is_flapping: bool,
}

impl Flap {
    /// Whether the check is flapping.
    pub const fn is_flapping(&self) -> bool {
        self.is_flapping
    }

    /// Counts one round, and whether it went otherwise than the one before at
    /// the same place: that one place sees what another does not is no flapping.
    /// Returns the new state if it changed.
    pub fn count(&mut self, changed: bool) -> Option<bool> {
        self.changes = (self.changes << 1 | u32::from(changed)) & ((1 << WINDOW) - 1);
        let percent = self.percent();
        let flapping = if self.is_flapping { percent >= STOP_PERCENT } else { percent >= START_PERCENT };
        (flapping != self.is_flapping).then(|| {
            self.is_flapping = flapping;
            flapping
        })
    }

    /// The weighted share of changes, in per cent from 0 to 100.
    pub fn percent(&self) -> u32 {
        let weight = |age: u32| WEIGHT_NEWEST - (WEIGHT_NEWEST - WEIGHT_OLDEST) * age / (WINDOW - 1);
        let sum: u32 = (0..WINDOW).filter(|age| self.changes & (1 << age) != 0).map(weight).sum();
        sum / WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_alternates_is_flapping_until_it_has_been_quiet() {
        let mut flap = Flap::default();
        let started = (0..20).position(|round| flap.count(round > 0) == Some(true));
        assert_eq!(started, Some(6), "six changes of twenty are 30 %, newest weigh more");
        let stopped = (0..40).position(|_| flap.count(false) == Some(false));
        assert!(matches!(stopped, Some(10..=19)), "{stopped:?}");
    }

    #[test]
    fn one_outage_is_not_flapping() {
        let mut flap = Flap::default();
        let outage = (0..30).map(|round| round == 10 || round == 15);
        assert!(outage.into_iter().all(|changed| flap.count(changed).is_none()));
        assert!(flap.percent() < STOP_PERCENT);
    }
}

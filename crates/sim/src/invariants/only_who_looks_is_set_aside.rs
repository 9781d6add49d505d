//! A location is set aside as the odd one out only for what it sees: enough
//! checks that lately failed from there. One that has fallen silent is silent.

use super::Moment;
use control::aside::Because;
use control::judge;
use model::entry::Body;
use model::id::{CheckSlot, LocationId};
use model::observation::Outcome;
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Checks that must have failed from there.
const FAILING_MIN: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When each check was last seen to fail from a place, if it failed when it was seen last.
    failing: BTreeMap<LocationId, BTreeMap<CheckSlot, Timestamp>>,
    aside: BTreeSet<LocationId>,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if let Body::Results(batch) = &moment.entry.body {
            let failing = self.failing.entry(batch.location.clone()).or_default();
            for observation in &batch.observations {
                match observation.outcome {
                    Outcome::Fail => drop(failing.insert(observation.slot, observation.scheduled)),
                    Outcome::Pass | Outcome::Degraded => drop(failing.remove(&observation.slot)),
                    Outcome::Own => {}
                }
            }
        }
        let asides = moment.state.locations_set_aside();
        let odd = asides.iter().filter(|(_, aside)| matches!(aside.because, Because::OddOneOut { .. }));
        let odd: BTreeSet<LocationId> = odd.map(|(location, _)| location.clone()).collect();
        let before = std::mem::replace(&mut self.aside, odd);
        self.aside.difference(&before).try_for_each(|location| self.justify(moment, location))
    }

    fn justify(&self, moment: &Moment<'_>, location: &LocationId) -> Result<(), String> {
        let now = moment.state.now();
        let is_lately = |(slot, scheduled): &(&CheckSlot, &Timestamp)| {
            let check = moment.state.target(**slot).map(|(_, check)| check);
            check.is_some_and(|check| now.since(**scheduled) <= judge::silent_after(check))
        };
        let failing = self.failing.get(location).into_iter().flatten().filter(is_lately).count();
        if failing >= FAILING_MIN {
            return Ok(());
        }
        Err(format!("{location} is set aside, of which {failing} checks were lately seen to fail"))
    }
}

//! Results that come too late open nothing and close nothing, and change no
//! verdict; only that time has passed may turn one to unknown.

use super::Moment;
use crate::record::Story;
use model::check::{Check, CheckKind};
use model::entry::Body;
use model::id::{CheckSlot, IncidentId};
use model::observation::{Batch, Observation};
use model::time::Timestamp;
use model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The least age of a result that is late.
const LATE_MIN: Duration = Duration::from_secs(30);
/// Intervals after which a result is late.
const LATE_INTERVALS: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Watch {
    verdicts: BTreeMap<CheckSlot, Verdict>,
    open: BTreeSet<IncidentId>,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>, story: &mut Story) -> Result<(), String> {
        let verdicts: BTreeMap<CheckSlot, Verdict> =
            moment.state.slots().filter_map(|slot| Some((slot, moment.state.check(slot)?.verdict))).collect();
        let open: BTreeSet<IncidentId> =
            moment.state.incidents().filter(|known| known.is_open()).map(|known| known.id).collect();
        let (verdicts_before, open_before) =
            (std::mem::replace(&mut self.verdicts, verdicts), std::mem::replace(&mut self.open, open));
        let Body::Results(batch) = &moment.entry.body else { return Ok(()) };
        let late = late_only(moment, batch);
        story.late += late.len() as u64;
        for slot in &late {
            let (before, after) = (verdicts_before.get(slot), self.verdicts.get(slot));
            if before != after && after != Some(&Verdict::Unknown) {
                return Err(format!("late results of check {slot} change its verdict from {before:?} to {after:?}"));
            }
        }
        let are_all_late = batch.observations.iter().all(|observation| late.contains(&observation.slot));
        if !batch.observations.is_empty() && are_all_late && self.open != open_before {
            return Err(format!(
                "a batch of late results changes the open incidents from {open_before:?} to {:?}",
                self.open
            ));
        }
        Ok(())
    }
}

/// The checks of which a batch holds nothing but late results.
fn late_only(moment: &Moment<'_>, batch: &Batch) -> BTreeSet<CheckSlot> {
    let late = |observation: &&Observation| {
        moment.state.target(observation.slot).is_some_and(|(_, check)| is_late(moment.state.now(), check, observation))
    };
    let (late, timely): (Vec<_>, Vec<_>) = batch.observations.iter().partition(late);
    let timely: BTreeSet<CheckSlot> = timely.into_iter().map(|observation| observation.slot).collect();
    late.into_iter().map(|observation| observation.slot).filter(|slot| !timely.contains(slot)).collect()
}

/// Whether a result is too old when it is logged to say how it is now. A heartbeat says when it came.
pub(super) fn is_late(now: Timestamp, check: &Check, observation: &Observation) -> bool {
    !matches!(check.kind, CheckKind::Heartbeat(_))
        && now.since(observation.scheduled) > (check.every * LATE_INTERVALS).max(LATE_MIN) + check.timeout
}

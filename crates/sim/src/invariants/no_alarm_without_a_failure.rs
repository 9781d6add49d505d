//! No incident of an outage is opened unless a check of its service is down,
//! and none of a limp unless one is at least degraded.

use super::Moment;
use crate::record::Story;
use model::id::IncidentId;
use model::verdict::{ServiceStatus, Verdict};

#[derive(Debug, Default)]
pub(super) struct Watch {
    known: Option<IncidentId>,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>, story: &mut Story) -> Result<(), String> {
        let before = self.known;
        for incident in moment.state.incidents().filter(|incident| Some(incident.id) > before) {
            self.known = self.known.max(Some(incident.id));
            story.incidents += 1;
            let slots = moment.state.slots_of(&incident.service);
            let worst = slots.iter().filter_map(|slot| moment.state.check(*slot)).map(|known| known.verdict).max();
            let wanted = if incident.worst == ServiceStatus::Down { Verdict::Down } else { Verdict::Degraded };
            if worst < Some(wanted) {
                let (id, title) = (incident.id, &incident.title);
                return Err(format!("incident {id} ({title}) is opened although no check is {}", wanted.name()));
            }
        }
        Ok(())
    }
}

//! A configuration file that a node has offered becomes the active one at most
//! once: a node that comes late, or repeats itself, does not turn the others back.

use super::Moment;
use control::state::CommandOutcome;
use model::entry::{Action, Body};
use model::member::NodeId;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Watch {
    offered: BTreeSet<(NodeId, String)>,
    active: String,
}

impl Watch {
    pub(super) fn entry(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let before = std::mem::replace(&mut self.active, moment.state.digest().to_owned());
        let Body::Command(command) = &moment.entry.body else { return Ok(()) };
        let Action::ActivateConfiguration { digest, offered_by: Some(node) } = &command.action else { return Ok(()) };
        if moment.applied.outcome != CommandOutcome::Accepted {
            return Ok(());
        }
        let is_new = self.offered.insert((*node, digest.clone()));
        if is_new || before == self.active {
            return Ok(());
        }
        Err(format!("node {node} makes {digest} active in place of {before}, which it had done before"))
    }
}

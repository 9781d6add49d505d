//! What was answered is in the log with that answer, has the effect it was to
//! have, and has it once, however often it was asked for.

use super::Moment;
use crate::world::World;
use control::State;
use control::state::CommandOutcome;
use model::entry::{Action, Body};
use model::id::{CheckId, CheckSlot, MaintenanceId, ReceiverId};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody was told that this was done.
#[derive(Debug)]
struct Acknowledged {
    key: String,
    action: Action,
    outcome: CommandOutcome,
    index: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    answers: Vec<Acknowledged>,
    /// The answers to each key, in the order of the log.
    logged: BTreeMap<String, Vec<(u64, CommandOutcome)>>,
    ended: BTreeSet<MaintenanceId>,
    receivers: BTreeSet<ReceiverId>,
    /// Receivers that were removed at some time.
    pub(super) receivers_removed: BTreeSet<ReceiverId>,
    beats_answered: BTreeMap<CheckId, u64>,
    beats_logged: BTreeMap<CheckSlot, u64>,
}

impl Watch {
    pub(crate) fn acknowledged(&mut self, key: &str, action: &Action, outcome: &CommandOutcome, index: u64) {
        let (key, action, outcome) = (key.to_owned(), action.clone(), outcome.clone());
        self.answers.push(Acknowledged { key, action, outcome, index });
    }

    /// The sender of a heartbeat was answered.
    pub(crate) fn beat(&mut self, beat: &CheckId, is_taken: bool) {
        *self.beats_answered.entry(beat.clone()).or_default() += u64::from(is_taken);
    }

    pub(super) fn entry(&mut self, moment: &Moment<'_>) {
        match &moment.entry.body {
            Body::Command(command) => {
                let answer = (moment.index, moment.applied.outcome.clone());
                self.logged.entry(command.key.clone()).or_default().push(answer);
                if let Action::EndMaintenance { maintenance } = &command.action {
                    self.ended.insert(maintenance.clone());
                }
                let configured = &moment.state.configuration().receivers;
                let receivers: BTreeSet<ReceiverId> = configured.iter().map(|receiver| receiver.id.clone()).collect();
                self.receivers_removed.extend(self.receivers.difference(&receivers).cloned());
                self.receivers = receivers;
            }
            Body::Results(batch) => {
                for observation in &batch.observations {
                    *self.beats_logged.entry(observation.slot).or_default() += 1;
                }
            }
            Body::Tick
            | Body::AttemptBegins { .. }
            | Body::AttemptEnded { .. }
            | Body::Condition(_)
            | Body::Presence { .. }
            | Body::Egress { .. } => {}
        }
    }
}

pub(super) fn holds(world: &World) -> Result<(), String> {
    let watch = &world.outside.record.watches.acknowledged_commands_survive;
    let Some(state) = world.nodes.values().find_map(|node| Some(&node.life.as_ref()?.state)) else {
        return Err("no node lives".to_owned());
    };
    for answer in &watch.answers {
        let logged = watch.logged.get(&answer.key).map_or(&[][..], Vec::as_slice);
        if !logged.contains(&(answer.index, answer.outcome.clone())) {
            return Err(format!("{} was answered, but that is not in the log at {}", answer.key, answer.index));
        }
        if answer.outcome == CommandOutcome::Accepted && !has_its_effect(state, &answer.action, &watch.ended) {
            return Err(format!("{} was accepted and has no effect: {:.200?}", answer.key, answer.action));
        }
    }
    for (key, answers) in &watch.logged {
        if !key.is_empty() && answers.iter().any(|(_, outcome)| *outcome != answers[0].1) {
            return Err(format!("{key} was answered in different ways"));
        }
    }
    for incident in state.incidents() {
        let mut said = BTreeSet::new();
        for line in incident.timeline.iter().filter(|line| line.text.starts_with("word ")) {
            if !said.insert(&line.text) {
                return Err(format!("incident {} says twice: {}", incident.id, line.text));
            }
        }
    }
    for (beat, answered) in &watch.beats_answered {
        let logged = state.slot(beat).and_then(|slot| watch.beats_logged.get(&slot)).copied().unwrap_or(0);
        if logged < *answered {
            return Err(format!("{answered} heartbeats of {beat} were answered, {logged} are in the log"));
        }
    }
    Ok(())
}

fn has_its_effect(state: &State, action: &Action, ended: &BTreeSet<MaintenanceId>) -> bool {
    match action {
        Action::Acknowledge { incident, .. } => {
            state.incident(*incident).is_none_or(|incident| incident.acknowledged.is_some())
        }
        Action::UpdateIncident { incident, text, .. } => {
            state.incident(*incident).is_none_or(|incident| incident.timeline.iter().any(|line| line.text == *text))
        }
        Action::ScheduleMaintenance(work) => {
            work.until <= state.now()
                || ended.contains(&work.id)
                || state.maintenance().any(|known| known.id == work.id)
        }
        Action::EndMaintenance { maintenance } => state.maintenance().all(|known| known.id != *maintenance),
        Action::Found(member) => state.member(member.id).is_some() || state.removed_nodes().contains(&member.id),
        Action::Join { member, .. } => state.member(member.id).is_some() || state.removed_nodes().contains(&member.id),
        Action::RemoveMember { node } => state.member(*node).is_none() && state.removed_nodes().contains(node),
        Action::StoreConfiguration { .. }
        | Action::ActivateConfiguration { .. }
        | Action::TestReceivers
        | Action::TrustAuthority(_)
        | Action::DistrustAuthority { .. }
        | Action::Invite(_)
        | Action::Disinvite { .. }
        | Action::UpdateMember { .. } => true,
    }
}

//! Commands: whether they are allowed, and carrying them out.
//!
//! A command whose key was seen is answered as before and not applied again.
//! What is refused says what is allowed.

use crate::alert;
use crate::aside;
use crate::decision::Reason;
use crate::delivery;
use crate::incident::Line;
use crate::judge::Seen;
use crate::members::{self, Changes};
use crate::standing::{self, ServiceState};
use crate::state::{CheckState, CommandOutcome, Effect, State};
use model::check::{Check, CheckKind};
use model::configuration::Configuration;
use model::entry::{Action, Command, Phase};
use model::id::{CheckId, CheckSlot, IncidentId, MaintenanceId, ServiceId};
use model::limits::{CONFIGURATION_PARTS_MAX, MAINTENANCE_MAX, SLOTS_MAX};
use model::service::Maintenance;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Configurations that may be under way at a time; an unfinished one is
/// dropped for a newer one.
const UPLOADS_MAX: usize = 2;

pub(crate) fn admit(state: &mut State, command: &Command, effects: &mut BTreeSet<Effect>) -> CommandOutcome {
    if let Some((_, before)) = state.command_keys.iter().rev().find(|(key, _)| *key == command.key && !key.is_empty()) {
        return before.clone();
    }
    let outcome = match carry_out(state, command, effects) {
        Ok(()) => CommandOutcome::Accepted,
        Err(why) => CommandOutcome::Refused(why),
    };
    state.remember_command(&command.key, &outcome);
    outcome
}

fn carry_out(state: &mut State, command: &Command, effects: &mut BTreeSet<Effect>) -> Result<(), String> {
    match &command.action {
        Action::StoreConfiguration { digest, part, parts, bytes } => store(state, digest, *part, *parts, bytes),
        Action::ActivateConfiguration { digest, offered_by: None } => activate(state, command, digest, effects),
        Action::ActivateConfiguration { digest, offered_by: Some(node) } => {
            members::may_offer(state, *node)?;
            // What is active stays so: the offer is remembered, and nothing else changes.
            if *digest != state.digest {
                activate(state, command, digest, effects)?;
            }
            members::offer(state, *node, digest);
            Ok(())
        }
        Action::Acknowledge { incident, note } => acknowledge(state, command, *incident, note.as_deref(), effects),
        Action::UpdateIncident { incident, phase, text } => update(state, command, *incident, *phase, text, effects),
        Action::ScheduleMaintenance(work) => schedule(state, command, work, effects),
        Action::EndMaintenance { maintenance } => {
            let work = state.maintenance().find(|work| work.id == *maintenance).cloned();
            let work = work.ok_or_else(|| {
                format!("there is no planned work {maintenance}; `mainstay maintenance list` shows all")
            })?;
            state.maintenance.remove(maintenance);
            if state.configuration.maintenance.iter().any(|declared| declared.id == *maintenance) {
                state.maintenance_ended.insert(maintenance.clone());
            }
            note(state, command, None, format!("end planned work {maintenance}"));
            resettle(state, &work.services, effects);
            Ok(())
        }
        Action::TestReceivers => {
            if state.configuration.receivers.is_empty() {
                return Err("no receivers are configured; add one under `receivers:`".to_owned());
            }
            note(state, command, None, "send a test message to every receiver".to_owned());
            delivery::tell_test(state, effects);
            Ok(())
        }
        Action::Found(member) => members::found(state, command, member, effects),
        Action::TrustAuthority(authority) => members::trust(state, command, authority, effects),
        Action::DistrustAuthority { certificate } => members::distrust(state, command, certificate, effects),
        Action::Invite(invitation) => members::invite(state, command, invitation, effects),
        Action::Disinvite { node } => members::disinvite(state, command, *node, effects),
        Action::Join { token, member } => members::join(state, command, token, member, effects),
        Action::UpdateMember { node, name, address, location, key, facts } => {
            let changes = Changes {
                name: name.as_ref(),
                address: address.as_ref(),
                location: location.as_ref(),
                key: key.as_ref(),
                facts: facts.as_ref(),
            };
            members::update(state, command, *node, &changes, effects)
        }
        Action::RemoveMember { node } => members::remove(state, command, *node, effects),
    }
}

fn note(state: &mut State, command: &Command, service: Option<&ServiceId>, what: String) {
    state.decide(service, None, Reason::Commanded { actor: command.actor.clone(), what });
}

fn store(state: &mut State, digest: &str, part: u32, parts: u32, bytes: &[u8]) -> Result<(), String> {
    if parts == 0 || parts > CONFIGURATION_PARTS_MAX || part >= parts {
        return Err(format!(
            "part {part} of {parts} is out of range; at most {CONFIGURATION_PARTS_MAX} parts are allowed"
        ));
    }
    let uploads = Arc::make_mut(&mut state.uploads);
    if !uploads.contains_key(digest) && uploads.len() >= UPLOADS_MAX {
        uploads.clear();
    }
    let upload = uploads.entry(digest.to_owned()).or_insert_with(|| vec![None; parts as usize]);
    if upload.len() != parts as usize {
        return Err(format!("configuration {digest} was announced with {} parts, not {parts}", upload.len()));
    }
    upload[part as usize] = Some(Arc::new(bytes.to_vec()));
    Ok(())
}

fn activate(state: &mut State, command: &Command, digest: &str, effects: &mut BTreeSet<Effect>) -> Result<(), String> {
    let upload = Arc::make_mut(&mut state.uploads)
        .remove(digest)
        .ok_or_else(|| format!("configuration {digest} was not stored"))?;
    let mut bytes = Vec::new();
    for (at, part) in upload.into_iter().enumerate() {
        bytes.extend_from_slice(&part.ok_or_else(|| format!("part {at} of configuration {digest} is missing"))?);
    }
    let configuration =
        Configuration::decode(&bytes).map_err(|error| format!("configuration {digest} cannot be read: {error}"))?;
    let is_new = |check: &Check| !state.slots.contains_key(&check.id);
    let slots = state.checks.len() + configuration.checks().filter(|(_, check)| is_new(check)).count();
    if slots > SLOTS_MAX {
        return Err(format!(
            "with this configuration {slots} different checks would have been watched since the data directory was begun, at most {SLOTS_MAX} are possible; keep the names of checks, or begin a new data directory"
        ));
    }
    // What else was begun and never finished is given up.
    state.uploads = Arc::default();
    replace(state, configuration, digest, effects);
    note(state, command, None, format!("activate configuration {}", digest.get(..12).unwrap_or(digest)));
    let all = (0..state.configuration.services.len() as u32).collect();
    standing::settle(state, all, effects);
    effects.extend([Effect::Reconfigure, Effect::Publish, Effect::Deliver]);
    Ok(())
}

/// Makes a configuration the active one. What is known of checks and services
/// that stay is kept; what goes is forgotten, and its incident is closed.
fn replace(state: &mut State, configuration: Configuration, digest: &str, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let mut known: BTreeMap<ServiceId, ServiceState> =
        state.services().map(|(service, known)| (service.id.clone(), known.clone())).collect();
    let before = Arc::clone(&state.configuration);
    replace_checks(state, &before, &configuration);
    state.services = configuration
        .services
        .iter()
        .map(|service| known.remove(&service.id).unwrap_or_else(|| ServiceState::new(now)))
        .collect();
    state.receivers.retain(|id, _| configuration.receiver(id).is_some());
    // Work that was ended early stays so while it stands in the file as it was.
    state.maintenance_ended.retain(|id| {
        let of = |configuration: &Configuration| configuration.maintenance.iter().find(|work| work.id == *id).cloned();
        of(&configuration).is_some_and(|work| of(&before) == Some(work))
    });
    let is_declared = |id: &MaintenanceId| configuration.maintenance.iter().any(|work| work.id == *id);
    state.maintenance.retain(|id, work| work.until > now && !is_declared(id));
    state.configuration = Arc::new(configuration);
    state.digest = digest.to_owned();
    state.revision = state.applied_index();
    state.attention.clear();
    state.rebuild_index();
    aside::reconfigure(state, effects);
    delivery::abandon(state, effects);
    abandon_incidents(state, &before, known, effects);
}

/// Keeps what is known of checks that stay, as far as it still says something.
fn replace_checks(state: &mut State, before: &Configuration, after: &Configuration) {
    let now = state.now();
    let kinds: BTreeMap<&CheckId, &CheckKind> = before.checks().map(|(_, check)| (&check.id, &check.kind)).collect();
    let moved: Vec<Option<u16>> = before
        .locations
        .iter()
        .map(|id| after.locations.iter().position(|known| known == id).and_then(|at| u16::try_from(at).ok()))
        .collect();
    let stays: BTreeSet<&CheckId> = after.checks().map(|(_, check)| &check.id).collect();
    let gone = before.checks().filter(|(_, check)| !stays.contains(&check.id));
    for slot in gone.filter_map(|(_, check)| state.slots.get(&check.id).copied()).collect::<Vec<_>>() {
        if let Some(known) = state.checks.get_mut(slot.0 as usize) {
            *known = CheckState::new(now);
        }
    }
    let slots = Arc::make_mut(&mut state.slots);
    for (_, check) in after.checks() {
        let Some(slot) = slots.get(&check.id) else {
            slots.insert(check.id.clone(), CheckSlot(state.checks.len() as u32));
            state.checks.push(CheckState::of(check, now));
            continue;
        };
        let Some(known) = state.checks.get(slot.0 as usize) else {
            continue;
        };
        let mut kept = match kinds.get(&check.id) {
            Some(kind) if **kind == check.kind => known.clone(),
            Some(CheckKind::Heartbeat(kind)) => known.clone().expecting(kind, check, now),
            Some(_) | None => CheckState::of(check, now),
        };
        let number = |seen: &Seen| moved.get(seen.location as usize).copied().flatten();
        kept.seens = kept.seens.iter().filter_map(|seen| Some(Seen { location: number(seen)?, ..*seen })).collect();
        if !matches!(check.kind, CheckKind::Heartbeat(_)) {
            kept.seens.retain(|seen| check.from.contains(&after.locations[seen.location as usize]));
        }
        if kept != *known
            && let Some(known) = state.checks.get_mut(slot.0 as usize)
        {
            *known = kept;
        }
    }
}

/// Closes the incidents of services that nobody watches any more: those that
/// are gone, and those without checks.
fn abandon_incidents(
    state: &mut State,
    before: &Configuration,
    gone: BTreeMap<ServiceId, ServiceState>,
    effects: &mut BTreeSet<Effect>,
) {
    for (id, incident) in gone.into_iter().filter_map(|(id, orphan)| Some((id, orphan.incident?))) {
        if let Some(service) = before.service(&id) {
            alert::abandon(state, service, incident, effects);
        }
    }
    let configuration = Arc::clone(&state.configuration);
    for (at, service) in configuration.services.iter().enumerate().filter(|(_, service)| service.checks.is_empty()) {
        let incident = state.services.get(at).and_then(|known| known.incident);
        if let (Some(incident), Some(known)) = (incident, state.services.get_mut(at)) {
            known.incident = None;
            alert::abandon(state, service, incident, effects);
        }
    }
}

fn open_incident(state: &State, command: &Command, id: IncidentId) -> Result<ServiceId, String> {
    let incident = state
        .incident(id)
        .ok_or_else(|| format!("there is no incident {id}; `mainstay status` shows the open ones"))?;
    if let Some(expected) = command.expected_revision
        && incident.revision > expected
    {
        return Err(format!("incident {id} has changed since you saw it; look again, then decide"));
    }
    if !incident.is_open() {
        return Err(format!("incident {id} is over"));
    }
    Ok(incident.service.clone())
}

fn acknowledge(
    state: &mut State,
    command: &Command,
    id: IncidentId,
    text: Option<&str>,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let service = open_incident(state, command, id)?;
    let now = state.now();
    alert::change(state, id, |incident| {
        incident.acknowledged = Some((command.actor.clone(), now));
        let said = text.map_or_else(|| "Acknowledged.".to_owned(), |text| format!("Acknowledged: {text}"));
        let phase = incident.phase;
        incident.add(Line { at: now, phase, text: said, is_public: false, author: Some(command.actor.clone()) });
    });
    note(state, command, Some(&service), format!("acknowledge incident {id}"));
    effects.insert(Effect::Publish);
    Ok(())
}

fn update(
    state: &mut State,
    command: &Command,
    id: IncidentId,
    phase: Phase,
    text: &str,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let service = open_incident(state, command, id)?;
    if phase == Phase::Resolved {
        return Err("an incident is resolved when its checks pass again; post `monitoring` until then".to_owned());
    }
    let now = state.now();
    let line = Line { at: now, phase, text: text.to_owned(), is_public: true, author: Some(command.actor.clone()) };
    alert::change(state, id, |incident| {
        incident.is_public = true;
        incident.add(line);
    });
    note(state, command, Some(&service), format!("tell the public about incident {id}"));
    effects.insert(Effect::Publish);
    Ok(())
}

fn schedule(
    state: &mut State,
    command: &Command,
    work: &Maintenance,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let now = state.now();
    if work.until <= work.from {
        return Err(format!("planned work must end after it begins; it begins {} and ends {}", work.from, work.until));
    }
    if work.until <= now {
        return Err(format!("planned work must not be over already; it ends {}, now is {now}", work.until));
    }
    if let Some(unknown) = work.services.iter().find(|id| state.service(id).is_none()) {
        return Err(format!("there is no service {unknown}"));
    }
    if work.services.is_empty() {
        return Err("planned work must name at least one service".to_owned());
    }
    if state.configuration.maintenance.iter().any(|declared| declared.id == work.id) {
        return Err(format!("planned work {} is declared in the configuration file; change it there", work.id));
    }
    state.maintenance.retain(|_, known| known.until > now);
    let mut touched = work.services.clone();
    touched.extend(state.maintenance.get(&work.id).into_iter().flat_map(|before| before.services.iter().cloned()));
    if state.maintenance.len() >= MAINTENANCE_MAX {
        return Err(format!("{MAINTENANCE_MAX} pieces of planned work are known, which is the most; end some first"));
    }
    state.maintenance.insert(work.id.clone(), work.clone());
    note(state, command, None, format!("plan work {} from {} until {}", work.id, work.from, work.until));
    resettle(state, &touched, effects);
    Ok(())
}

fn resettle(state: &mut State, services: &[ServiceId], effects: &mut BTreeSet<Effect>) {
    let touched = services.iter().filter_map(|id| state.index.services.get(id).copied()).collect();
    standing::settle(state, touched, effects);
    effects.insert(Effect::Publish);
}

//! Decisions and deliveries.

use super::{DecisionFilter, text};
use crate::api;
use control::State;
use control::decision::{Decision, Reason};
use control::delivery::{Delivery, DeliveryState};

/// Decisions, newest first. Asked about a check, those about its service are
/// given as well: they are where its verdict led.
pub(crate) fn decisions(state: &State, filter: &DecisionFilter) -> api::Decisions {
    let owner =
        filter.check.as_ref().and_then(|id| crate::lookup::check(state, id)).map(|(_, service, ..)| &service.id);
    let is_wanted = |one: &Decision| {
        let of_check = filter.check.as_ref().is_none_or(|wanted| match &one.check {
            Some(check) => check == wanted,
            None => one.service.is_some() && one.service.as_ref() == owner,
        });
        of_check && filter.service.as_ref().is_none_or(|wanted| one.service.as_ref() == Some(wanted))
    };
    let found = state.decisions().rev().filter(|one| is_wanted(one)).take(filter.limit);
    api::Decisions { decisions: found.map(|one| decision(one)).collect() }
}

/// One decision.
pub(crate) fn decision(decision: &Decision) -> api::Decision {
    let (state, incident) = match &decision.reason {
        Reason::Verdict { to, .. } => (Some(to.name()), None),
        Reason::Status { to, .. } => (Some(to.name()), None),
        Reason::Opened { incident, status } => (Some(status.name()), Some(incident.0)),
        Reason::Worsened { incident } => (Some("down"), Some(incident.0)),
        Reason::Resolved { incident, .. } => (None, Some(incident.0)),
        Reason::Flapping { .. }
        | Reason::Held(_)
        | Reason::Told { .. }
        | Reason::NotTold { .. }
        | Reason::GivenUp { .. }
        | Reason::Commanded { .. }
        | Reason::Presence { .. }
        | Reason::WayOut { .. }
        | Reason::SetAside { .. }
        | Reason::HeardAgain { .. } => (None, None),
    };
    api::Decision {
        index: decision.index,
        at: text(decision.at),
        kind: decision.reason.name().to_owned(),
        service: decision.service.as_ref().map(ToString::to_string),
        check: decision.check.as_ref().map(ToString::to_string),
        state: state.map(str::to_owned),
        incident,
        text: decision.reason.to_string(),
    }
}

/// Deliveries, newest first.
pub(crate) fn deliveries(state: &State, wanted: Option<&str>, limit: usize) -> api::Deliveries {
    let is_wanted = |one: &&_| wanted.is_none_or(|name| delivery_state(one).0 == name);
    let mut found: Vec<&Delivery> = state.deliveries().map(AsRef::as_ref).filter(is_wanted).collect();
    found.sort_by(|one, other| {
        other.message.at.cmp(&one.message.at).then_with(|| one.message.key.cmp(&other.message.key))
    });
    api::Deliveries { deliveries: found.into_iter().take(limit).map(delivery).collect() }
}

fn delivery(delivery: &Delivery) -> api::Delivery {
    let (name, at, said) = delivery_state(delivery);
    api::Delivery {
        key: delivery.message.key.clone(),
        receiver: delivery.receiver.to_string(),
        step: delivery.message.step.name().to_owned(),
        incident: delivery.message.incident.map(|id| id.0),
        title: delivery.message.title.clone(),
        decided: text(delivery.message.at),
        state: name.to_owned(),
        at: text(at),
        attempt: delivery.attempt,
        is_possibly_double: delivery.is_possibly_double,
        said: said.map(str::to_owned),
    }
}

fn delivery_state(delivery: &Delivery) -> (&'static str, model::time::Timestamp, Option<&str>) {
    let name = delivery.state.name();
    match &delivery.state {
        DeliveryState::Waiting { until, because } => (name, *until, because.as_deref()),
        DeliveryState::InFlight { since, .. } => (name, *since, None),
        DeliveryState::Delivered { at, said } => (name, *at, Some(said)),
        DeliveryState::Dead { at, reason } => (name, *at, Some(reason)),
    }
}

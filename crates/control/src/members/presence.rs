//! What follows from hearing a node or not, and from its way out.
//!
//! A change counts at once: others take its checks over. People are told only
//! when it lasts, because a node that is restarted is back within seconds.

use super::{MemberState, Membership};
use crate::aside;
use crate::decision::Reason;
use crate::delivery;
use crate::state::{Effect, State};
use model::entry::ConditionKind;
use model::member::NodeId;
use model::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a node may be gone, or without a way out, before people are told:
/// longer than a restart or an upgrade takes, shorter than anybody would look
/// for it himself.
const TOLD_AFTER: Duration = Duration::from_secs(30);

/// The leader began or ceased to hear a node.
pub(crate) fn presence(state: &mut State, node: NodeId, is_present: bool, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let Some(name) = change(state, node, |known| {
        (known.is_present != is_present).then(|| {
            (known.is_present, known.present_since) = (is_present, now);
            known.member.name.clone()
        })
    }) else {
        return;
    };
    let (left, of) = count(state);
    state.decide(None, None, Reason::Presence { node: name.clone(), is_present, left, of });
    if is_present {
        let text = format!("Node {name} is heard again; {left} of {of} nodes are there.");
        end(state, &absent(node), &format!("Node {name} is heard again"), &text, effects);
    }
    aside::review_ways_out(state, effects);
    effects.extend([Effect::Publish, Effect::Reconfigure]);
}

/// A node's way out began or ceased to work.
pub(crate) fn egress(state: &mut State, node: NodeId, works: bool, text: &str, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let Some(name) = change(state, node, |known| {
        (known.egress_broken.is_none() != works).then(|| {
            known.egress_broken = (!works).then(|| (now, text.to_owned()));
            known.member.name.clone()
        })
    }) else {
        return;
    };
    state.decide(None, None, Reason::WayOut { node: name.clone(), works, text: text.to_owned() });
    if works {
        let text = format!("Its checks count again: {text}");
        end(state, &cut_out(node), &format!("Node {name} has a way out again"), &text, effects);
    }
    aside::review_ways_out(state, effects);
    effects.extend([Effect::Publish, Effect::Reconfigure]);
}

/// Tells the owners of nodes that have been gone, or without a way out, for too long.
pub(crate) fn tick(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let now = state.now();
    let lasts = |since: Timestamp| now.since(since) >= TOLD_AFTER;
    let is_gone =
        |known: &&MemberState| !known.is_present && known.joined != known.present_since && lasts(known.present_since);
    let gone: Vec<MemberState> = state.members().filter(is_gone).cloned().collect();
    for known in gone {
        let subject = absent(known.member.id);
        if !state.is_raised(&subject) {
            let title = format!("Node {} is not heard", known.member.name);
            let text = gone_text(state, &known);
            delivery::tell_own(state, &subject, &title, &text, true, effects);
        }
    }
    let is_cut_out = |known: &&MemberState| known.egress_broken.as_ref().is_some_and(|(since, _)| lasts(*since));
    let cut: Vec<MemberState> = state.members().filter(is_cut_out).cloned().collect();
    for known in cut {
        let subject = cut_out(known.member.id);
        if let (false, Some((since, text))) = (state.is_raised(&subject), &known.egress_broken) {
            let name = &known.member.name;
            let title = format!("Node {name} has no way out");
            let location = &known.member.location;
            let then = if state.asides.contains_key(location) {
                format!("no other node of {location} has one, so {location} is not heard until one has")
            } else {
                format!("the other nodes of {location} make its checks")
            };
            let text = format!(
                "Node {name} in {location} has had no way out since {since}: {text}. What it sees does not count; {then}."
            );
            delivery::tell_own(state, &subject, &title, &text, true, effects);
        }
    }
}

/// Ends the alarms about a node that is taken out, and what it said of itself.
pub(super) fn settle_removed(state: &mut State, node: NodeId, effects: &mut BTreeSet<Effect>) {
    let Some(name) = state.member(node).map(|known| known.member.name.clone()) else {
        return;
    };
    let title = format!("Node {name} is no longer a member");
    let conditions = state.conditions.keys().filter(|(_, about)| *about == node).copied();
    let conditions: Vec<ConditionKind> = conditions.map(|(kind, _)| kind).collect();
    let mut subjects = vec![absent(node), cut_out(node)];
    for kind in conditions {
        state.conditions.remove(&(kind, node));
        // It may have begun when the node was alone.
        let raised = [condition_at(kind, node), kind.name().to_owned()].into_iter();
        subjects.extend(raised.filter(|subject| state.is_raised(subject)).take(1));
    }
    for subject in subjects {
        end(state, &subject, &title, "It was removed; nothing is expected of it any more.", effects);
    }
}

/// The name under which it is raised that a condition holds on one of several nodes.
pub(crate) fn condition_at(kind: ConditionKind, node: NodeId) -> String {
    format!("{}@{node}", kind.name())
}

fn end(state: &mut State, subject: &str, title: &str, text: &str, effects: &mut BTreeSet<Effect>) {
    if state.is_raised(subject) {
        delivery::tell_own(state, subject, title, text, false, effects);
    }
}

/// Changes what is known of a node if `how` finds something to change; an
/// unknown node, which may have been removed meanwhile, changes nothing.
fn change<T>(state: &mut State, node: NodeId, how: impl FnOnce(&mut MemberState) -> Option<T>) -> Option<T> {
    let mut known = state.member(node)?.clone();
    let changed = how(&mut known)?;
    let membership: &mut Membership = Arc::make_mut(&mut state.membership);
    membership.members.insert(node, known);
    Some(changed)
}

/// How many nodes are heard, and of how many.
fn count(state: &State) -> (u16, u16) {
    let left = state.members().filter(|known| known.is_present).count();
    (u16::try_from(left).unwrap_or(u16::MAX), u16::try_from(state.members().count()).unwrap_or(u16::MAX))
}

fn gone_text(state: &State, known: &MemberState) -> String {
    let (left, of) = count(state);
    let spare = left.saturating_sub(of / 2 + 1);
    let then = match spare {
        0 => "If one more is lost, nothing can be decided any more".to_owned(),
        spare => format!("The cluster bears the loss of {spare} more"),
    };
    let name = &known.member.name;
    format!(
        "Node {name} in {} is not heard since {}; {left} of {of} nodes are left. {then}: bring it back, or replace it with `mainstay node invite --replaces {name}`.",
        known.member.location, known.present_since
    )
}

/// The name under which it is raised that a node is not heard.
fn absent(node: NodeId) -> String {
    format!("node-{node}")
}

/// The name under which it is raised that a node has no way out.
fn cut_out(node: NodeId) -> String {
    format!("egress-{node}")
}

//! Commands about who belongs to the cluster: whether they are allowed, and
//! carrying them out.
//!
//! What is refused says what is allowed. Whether a majority is there to carry
//! a change out is not known here, since the log decides that; the leader
//! looks for that before it proposes one.

use super::{InvitationState, MemberState, Membership};
use crate::aside;
use crate::decision::Reason;
use crate::state::{Effect, State};
use model::check::HostPort;
use model::entry::Command;
use model::id::LocationId;
use model::limits::{
    ADDRESSES_MAX, AUTHORITIES_MAX, AUTHORITY_BYTES_MAX, INVITATIONS_MAX, MEMBERS_MAX, NODE_FACT_BYTES_MAX,
    NODE_NAME_LENGTH_MAX, REMOVED_NODES_MAX,
};
use model::member::{Authority, Digest, Invitation, Member, NodeFacts, NodeId, Role};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The first number that is no node id any more: programs that read JSON
/// numbers as floats lose what is above it.
const NODE_IDS_END: u64 = 1 << 53;

/// What a member says has changed about it; `None` stays as it is.
pub(crate) struct Changes<'a> {
    pub(crate) name: Option<&'a String>,
    pub(crate) address: Option<&'a String>,
    pub(crate) location: Option<&'a LocationId>,
    pub(crate) key: Option<&'a Digest>,
    pub(crate) facts: Option<&'a NodeFacts>,
}

/// Makes the first node the first member.
pub(crate) fn found(
    state: &mut State,
    command: &Command,
    member: &Member,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    if !state.membership.members.is_empty() {
        return Err(format!("this cluster has members already: {}; further ones join by invitation", names(state)));
    }
    if member.role == Role::Witness {
        return Err("the first node of a cluster makes checks; only a later one can be a witness".to_owned());
    }
    allow(state, member, None)?;
    let member = Member { ordinal: 0, ..member.clone() };
    let what = format!("found the cluster with node {} ({}) in {}", member.name, member.id, member.location);
    let founded = MemberState::new(member, true, state.now(), None);
    change(state).members.insert(founded.member.id, founded);
    done(state, command, what, effects);
    Ok(())
}

/// Trusts a further authority.
pub(crate) fn trust(
    state: &mut State,
    command: &Command,
    authority: &Authority,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let known = &state.membership.authorities;
    if known.last() == Some(authority) {
        return Ok(());
    }
    if known.iter().any(|known| known.certificate == authority.certificate) {
        return Err("this authority is trusted already; only a new one can be made the one that signs".to_owned());
    }
    for (what, bytes) in [("certificate", &authority.certificate), ("sealed key", &authority.sealed_key)] {
        if bytes.is_empty() || bytes.len() > AUTHORITY_BYTES_MAX {
            let length = bytes.len();
            return Err(format!(
                "the {what} of the authority has {length} bytes; 1 to {AUTHORITY_BYTES_MAX} are allowed"
            ));
        }
    }
    if known.len() >= AUTHORITIES_MAX {
        return Err(format!(
            "{AUTHORITIES_MAX} authorities are trusted, which is the most; take the oldest back first"
        ));
    }
    change(state).authorities.push(authority.clone());
    done(state, command, "trust a further authority, which signs from here on".to_owned(), effects);
    Ok(())
}

/// Trusts an authority no longer.
pub(crate) fn distrust(
    state: &mut State,
    command: &Command,
    certificate: &[u8],
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let known = &state.membership.authorities;
    let Some(at) = known.iter().position(|authority| authority.certificate == certificate) else {
        return Err(format!("no authority with this certificate is trusted; {} others are", known.len()));
    };
    if at + 1 == known.len() {
        return Err(
            "this authority signs the nodes' certificates; trust a new one first, then take this one back".to_owned()
        );
    }
    change(state).authorities.remove(at);
    done(state, command, "trust an authority no longer".to_owned(), effects);
    Ok(())
}

/// Leaves a way for one more node to join.
pub(crate) fn invite(
    state: &mut State,
    command: &Command,
    invitation: &Invitation,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let (now, node) = (state.now(), invitation.node);
    if state.membership.members.is_empty() {
        return Err("this cluster has no member yet; its first node founds it by starting".to_owned());
    }
    allow_id(state, node)?;
    if invitation.expires <= now {
        return Err(format!("the invitation ends {}, now is {now}; it must end later", invitation.expires));
    }
    if state.membership.members.len() >= MEMBERS_MAX {
        return Err(format!("the cluster has {MEMBERS_MAX} members, which is the most; remove one first"));
    }
    if let Some(replaced) = invitation.replaces {
        if !state.membership.members.contains_key(&replaced) {
            return Err(format!("there is no node {replaced} to replace; the members are {}", names(state)));
        }
        let by_invited = state.invitations().any(|known| known.invitation.replaces == invitation.replaces);
        if by_invited || state.members().any(|known| known.replaces == invitation.replaces) {
            return Err(format!("node {} is being replaced already; take that back first", name(state, replaced)));
        }
    }
    let known = &mut change(state).invitations;
    if known.values().any(|known| known.invitation.token == invitation.token) {
        return Err("this token was given out before; draw another one".to_owned());
    }
    if known.len() >= INVITATIONS_MAX {
        // Those that have ended stay until then, so that a node that comes too late is told so.
        known.retain(|_, known| known.invitation.expires > now);
    }
    if known.len() >= INVITATIONS_MAX {
        return Err(format!("{INVITATIONS_MAX} invitations are open, which is the most; take one back first"));
    }
    known.insert(node, InvitationState { invitation: invitation.clone(), redeemed_by: None });
    let role = invitation.role.name();
    let mut what = format!("invite node {node} ({role}) until {}", invitation.expires);
    if let Some(replaced) = invitation.replaces {
        what.push_str(&format!(" in place of {}", name(state, replaced)));
    }
    done(state, command, what, effects);
    Ok(())
}

/// Takes an invitation back.
pub(crate) fn disinvite(
    state: &mut State,
    command: &Command,
    node: NodeId,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    if let Some(known) = state.member(node) {
        let name = &known.member.name;
        return Err(format!("node {name} ({node}) has joined already; `mainstay node remove {name}` takes it out"));
    }
    if change(state).invitations.remove(&node).is_none() {
        let open = state.invitations().filter(|known| known.redeemed_by.is_none());
        let open: Vec<String> = open.map(|known| known.invitation.node.to_string()).collect();
        let open = if open.is_empty() { "none is open".to_owned() } else { format!("open are {}", open.join(", ")) };
        return Err(format!("there is no invitation for node {node}; {open}"));
    }
    done(state, command, format!("take the invitation for node {node} back"), effects);
    Ok(())
}

/// A node that was invited joins.
pub(crate) fn join(
    state: &mut State,
    command: &Command,
    token: &Digest,
    member: &Member,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    const AGAIN: &str = "`mainstay node invite` makes another one";
    let Some(known) = state.membership.invitations.values().find(|known| known.invitation.token == *token) else {
        return Err(format!("there is no invitation with this token; {AGAIN}"));
    };
    let (invitation, redeemed_by) = (known.invitation.clone(), known.redeemed_by);
    if invitation.expires <= state.now() {
        return Err(format!("this invitation ended {}; {AGAIN}", invitation.expires));
    }
    if member.id != invitation.node {
        return Err(format!("this invitation is for node {}, not for {}", invitation.node, member.id));
    }
    match redeemed_by {
        // An answer was lost and the question is asked again.
        Some(key) if key == member.key && state.membership.members.contains_key(&member.id) => return Ok(()),
        Some(_) => return Err(format!("this invitation was used already, by another key; {AGAIN}")),
        None => {}
    }
    if member.role != invitation.role {
        let (invited, came) = (invitation.role.name(), member.role.name());
        return Err(format!("this invitation is for a {invited} node, not for a {came} one; {AGAIN}"));
    }
    if state.membership.members.len() >= MEMBERS_MAX {
        return Err(format!("the cluster has {MEMBERS_MAX} members, which is the most; remove one first"));
    }
    let replaces = invitation.replaces.filter(|replaced| state.membership.members.contains_key(replaced));
    allow(state, member, replaces)?;
    let member = Member { ordinal: free_ordinal(&state.membership), ..member.clone() };
    let what = format!("join as node {} ({}) in {}", member.name, member.id, member.location);
    let joined = MemberState::new(member, false, state.now(), replaces);
    let membership = change(state);
    if let Some(known) = membership.invitations.get_mut(&joined.member.id) {
        known.redeemed_by = Some(joined.member.key);
    }
    membership.members.insert(joined.member.id, joined);
    done(state, command, what, effects);
    Ok(())
}

/// A member says what has changed about it.
pub(crate) fn update(
    state: &mut State,
    command: &Command,
    node: NodeId,
    changes: &Changes<'_>,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let known = state.member(node).ok_or_else(|| unknown(state, node))?;
    let before = known.member.clone();
    let mut after = before.clone();
    let mut what = Vec::new();
    if let Some(name) = changes.name.filter(|name| **name != before.name) {
        allow_name(state, node, name)?;
        after.name.clone_from(name);
        what.push(format!("name {name}"));
    }
    if let Some(address) = changes.address.filter(|address| **address != before.address) {
        allow_address(address)?;
        after.address.clone_from(address);
        what.push(format!("address {address}"));
    }
    if let Some(location) = changes.location.filter(|location| **location != before.location) {
        allow_location(state, location)?;
        after.location = location.clone();
        what.push(format!("location {location}"));
    }
    if let Some(key) = changes.key.filter(|key| **key != before.key) {
        allow_key(state, node, key)?;
        after.key = *key;
        what.push(format!("key {key}"));
    }
    if let Some(facts) = changes.facts.filter(|facts| **facts != before.facts) {
        allow_facts(facts)?;
        after.facts = facts.clone();
        what.push(format!("version {}, kernel {}", facts.version, facts.kernel));
    }
    if what.is_empty() {
        return Ok(());
    }
    if let Some(known) = change(state).members.get_mut(&node) {
        known.member = after;
    }
    done(state, command, format!("update node {}: {}", before.name, what.join(", ")), effects);
    Ok(())
}

/// Takes a member out for ever.
pub(crate) fn remove(
    state: &mut State,
    command: &Command,
    node: NodeId,
    effects: &mut BTreeSet<Effect>,
) -> Result<(), String> {
    let known = state.member(node).ok_or_else(|| unknown(state, node))?;
    let name = known.member.name.clone();
    if state.membership.members.len() == 1 {
        return Err(format!("node {name} is the last member; a cluster cannot be without one"));
    }
    if !state.members().any(|known| known.member.id != node && known.makes_checks()) {
        return Err(format!(
            "node {name} is the last one that makes checks, the others only vote; add a full one first"
        ));
    }
    if state.membership.removed.len() >= REMOVED_NODES_MAX {
        return Err(format!(
            "{REMOVED_NODES_MAX} nodes were removed from this cluster, which is the most; found a new cluster"
        ));
    }
    super::presence::settle_removed(state, node, effects);
    let membership = change(state);
    membership.members.remove(&node);
    membership.removed.insert(node);
    membership.invitations.remove(&node);
    membership.offers.remove(&node);
    for known in membership.members.values_mut().filter(|known| known.replaces == Some(node)) {
        known.replaces = None;
    }
    state.sources.forget(node);
    done(state, command, format!("remove node {name} ({node}) for ever"), effects);
    Ok(())
}

/// Whether a node's file can offer a configuration.
pub(crate) fn may_offer(state: &State, node: NodeId) -> Result<(), String> {
    let members = &state.membership.members;
    if members.is_empty() || members.contains_key(&node) { Ok(()) } else { Err(unknown(state, node)) }
}

/// Remembers what a node's file offered last.
pub(crate) fn offer(state: &mut State, node: NodeId, digest: &str) {
    if state.membership.members.is_empty() {
        // Before the cluster is founded there is one node that can offer anything.
        change(state).offers.clear();
    }
    change(state).offers.insert(node, digest.to_owned());
}

fn change(state: &mut State) -> &mut Membership {
    Arc::make_mut(&mut state.membership)
}

/// Notes what was done. Who makes which check may have changed with it, and
/// who tells whether a location has a way out.
fn done(state: &mut State, command: &Command, what: String, effects: &mut BTreeSet<Effect>) {
    state.decide(None, None, Reason::Commanded { actor: command.actor.clone(), what });
    aside::review_ways_out(state, effects);
    effects.extend([Effect::Publish, Effect::Reconfigure]);
}

fn names(state: &State) -> String {
    state.members().map(|known| known.member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What people call a node, or its number.
fn name(state: &State, node: NodeId) -> String {
    state.member(node).map_or_else(|| node.to_string(), |known| known.member.name.clone())
}

fn unknown(state: &State, node: NodeId) -> String {
    if state.membership.removed.contains(&node) {
        return format!("node {node} was removed and cannot come back; invite a new one");
    }
    format!("there is no node {node}; the members are {}", names(state))
}

fn free_ordinal(membership: &Membership) -> u8 {
    let is_free = |ordinal: &u8| membership.members.values().all(|known| known.member.ordinal != *ordinal);
    (0..=u8::MAX).find(is_free).expect("fewer members than ordinals")
}

/// Whether a node may become a member as it says it is.
fn allow(state: &State, member: &Member, replaces: Option<NodeId>) -> Result<(), String> {
    let node = member.id;
    if state.membership.members.contains_key(&node) || state.membership.removed.contains(&node) {
        return Err(unknown_or_used(state, node));
    }
    if node.0 == 0 || node.0 >= NODE_IDS_END {
        return Err(format!("{node} is no node id; 1 to {} are", NODE_IDS_END - 1));
    }
    allow_name(state, node, &member.name)?;
    allow_address(&member.address)?;
    let is_taken = |known: &&MemberState| known.member.address == member.address && Some(known.member.id) != replaces;
    if let Some(known) = state.members().find(is_taken) {
        let (name, address) = (&known.member.name, &member.address);
        return Err(format!("node {name} has the address {address}; remove that node first, or replace it"));
    }
    allow_location(state, &member.location)?;
    allow_key(state, node, &member.key)?;
    allow_facts(&member.facts)
}

fn unknown_or_used(state: &State, node: NodeId) -> String {
    match state.member(node) {
        Some(known) => format!("the id {node} is that of node {}; draw another one", known.member.name),
        None => format!("node {node} was removed and cannot come back; invite a new one"),
    }
}

/// Whether an id can be given to a node that comes.
fn allow_id(state: &State, node: NodeId) -> Result<(), String> {
    let membership = &state.membership;
    if node.0 == 0 || node.0 >= NODE_IDS_END {
        return Err(format!("{node} is no node id; 1 to {} are", NODE_IDS_END - 1));
    }
    if membership.members.contains_key(&node) || membership.removed.contains(&node) {
        return Err(unknown_or_used(state, node));
    }
    if membership.invitations.contains_key(&node) {
        return Err(format!("node {node} is invited already; draw another id"));
    }
    Ok(())
}

fn allow_name(state: &State, node: NodeId, name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NODE_NAME_LENGTH_MAX || !name.chars().all(is_legal) {
        return Err(format!(
            "{name:?} is no name of a node; 1 to {NODE_NAME_LENGTH_MAX} letters, digits, '-', '_' and '.' are"
        ));
    }
    match state.member_named(name) {
        Some(known) if known.member.id != node => {
            Err(format!("node {} is called {name} already; take another name", known.member.id))
        }
        Some(_) | None => Ok(()),
    }
}

fn allow_address(address: &str) -> Result<(), String> {
    let Some(parsed) = HostPort::parse(address, None) else {
        return Err(format!("{address:?} is no address; a host and a port are, as in `10.0.0.1:8481`"));
    };
    if parsed.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        return Err(format!("others cannot reach {address}; name an address of this machine"));
    }
    Ok(())
}

/// Before the first configuration is active no location is known, and so none unknown.
fn allow_location(state: &State, location: &LocationId) -> Result<(), String> {
    if state.digest().is_empty() || state.location_number(location).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = state.configuration.locations.iter().map(LocationId::as_str).collect();
    let known = known.join(", ");
    Err(format!("there is no location {location}; there are {known}, further ones are added under `locations:`"))
}

fn allow_key(state: &State, node: NodeId, key: &Digest) -> Result<(), String> {
    match state.members().find(|known| known.member.key == *key && known.member.id != node) {
        Some(known) => {
            let name = &known.member.name;
            Err(format!("this key is that of node {name}; each node makes its own, a copied directory has none"))
        }
        None => Ok(()),
    }
}

fn allow_facts(facts: &NodeFacts) -> Result<(), String> {
    let url = facts.url.as_deref().unwrap_or_default();
    let texts = [("version", facts.version.as_str()), ("machine", &facts.machine), ("kernel", &facts.kernel)];
    for (what, text) in texts.into_iter().chain([("url", url)]) {
        if text.len() > NODE_FACT_BYTES_MAX {
            return Err(format!("the node's {what} has {} bytes; at most {NODE_FACT_BYTES_MAX} are kept", text.len()));
        }
    }
    if facts.addresses.len() > ADDRESSES_MAX {
        let count = facts.addresses.len();
        return Err(format!("the node names {count} addresses; at most {ADDRESSES_MAX} are kept"));
    }
    Ok(())
}

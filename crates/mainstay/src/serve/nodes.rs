//! What people want with the nodes, and what this node knows of the others.

use super::House;
use cluster::{FoundError, HandOverError, InviteError, InviteOptions, PeerStatus, ProposeError, RemoveError};
use control::members::MemberState;
use model::member::NodeId;
use std::collections::BTreeMap;
use web::commands::{CommandError, NodeAnswer, NodeInfo, NodeRequest, Sender};

/// Carries out what somebody wants with the nodes.
pub(super) async fn carry_out(house: &House, sender: Sender, request: NodeRequest) -> Result<NodeAnswer, CommandError> {
    match request {
        NodeRequest::Invite { role, valid_for, replaces } => {
            let replaces = match replaces.map(|named| find(house, &named)).transpose() {
                Ok(found) => found.map(|known| known.member.id),
                Err(why) => return Ok(NodeAnswer::Refused { why }),
            };
            let options = InviteOptions { actor: sender.actor, role, good_for: valid_for, replaces };
            invite(house, options).await
        }
        NodeRequest::Remove { node } => match find(house, &node) {
            Ok(known) => remove(house, sender, &known).await,
            Err(why) => Ok(NodeAnswer::Refused { why }),
        },
        NodeRequest::TransferLeadership { to } => transfer(house, to.as_deref()).await,
        NodeRequest::RotateAuthority => rotate(house, sender).await,
    }
}

/// What is known of a member by its name or number.
fn find(house: &House, named: &str) -> Result<MemberState, String> {
    let state = house.node.state();
    let by_number = || named.parse().ok().and_then(|number| state.member(NodeId(number)));
    let found = state.member_named(named).or_else(by_number).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = state.members().map(|known| known.member.name.as_str()).collect();
        format!("no node has the name or number {named}; there are {}", names.join(", "))
    })
}

async fn invite(house: &House, options: InviteOptions) -> Result<NodeAnswer, CommandError> {
    match house.node.invite(options).await {
        Ok(ticket) => {
            Ok(NodeAnswer::Invited { ticket: ticket.to_string(), node: NodeId(ticket.node), expires: ticket.expires })
        }
        Err(InviteError::Propose(error)) => Err(not_done(&error)),
        Err(error) => Ok(NodeAnswer::Refused { why: crate::chain(&error.into()) }),
    }
}

async fn remove(house: &House, sender: Sender, known: &MemberState) -> Result<NodeAnswer, CommandError> {
    let name = &known.member.name;
    match house.node.remove(&sender.actor, sender.key, known.member.id).await {
        Ok(()) => {
            let said =
                format!("node {name} does not belong to the cluster any more; its directory can never come back");
            Ok(NodeAnswer::Done { said })
        }
        Err(RemoveError::Unknown { .. }) => Err(CommandError::Unknown),
        Err(error) => Ok(NodeAnswer::Refused { why: crate::chain(&error.into()) }),
    }
}

async fn transfer(house: &House, to: Option<&str>) -> Result<NodeAnswer, CommandError> {
    let to = match to.map(|named| find(house, named)).transpose() {
        Ok(found) => found.or_else(|| best_prepared(house)),
        Err(why) => return Ok(NodeAnswer::Refused { why }),
    };
    let Some(to) = to else {
        return Ok(NodeAnswer::Refused { why: "there is no other node that votes and is heard".to_owned() });
    };
    match house.node.transfer_leadership(to.member.id).await {
        Ok(()) => Ok(NodeAnswer::Done { said: format!("node {} leads", to.member.name) }),
        Err(error @ HandOverError::Unreachable { .. }) => {
            Err(CommandError::NotCommitted { because: crate::chain(&error.into()) })
        }
        Err(error) => Ok(NodeAnswer::Refused { why: crate::chain(&error.into()) }),
    }
}

async fn rotate(house: &House, sender: Sender) -> Result<NodeAnswer, CommandError> {
    match house.node.rotate_authority(&sender.actor, sender.key).await {
        Ok(()) => {
            let said = "a new authority signs; each node gets its certificate from it within a minute".to_owned();
            Ok(NodeAnswer::Done { said })
        }
        Err(FoundError::Propose(error)) => Err(not_done(&error)),
        Err(error) => Ok(NodeAnswer::Refused { why: crate::chain(&error.into()) }),
    }
}

/// The voter beside the leader that is heard and lacks least.
fn best_prepared(house: &House) -> Option<MemberState> {
    let (state, leader) = (house.node.state(), house.node.status().leader);
    let peers: BTreeMap<NodeId, PeerStatus> = house.node.peers().into_iter().map(|peer| (peer.id, peer)).collect();
    let lacks = |known: &&MemberState| peers.get(&known.member.id).and_then(|peer| peer.lacks_entries).unwrap_or(0);
    let can = |known: &&MemberState| {
        let is_voter = peers.get(&known.member.id).is_none_or(|peer| peer.is_voter);
        known.is_present && is_voter && Some(known.member.id.0) != leader
    };
    state.members().filter(can).min_by_key(lacks).cloned()
}

/// Why something that had to be logged was not done.
pub(super) fn not_done(error: &ProposeError) -> CommandError {
    if error.is_perhaps_stored() {
        CommandError::Unknown
    } else {
        CommandError::NotCommitted { because: error.to_string() }
    }
}

/// All nodes as this one sees them.
pub(super) fn infos(house: &House) -> Vec<NodeInfo> {
    let (state, leader, here) = (house.node.state(), house.node.status().leader, house.node.id());
    let peers: BTreeMap<NodeId, PeerStatus> = house.node.peers().into_iter().map(|peer| (peer.id, peer)).collect();
    let info = |known: &MemberState| {
        let member = &known.member;
        let peer = peers.get(&member.id);
        NodeInfo {
            id: member.id,
            name: member.name.clone(),
            address: member.address.clone(),
            location: member.location.clone(),
            role: member.role,
            is_voter: peer.is_none_or(|peer| peer.is_voter),
            is_leader: leader == Some(member.id.0),
            is_present: known.is_present,
            since: known.present_since,
            is_this_one: member.id == here,
            lag_entries: peer.and_then(|peer| peer.lacks_entries),
            version: member.facts.version.clone(),
            url: member.facts.url.clone(),
        }
    };
    state.members().map(info).collect()
}

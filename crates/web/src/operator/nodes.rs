//! The nodes of the cluster.

use super::text;
use crate::api::node::{NodeInfo, Nodes, Warning};
use crate::commands::{self, NodeStatus};
use control::{State, shared_fate};
use model::member::NodeId;

/// All nodes, as far as the one that answers knows.
pub(crate) fn nodes(state: &State, node: &NodeStatus) -> Nodes {
    Nodes {
        has_quorum: node.has_quorum,
        cut_off_since: node.cut_off_since.map(text),
        nodes: infos(node),
        warnings: warnings(state),
    }
}

pub(super) fn infos(node: &NodeStatus) -> Vec<NodeInfo> {
    node.nodes.iter().map(info).collect()
}

/// What nodes have in common that could take them together.
pub(super) fn warnings(state: &State) -> Vec<Warning> {
    let of = |fate: shared_fate::SharedFate| Warning { kind: fate.kind.name().to_owned(), text: fate.text };
    shared_fate::of(state).into_iter().map(of).collect()
}

/// What people call a node; its number if it is no member any more.
pub(super) fn name(state: &State, id: NodeId) -> String {
    state.member(id).map_or_else(|| id.to_string(), |known| known.member.name.clone())
}

fn info(known: &commands::NodeInfo) -> NodeInfo {
    NodeInfo {
        id: known.id.0,
        name: known.name.clone(),
        address: known.address.clone(),
        location: known.location.to_string(),
        role: known.role.name().to_owned(),
        is_voter: known.is_voter,
        is_leader: known.is_leader,
        is_present: known.is_present,
        since: text(known.since),
        is_this_one: known.is_this_one,
        lag_entries: known.lag_entries,
        version: known.version.clone(),
        url: known.url.clone(),
    }
}
